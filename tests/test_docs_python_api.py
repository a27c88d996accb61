"""The code blocks of docs/python-api.md run in order, on a tiny base in place of the shipped one."""

from __future__ import annotations

import importlib
import re
import warnings
from pathlib import Path

import pytest
import soundfile
from helpers import RATE, tiny_english_base, tone_speech

from tts_meta.audio import write_wav
from tts_meta.models.pretrained import save_base

PAGE = Path(__file__).resolve().parents[1] / "docs" / "python-api.md"
OUTPUTS = {"out.wav": "WAV", "out.flac": "FLAC", "out.OGG": "OGG", "out.mp3": "MP3", "out.opus": "OGG"}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny base that reads English, where the shipped one is looked for."""
    save_base(tiny_english_base(), tmp_path / "base")
    for module in ("models.pretrained", "synth.synthesizer"):
        monkeypatch.setattr(f"tts_meta.{module}.shipped_base", lambda: tmp_path / "base")
    monkeypatch.setattr(importlib.import_module("tts_meta.adapt.learner_choice"), "NO_PRIOR_STEPS", 5)
    return tmp_path / "base"


def test_the_examples_of_the_page_run(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 7
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("one.wav", "two.wav")):
        write_wav(tmp_path / name, tone_speech("abc def gh abc", number)[0], RATE)
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tones are not what the transcripts say
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    promised = [line.partition("  # ")[2] for block in blocks for line in block.splitlines() if "print(" in line]
    assert len(printed) == len(promised) == 5
    for line, comment in zip(printed, promised, strict=True):
        pattern = ".*".join(map(re.escape, comment.split("..."))) if comment else ".*"
        assert re.fullmatch(pattern, line), f"{line!r} is not {comment!r}"
    assert {path.name: soundfile.info(path).format for path in tmp_path.glob("out.*")} == OUTPUTS
    assert (tmp_path / "alice.voice.safetensors").is_file()
