"""`tts-meta clone` with long recordings and with --asr: slices, the list of transcripts, and its corrections."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from commands import Result, write_base
from spoken_tones import ToneRecogniser, tone_speech_activity, write_spoken

from tts_meta.adapt import find_transcripts
from tts_meta.asr.words import Slice

SENTENCES = ("abc de fgh, bad cafe.", "had a bag bee, a deaf cab.", "fed a cad, he gabe.", "dab chef, a bead age.")
LONG_TEXT = " ".join(SENTENCES * 3)
pytestmark = pytest.mark.usefixtures("tone_speech_activity")
assert tone_speech_activity


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def recogniser(monkeypatch: pytest.MonkeyPatch) -> ToneRecogniser:
    """Recogniser in place of Whisper. It does not understand one word."""
    recogniser = ToneRecogniser(recognised={"bee": "cee"})

    def load(whisper: str | None, device: str, language: str) -> ToneRecogniser:
        assert whisper in (None, "small") and device == "cpu" and language == "en"
        return recogniser

    monkeypatch.setattr("tts_meta.cli.clone_texts.Transcriber", load)
    return recogniser


def clone(run_cli, base: Path, out: Path, *options: object) -> Result:
    return run_cli("clone", *options, "-o", out, "--base", base, "--learner", "mean-voice", "--json")


def rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines()]


@pytest.mark.usefixtures("recogniser")
def test_a_long_recording_is_sliced_listed_corrected_and_cloned_again(run_cli, base, tmp_path) -> None:
    audio, out, listed = tmp_path / "long.wav", tmp_path / "me.voice.safetensors", tmp_path / "me.transcripts.tsv"
    write_spoken(audio, LONG_TEXT)
    assert soundfile.info(audio).duration > 30
    first = clone(run_cli, base, out, audio, "--asr")
    assert first.status == 0 and first.json["sentences"] == 12
    assert f"{listed}: 12 transcripts; correct them there" in first.err
    assert first.err.count("(confidence 0.90)") == 12 and f"{audio}#t=" in first.err
    header, *lines = rows(listed)
    assert header == ["audio", "start", "end", "text", "confidence", "note"]
    recognised = [sentence.replace("bee", "cee") for sentence in SENTENCES * 3]
    assert [line[3] for line in lines] == recognised and {line[0] for line in lines} == {"long.wav"}

    corrected = listed.read_text().replace("cee", "bee")
    corrected = (
        corrected[: corrected.rindex(recognised[-1])]
        + corrected[corrected.rindex(recognised[-1]) + len(recognised[-1]) :]
    )
    listed.write_text(corrected)
    recordings = find_transcripts([audio], listed)
    assert [recording.text for recording in recordings] == list(SENTENCES * 3)[:-1]
    assert str(recordings[0].audio) == f"{audio}#t={float(lines[0][1]):g},{float(lines[0][2]):g}"
    again = clone(run_cli, base, out, audio, "--transcripts", listed, "--force")
    assert again.status == 0 and again.json["sentences"] == 11
    assert listed.read_text() == corrected


@pytest.mark.usefixtures("recogniser")
def test_a_list_that_may_have_corrections_is_not_overwritten(run_cli, base, tmp_path) -> None:
    write_spoken(tmp_path / "a.wav", SENTENCES[0])
    (tmp_path / "me.transcripts.tsv").write_text("corrected")
    result = clone(run_cli, base, tmp_path / "me.voice.safetensors", tmp_path / "a.wav", "--asr", "--force")
    assert result.failed(2, "me.transcripts.tsv exists already", "--transcripts", "delete it")


def test_a_long_recording_keeps_the_text_next_to_it(run_cli, base, tmp_path, recogniser) -> None:
    audio = tmp_path / "long.wav"
    write_spoken(audio, " ".join(SENTENCES * 5))
    audio.with_suffix(".txt").write_text("\n".join(SENTENCES * 5))
    result = clone(run_cli, base, tmp_path / "me.voice.safetensors", audio, "--asr")
    assert result.status == 0 and recogniser.calls
    assert [line[3] for line in rows(tmp_path / "me.transcripts.tsv")[1:]] == list(SENTENCES * 5)


def test_without_asr_the_aligner_distributes_the_text_of_a_long_recording(run_cli, base, tmp_path, monkeypatch) -> None:
    audio, calls = tmp_path / "long.wav", list[tuple[Path, str]]()

    def slice_by_text(path: Path, text: str, _: object) -> list[Slice]:
        calls.append((path, text))
        return [Slice(0.5, 4.0, SENTENCES[0], 0.5), Slice(4.2, 8.0, SENTENCES[1], 0.4)]

    monkeypatch.setattr("tts_meta.cli.clone_texts.slice_by_text", slice_by_text)
    write_spoken(audio, " ".join(SENTENCES * 5))
    audio.with_suffix(".txt").write_text("The text.")
    result = clone(run_cli, base, tmp_path / "me.voice.safetensors", audio)
    assert result.status == 0 and result.json["sentences"] == 2 and calls == [(audio, "The text.")]
    assert [line[1:4] for line in rows(tmp_path / "me.transcripts.tsv")[1:]] == [
        ["0.500", "4.000", SENTENCES[0]],
        ["4.200", "8.000", SENTENCES[1]],
    ]


def test_slices_that_are_not_used_are_warnings_and_lines_without_a_text(run_cli, base, tmp_path, recogniser) -> None:
    write_spoken(tmp_path / "long.wav", LONG_TEXT.replace(SENTENCES[1], "ab ab ab ab ab ab ab ab."))
    result = clone(run_cli, base, tmp_path / "me.voice.safetensors", tmp_path / "long.wav", "--asr")
    assert result.status == 0 and result.json["sentences"] == 9
    assert sum("not used, the transcript repeats itself" in line for line in result.json["warnings"]) == 3
    left_out = [line for line in rows(tmp_path / "me.transcripts.tsv") if not line[3]]
    assert len(left_out) == 3 and left_out[0][5].endswith("ab ab ab ab ab ab ab ab.")


def test_recordings_with_and_without_a_text_are_in_one_list(run_cli, base, tmp_path, recogniser) -> None:
    for name, text in zip("ab", SENTENCES, strict=False):
        write_spoken(tmp_path / f"{name}.wav", text)
    (tmp_path / "a.txt").write_text("abc de fgh")
    audio, out = (tmp_path / "a.wav", tmp_path / "b.wav"), tmp_path / "me.voice.safetensors"
    result = clone(run_cli, base, out, *audio, "--whisper", "small")
    assert result.status == 0 and len(recogniser.calls) == 1
    given, recognised = rows(tmp_path / "me.transcripts.tsv")[1:]
    assert given == ["a.wav", "", "", "abc de fgh", "", ""]
    assert recognised == ["b.wav", "", "", SENTENCES[1].replace("bee", "cee"), "0.900", ""]
    found = find_transcripts(audio, tmp_path / "me.transcripts.tsv")
    assert [recording.text for recording in found] == [given[3], recognised[3]]


def test_without_asr_the_error_names_asr(run_cli, base, tmp_path) -> None:
    out = tmp_path / "me.voice.safetensors"
    write_spoken(tmp_path / "long.wav", LONG_TEXT)
    write_spoken(tmp_path / "short.wav", SENTENCES[0])
    for name in ("long", "short"):
        result = clone(run_cli, base, out, tmp_path / f"{name}.wav")
        assert result.failed(1, f"{name}.wav", "--asr")
    assert not out.exists()
