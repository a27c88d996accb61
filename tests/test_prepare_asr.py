"""`prepare --asr`: transcripts, slices of long recordings, restarts, and the same bytes for any number of processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpora import dropped
from prepare_runs import ROOT
from spoken_tones import RATE, ToneRecogniser, tone_speech_activity, write_spoken

from data_prep import AsrOptions, PreparedCorpus, PrepareOptions, Shard, merge, prepare_corpus
from tts_meta.corpus import Manifest, Utterance
from tts_meta.errors import TtsMetaError

SENTENCES = ("abc de fgh, bad cafe.", "had a bag bee, a deaf cab.", "fed a cad, he gabe.", "dab chef, a bead age.")
pytestmark = pytest.mark.usefixtures("tone_speech_activity")
assert tone_speech_activity

_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import data_prep.pipeline.asr_task as asr_task
import data_prep.pipeline.transcribed as transcribed
import tts_meta.asr.recording as recording
from spoken_tones import RATE, ToneRecogniser, tone_intervals

asr_task.load_recogniser = lambda whisper: ToneRecogniser()
transcribed._find_model = lambda whisper: ("tones", "tones")
recording.speech_intervals = tone_intervals

if __name__ == "__main__":
    from tts_meta.cli import main
    sys.exit(main(["prepare", "folder", *sys.argv[2:]]))
"""


@pytest.fixture
def recogniser(monkeypatch: pytest.MonkeyPatch) -> ToneRecogniser:
    recogniser = ToneRecogniser()
    monkeypatch.setattr("data_prep.pipeline.asr_task.load_recogniser", lambda whisper: recogniser)
    monkeypatch.setattr("data_prep.pipeline.transcribed._find_model", lambda whisper: ("tones", "tones"))
    return recogniser


def write_corpus(folder: Path) -> Path:
    """Two short recordings, one with a text; a long one without a text and one with; and one without speech."""
    write_spoken(folder / "ann" / "a.wav", SENTENCES[0])
    (folder / "ann" / "a.txt").write_text("Given text.")
    write_spoken(folder / "ann" / "b.wav", SENTENCES[1])
    write_spoken(folder / "ben" / "long.wav", " ".join(SENTENCES * 3))
    write_spoken(folder / "ben" / "read.wav", " ".join(SENTENCES * 5))
    (folder / "ben" / "read.txt").write_text(" ".join(SENTENCES * 5).upper())
    soundfile.write(folder / "ben" / "silence.wav", np.zeros(RATE), RATE)
    return folder


def prepared(corpus: Path, out: Path, **options) -> dict[str, Utterance]:
    written = prepare_corpus("folder", corpus, out, PrepareOptions(asr=AsrOptions(), **options))
    assert isinstance(written, PreparedCorpus)
    return {utterance.id: utterance for utterance in Manifest.load(written.path)}


def test_missing_texts_are_transcribed_and_given_texts_are_kept(tmp_path: Path, recogniser: ToneRecogniser) -> None:
    utterances = prepared(write_corpus(tmp_path / "corpus"), tmp_path / "out")
    assert utterances["ann/a"].text == "Given text." and utterances["ann/a"].asr_confidence is None
    assert utterances["ann/b"].text == SENTENCES[1] and utterances["ann/b"].asr_confidence == 0.9
    assert utterances["ann/b"].start is None
    assert dropped(tmp_path / "out") == {
        "ben/silence": "no speech was found, only music, noise or silence; leave it out"
    }


def test_long_recordings_become_slices_whose_sources_are_parts(tmp_path: Path, recogniser: ToneRecogniser) -> None:
    utterances = prepared(write_corpus(tmp_path / "corpus"), tmp_path / "out")
    slices = [utterance for name, utterance in utterances.items() if name.startswith("ben/long-")]
    assert [part.text for part in slices] == list(SENTENCES * 3) and {part.speaker for part in slices} == {"ben"}
    assert {part.asr_confidence for part in slices} == {0.9}
    for part in slices:
        assert part.start is not None and part.end is not None
        assert part.id == f"ben/long-{round(part.start * 1000):07d}-{round(part.end * 1000):07d}"
        assert part.seconds == pytest.approx(part.end - part.start, abs=1e-3) and "#t=" in str(part.source)
    read = [utterance for name, utterance in utterances.items() if name.startswith("ben/read-")]
    assert [part.text for part in read] == [sentence.upper() for sentence in SENTENCES * 5]
    assert {part.asr_confidence for part in read} == {None}


def test_slices_that_are_not_used_are_dropped_with_their_list_line_and_reason(tmp_path, recogniser) -> None:
    corpus = tmp_path / "corpus"
    write_spoken(corpus / "long.wav", " ".join([*SENTENCES * 3, "ab ab ab ab ab ab ab ab."]))
    (corpus / "metadata.csv").write_text("file|text\nlong.wav|\n")
    assert len(prepared(corpus, tmp_path / "out")) == 12
    (line,) = map(json.loads, (tmp_path / "out" / "dropped.jsonl").read_text().splitlines())
    assert line["id"].startswith("long-00") and (line["line"], line["audio"]) == (2, "../corpus/long.wav")
    assert line["file"] == "../corpus/metadata.csv"
    assert (
        line["reason"]
        == 'the transcript repeats itself (compression ratio 1.2); recognised as "ab ab ab ab ab ab ab ab."'
    )


def test_the_language_of_the_list_is_passed_to_the_recogniser(tmp_path: Path, recogniser: ToneRecogniser) -> None:
    corpus = tmp_path / "corpus"
    write_spoken(corpus / "a.wav", SENTENCES[0])
    write_spoken(corpus / "b.wav", SENTENCES[1])
    (corpus / "metadata.csv").write_text("file|text|language\na.wav||en-GB\nb.wav||de\n")
    assert list(prepared(corpus, tmp_path / "out")) == ["a"]
    assert set(recogniser.calls) == {"en", "de"}
    assert "the language seems to be 'en' (0.95), not 'de'" in dropped(tmp_path / "out")["b"]


def test_without_asr_the_recogniser_is_not_used(tmp_path: Path, recogniser: ToneRecogniser) -> None:
    prepare_corpus("folder", write_corpus(tmp_path / "corpus"), tmp_path / "out", PrepareOptions())
    assert recogniser.calls == [] and "no transcript" in dropped(tmp_path / "out")["ann/b"]


def test_the_error_for_a_corpus_without_texts_names_asr(tmp_path: Path) -> None:
    write_spoken(tmp_path / "corpus" / "a.wav", SENTENCES[0])
    with pytest.raises(TtsMetaError, match="--asr transcribes recordings"):
        prepare_corpus("folder", tmp_path / "corpus", tmp_path / "out", PrepareOptions())


def test_a_run_that_was_stopped_transcribes_no_recording_twice(tmp_path: Path, recogniser, monkeypatch) -> None:
    corpus, reference = write_corpus(tmp_path / "corpus"), tmp_path / "reference"
    prepared(corpus, reference)
    needed = len(recogniser.calls)
    recogniser.calls.clear()
    recognise = ToneRecogniser.segments

    def stop_at_the_second(self: ToneRecogniser, samples, language):
        if len(self.calls) == 1:
            raise KeyboardInterrupt
        return recognise(self, samples, language)

    with monkeypatch.context() as patch:
        patch.setattr(ToneRecogniser, "segments", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            prepared(corpus, tmp_path / "out")
    prepared(corpus, tmp_path / "out")
    assert len(recogniser.calls) == needed
    assert (tmp_path / "out" / "manifest.jsonl").read_bytes() == (reference / "manifest.jsonl").read_bytes()


def test_processes_and_shards_write_the_same_bytes(tmp_path: Path, recogniser: ToneRecogniser) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    prepared(corpus, tmp_path / "one")
    (tmp_path / "program.py").write_text(_PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py"), str(ROOT / "tests"), str(corpus), str(tmp_path / "two")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run([*command, "--asr", "--jobs", "2"], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for number in (1, 2, 3):
        options = PrepareOptions(asr=AsrOptions(), shard=Shard(number, 3))
        prepare_corpus("folder", corpus, tmp_path / "shards", options)
    merge(tmp_path / "shards")
    for name in ("manifest.jsonl", "dropped.jsonl"):
        expected = (tmp_path / "one" / name).read_bytes()
        assert (tmp_path / "two" / name).read_bytes() == expected and (
            tmp_path / "shards" / name
        ).read_bytes() == expected


def test_a_corrected_list_of_slices_is_prepared_with_its_parts(tmp_path: Path) -> None:
    write_spoken(tmp_path / "corpus" / "long.wav", " ".join(SENTENCES * 3))
    listed = tmp_path / "corpus" / "metadata.csv"
    listed.write_text("audio\tstart\tend\ttext\nlong.wav\t0\t2.5\tOne.\nlong.wav\t2.5\t5\tTwo.\nlong.wav\t5\t8\t\n")
    prepare_corpus("folder", tmp_path / "corpus", tmp_path / "out", PrepareOptions())
    utterances = list(Manifest.load(tmp_path / "out" / "manifest.jsonl"))
    assert [(part.id, part.text, part.start, part.end) for part in utterances] == [
        ("long-0000000-0002500", "One.", 0.0, 2.5),
        ("long-0002500-0005000", "Two.", 2.5, 5.0),
    ]
    assert dropped(tmp_path / "out") == {"long-0005000-0008000": "empty text"}


@pytest.mark.parametrize("confidence", ["1.5", "-0.1", '"high"'])
def test_a_confidence_that_is_no_share_is_refused(tmp_path: Path, confidence: str) -> None:
    from faults import error_line

    line = (
        f'{{"id": "a", "speaker": "s", "audio": "a.wav", "seconds": 1, "text": "A.", "asr_confidence": {confidence}}}'
    )
    (tmp_path / "manifest.jsonl").write_text(line + "\n")
    assert "asr_confidence" in error_line(lambda: Manifest.load(tmp_path / "manifest.jsonl"))
