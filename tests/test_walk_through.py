"""A new user's way from own recordings in the layout of VCTK to a voice, by the documented commands alone."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import soundfile
from documentation import ROOT, blocks
from published_layouts import write_vctk
from recipe_runs import environment

from tts_meta.adapt import Voice
from tts_meta.models.pretrained import load_base

PAGE = ROOT / "recipes" / "vctk" / "README.md"
SOUND, TEXTS = "wav48_silence_trimmed", "txt"
NEW = "eva"
"""The speaker whose recordings are in the folder `me` and not in the corpus."""
SPEAKERS = ("anna", "ben", "carl", "dora", NEW)


def documented_walk_through() -> str:
    """Return the commands of the page, from `prepare` to `clone`."""
    (block,) = [block.text for block in blocks(PAGE, "text") if block.text.startswith("tts-meta prepare vctk my_vctk")]
    assert [line.split()[0] for line in block.splitlines()] == ["tts-meta", "bash", "tts-meta"]
    return block


def write_real(folder: Path, corpus: Path, count: int) -> None:
    """Write real recordings of five training speakers of `corpus` in the layout of VCTK."""
    rows = defaultdict(list)
    with open(corpus / "manifest.tsv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["split"] == "train" and 3 <= float(row["seconds"]) <= 8:
                rows[row["speaker"]].append(row)
    for name, speaker in zip(SPEAKERS, sorted(rows), strict=False):
        for number, row in enumerate(rows[speaker][:count], 1):
            audio = folder / SOUND / name / f"{name}_{number:03d}_mic1{Path(row['file']).suffix}"
            text = folder / TEXTS / name / f"{name}_{number:03d}.txt"
            for path in (audio, text):
                path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(corpus / row["file"], audio)
            text.write_text(row["text_punctuated"] or row["text"].lower(), encoding="utf-8")


def move_new_speaker(corpus: Path, me: Path) -> None:
    """Move the recordings of the new speaker out of the corpus as WAV files, each with a text of the same name."""
    me.mkdir()
    for audio in sorted((corpus / SOUND / NEW).iterdir()):
        text = corpus / TEXTS / NEW / f"{audio.stem.removesuffix('_mic1')}.txt"
        soundfile.write(me / f"{text.stem}.wav", *soundfile.read(audio))
        audio.unlink()
        text.rename(me / text.name)
    for folder in (SOUND, TEXTS):
        (corpus / folder / NEW).rmdir()


@pytest.mark.parametrize("recordings", ["synthetic", "real"])
def test_own_recordings_in_the_layout_of_vctk_become_a_voice(
    recordings: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    corpus = tmp_path / "my_vctk"
    if recordings == "real":
        write_real(corpus, request.getfixturevalue("shared_corpus"), 6)
    else:
        write_vctk(corpus, {"": SPEAKERS}, 3)
        (corpus / "speaker-info.txt").unlink()
    move_new_speaker(corpus, tmp_path / "me")
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    commands = ["bash", "-euo", "pipefail", "-c", documented_walk_through()]
    result = subprocess.run(commands, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    base = load_base(tmp_path / "runs" / "mine" / "pretrain" / "base")
    assert len(base.speakers) == 1 and NEW not in base.speakers
    assert Voice.load(tmp_path / "me.voice.safetensors").deltas
