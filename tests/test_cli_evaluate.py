"""`tts-meta evaluate`: scores of a voice next to real recordings, without the sentences of its adaptation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import write_base, write_recordings
from helpers import tone_corpus

from tts_meta.adapt import CloneSettings
from tts_meta.adapt import clone as clone_voice
from tts_meta.corpus import Manifest

GRIFFIN_LIM = ("--vocoder", "griffin-lim")
QUICK = ("--steps", 3, "--learning-rate", 0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny base and a voice."""
    folder = tmp_path_factory.mktemp("evaluate")
    base, audio = write_base(folder / "base"), write_recordings(folder, 5)
    voice = clone_voice(audio, base=base, settings=CloneSettings(steps=3, learning_rate=0.1))
    voice.save(folder / "ann.voice.safetensors")
    return folder


def test_evaluate_scores_the_voice_the_recordings_and_copy_synthesis(run_cli, folder, tmp_path) -> None:
    tone_corpus(tmp_path, utterances=16)
    command = ("evaluate", folder / "ann.voice.safetensors", tmp_path / "manifest.jsonl", "--base", folder / "base")
    assert run_cli(*command).failed(2, "2 speakers", "--speaker")
    options = ("--speaker", "ann", "--metric", "similarity", "--sentences", 2, *GRIFFIN_LIM)
    options += ("--metric", "similarity_ecapa")
    data = run_cli(*command, *options, "--json", "--scores", tmp_path / "scores.jsonl").json
    assert list(data["systems"]) == ["real recording", "copy-synthesis", "voice"]
    means = {system: scores["similarity"]["mean"] for system, scores in data["systems"].items()}
    assert min(means["real recording"], means["copy-synthesis"]) > means["voice"] + 0.1
    assert all(-1 <= scores["similarity_ecapa"]["mean"] <= 1 for scores in data["systems"].values())
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert len(rows) == 6 and {row["speaker"] for row in rows} == {"ann"}
    markdown = run_cli(*command, *options).out
    assert markdown.startswith("| System |") and "| voice | 1 | 2 |" in markdown


def test_evaluate_does_not_use_the_sentences_of_the_adaptation(run_cli, folder: Path, tmp_path: Path) -> None:
    manifest = tone_corpus(tmp_path, utterances=16)
    utterances = [utterance for utterance in Manifest.load(manifest) if utterance.speaker == "ann"]
    (tmp_path / "list.txt").write_text(
        "".join(f"{utterance.audio.name}|{utterance.text}\n" for utterance in utterances)
    )
    out = tmp_path / "ann.voice.safetensors"

    def clone_from(count: int) -> None:
        options = ("-o", out, "--base", folder / "base", "--transcripts", tmp_path / "list.txt", *QUICK, "--force")
        audio = (utterance.audio for utterance in utterances[:count])
        assert run_cli("clone", *audio, *options).status == 0

    clone_from(3)
    command = ("evaluate", out, manifest, "--base", folder / "base", "--speaker", "ann", "--metric", "similarity")
    result = run_cli(*command, "--sentences", 2, *GRIFFIN_LIM, "--json", "--scores", tmp_path / "scores.jsonl")
    assert f"{out} was adapted on 3 of 8 sentences of {manifest}; these are not used" in result.err
    assert "2 sentences are scored; similarity is measured to 3 others" in result.err
    scored = {json.loads(line)["id"] for line in (tmp_path / "scores.jsonl").read_text().splitlines()}
    ids = [utterance.id for utterance in utterances]
    assert scored == set(ids[3:5]) and result.json["references"] == ids[5:]
    assert "recordings: 3, stored as fingerprints" in run_cli("inspect", out).out
    clone_from(8)
    assert run_cli(*command, *GRIFFIN_LIM).failed(
        2, f"adapted on all 8 of 8 sentences of {manifest}", "other recordings"
    )
