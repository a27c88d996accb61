"""Measure the slices that `clone --asr` makes of a long recording: their transcripts and their boundaries.

python -m recipes.librispeech_mini.slicing ../shared/corpus --speaker ls4088 --sentences 26      prints a table

The long recording is made of sentences of one training speaker, with pauses of random lengths between them. Its text is
therefore known. Needs a Whisper model and the extra `eval`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import soundfile

from data_prep import CORPORA
from tts_meta.adapt.long_text import slice_by_text
from tts_meta.asr.recording import Recogniser, slice_recording
from tts_meta.asr.whisper import Transcriber
from tts_meta.asr.words import Segment, Slice
from tts_meta.audio.io import Waveform, read_audio
from tts_meta.audio.waveform import SPEECH_RATE
from tts_meta.cli import run_command
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.wer import normalise
from tts_meta.models.pretrained import load_base

_TOLERANCE = 0.1
"""Seconds by which a slice and a sentence must overlap for a word of the sentence to be in the slice."""


@dataclass(frozen=True)
class LongRecording:
    """Samples at 16 kHz, and the sentences with their starts and ends in seconds."""

    samples: Waveform
    sentences: list[tuple[float, float, str]]

    @property
    def text(self) -> str:
        return " ".join(text for _, _, text in self.sentences)


@dataclass
class Remembering:
    """A recogniser that transcribes each window once."""

    recogniser: Recogniser
    results: dict[bytes, list[Segment]] = field(default_factory=dict)

    def segments(self, samples: Waveform, language: str | None) -> list[Segment]:
        key = samples.tobytes()
        if key not in self.results:
            self.results[key] = self.recogniser.segments(samples, language)
        return self.results[key]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--speaker", default="ls4088")
    parser.add_argument("--sentences", type=int, default=26)
    parser.add_argument("--whisper", help="name or folder of the model; default: TTS_META_WHISPER")
    options = parser.parse_args(arguments)
    recording = join_sentences(options.corpus, options.speaker, options.sentences)
    recogniser = Remembering(Transcriber(options.whisper))
    print("| text | slices | used | equal | words in a wrong slice | WER (%) | seconds of a slice | CPU seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.wav"
        soundfile.write(path, recording.samples, SPEECH_RATE)
        base = load_base()
        _print_row("known, aligner", lambda: slice_by_text(path, recording.text, base), recording)
    _print_row("recognised, Whisper", lambda: slice_recording(recording.samples, recogniser, "en"), recording)
    # The windows are those of the row before, so they are not recognised again.
    known = slice_recording(recording.samples, recogniser, "en", recording.text)
    print(f"| known, Whisper | {row(known, recording)} as above |")
    print(f"The recording has {len(recording.sentences)} sentences, {len(recording.samples) / SPEECH_RATE:.0f} s.")


def _print_row(name: str, make: Callable[[], list[Slice]], recording: LongRecording) -> None:
    start = time.process_time()
    slices = make()
    print(f"| {name} | {row(slices, recording)} {time.process_time() - start:.0f} |", flush=True)


def join_sentences(corpus: Path, speaker: str, count: int) -> LongRecording:
    """Return the first sentences of a training speaker as one recording, with pauses of 0.1 to 0.7 s of faint noise."""
    random, position = np.random.default_rng(0), 0
    parts, sentences = list[Waveform](), list[tuple[float, float, str]]()
    chosen = [item for item in CORPORA["librispeech-mini"](corpus) if item.speaker == speaker and item.split == "train"]
    if not chosen:
        raise TtsMetaError(f"{corpus}: no training speaker named {speaker!r}; choose one of the split train")
    for recording in chosen[:count]:
        assert recording.audio is not None
        samples = read_audio(recording.audio, SPEECH_RATE)
        pause = 1e-4 * random.standard_normal(round(random.uniform(0.1, 0.7) * SPEECH_RATE))
        sentences.append((position / SPEECH_RATE, (position + len(samples)) / SPEECH_RATE, recording.text))
        parts += [samples, pause.astype(np.float32)]
        position += len(samples) + len(pause)
    return LongRecording(np.concatenate(parts), sentences)


def row(slices: Sequence[Slice], recording: LongRecording) -> str:
    """Return the cells of a table: slices, used ones, equal ones, words in a wrong slice, WER, seconds."""
    used = [part for part in slices if part.fault is None]
    heard = [(word, number) for number, part in enumerate(used) for word in normalise(part.text).split()]
    truth = [(word, number) for number, item in enumerate(recording.sentences) for word in normalise(item[2]).split()]
    matcher = SequenceMatcher(None, [word for word, _ in truth], [word for word, _ in heard], autojunk=False)
    faulty, misplaced, edits = set[int](), 0, 0
    for kind, first, last, begin, end in matcher.get_opcodes():
        if kind == "equal":
            for sentence, part in zip(truth[first:last], heard[begin:end], strict=True):
                misplaced += not _overlaps(recording.sentences[sentence[1]], used[part[1]])
            continue
        edits += max(last - first, end - begin)
        # Words that are missing at the boundary of two slices count for the first one.
        numbers = range(begin, end) if end > begin else [max(0, begin - 1)]
        faulty |= {heard[number][1] for number in numbers}
    equal, lengths = len(used) - len(faulty), sorted(part.end - part.start for part in used)
    share = 100 * equal / max(1, len(used))
    error = 100 * edits / len(truth)
    times = f"{lengths[0]:.1f} to {lengths[-1]:.1f}, median {lengths[len(lengths) // 2]:.1f}"
    return f"{len(slices)} | {len(used)} | {equal} ({share:.0f} %) | {misplaced} | {error:.1f} | {times} |"


def _overlaps(sentence: tuple[float, float, str], part: Slice) -> bool:
    return min(sentence[1], part.end) - max(sentence[0], part.start) > _TOLERANCE


if __name__ == "__main__":
    sys.exit(run_command(main))
