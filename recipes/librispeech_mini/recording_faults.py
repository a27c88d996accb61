"""Count how often `clone` warns of ordinary recordings, and how often it names a planted fault.

python -m recipes.librispeech_mini.recording_faults ../shared/corpus --ordinary 300 --faulty 25      prints tables

Each fault is planted in sentences of training speakers; `eval` speakers are never read. For each fault the table gives
the number of sentences, of those with any warning, and of those with the warning that names the fault.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from data_prep import CORPORA, Recording
from tts_meta.adapt import Recording as CloneRecording
from tts_meta.adapt import prepare_recordings
from tts_meta.audio.io import read_audio
from tts_meta.cli import run_command
from tts_meta.errors import TtsMetaError
from tts_meta.models.pretrained import Base, load_base

RATE = 22050
FaultyRecording = tuple[np.ndarray, int, str]
"""Samples, the rate in the header, and the transcript."""


def add_mains_hum(samples: np.ndarray, decibels: float) -> np.ndarray:
    """Add hum at 50 Hz with two harmonics, at a level in dB relative to the speech."""
    time = np.arange(len(samples)) / RATE
    hum = sum(gain * np.sin(2 * np.pi * 50 * harmonic * time) for harmonic, gain in ((1, 0.8), (2, 0.5), (3, 0.33)))
    return (samples + samples.std() * 10 ** (decibels / 20) * np.sqrt(2) * np.asarray(hum)).astype(np.float32)


def planted_faults(
    samples: np.ndarray, text: str, other: np.ndarray, other_text: str
) -> Iterator[tuple[str, str, FaultyRecording]]:
    """Each fault, a part of the warning that names it, and the recording with the fault."""
    half = len(samples) // 2
    words = text.split()
    noise = np.random.default_rng(0).standard_normal(len(samples))
    pause = np.concatenate([samples[:half], np.zeros(4 * RATE), samples[half:]])
    yield "hum 10 dB below the speech", "mains hum at 50 Hz", (add_mains_hum(samples, -10), RATE, text)
    yield "hum 20 dB below the speech", "mains hum at 50 Hz", (add_mains_hum(samples, -20), RATE, text)
    yield "noise 6 dB below the speech", "noise is only", (samples + 0.5 * samples.std() * noise, RATE, text)
    yield "a pause of 4 s within the sentence", "a pause of", (pause, RATE, text)
    yield "header with twice the sample rate", "the header says", (samples, 2 * RATE, text)
    yield "header with half the sample rate", "the header says", (samples, RATE // 2, text)
    yield (
        "transcript with an additional sentence",
        "contains more than is spoken",
        (samples, RATE, f"{text} {other_text}"),
    )
    yield "transcript repeated", "transcript contains the sentence twice", (samples, RATE, f"{text} {text}")
    yield "sentence spoken twice", "spoken twice", (np.concatenate([samples, samples]), RATE, text)
    yield "half of the transcript", "more is spoken than", (samples, RATE, " ".join(words[: len(words) // 2]))
    yield "an additional sentence spoken", "more is spoken than", (np.concatenate([samples, other]), RATE, text)
    yield "transcript of another sentence", "does not seem to match", (samples, RATE, other_text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of LibriSpeech mini")
    parser.add_argument("--ordinary", type=int, default=300, help="ordinary sentences; default: 300")
    parser.add_argument("--faulty", type=int, default=25, help="sentences for each fault; default: 25")
    parser.add_argument(
        "--pairs", type=int, default=300, help="sets of recordings of one speaker, and of two speakers; default: 300"
    )
    options = parser.parse_args()
    base = load_base()
    recordings = [r for r in CORPORA["librispeech-mini"](options.corpus) if r.split == "train" and r.audio]
    count_ordinary(base, evenly_spaced(recordings, options.ordinary))
    count_faulty(base, evenly_spaced(recordings, options.faulty))
    count_two_speakers(recordings, options.pairs)


def evenly_spaced(recordings: Sequence[Recording], count: int) -> list[Recording]:
    """`count` recordings, spread evenly over the corpus."""
    return [recordings[number * len(recordings) // count] for number in range(count)]


def count_ordinary(base: Base, sentences: Sequence[Recording]) -> None:
    """Print how many ordinary sentences get a warning, and the first warning of each."""
    first_warnings = list[str]()
    for sentence in sentences:
        assert sentence.audio is not None
        first_warnings += warnings_of(base, sentence.audio, sentence.text)[:1]
    print(f"| ordinary | {len(sentences)} | {len(first_warnings)} with a warning |")
    for line in first_warnings:
        print("   ", line)


def count_faulty(base: Base, sentences: Sequence[Recording]) -> None:
    """Print, for each fault, how many sentences get a warning, and how many the correct one."""
    counts = dict[str, list[int]]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        for sentence, other in zip(sentences, [*sentences[1:], sentences[0]], strict=True):
            assert sentence.audio is not None and other.audio is not None
            speech = (read_audio(sentence.audio, RATE), sentence.text, read_audio(other.audio, RATE), other.text)
            for fault, phrase, (samples, rate, text) in planted_faults(*speech):
                soundfile.write(path, samples / max(1.0, np.abs(samples).max()), rate)
                warnings = warnings_of(base, path, text)
                tally = counts.setdefault(fault, [0, 0, 0])
                tally[0] += 1
                tally[1] += bool(warnings)
                tally[2] += any(phrase in line for line in warnings)
    for fault, (total, with_warning, with_correct_warning) in counts.items():
        print(f"| {fault} | {total} | {with_warning} | {with_correct_warning} |")


def warnings_of(base: Base, path: Path, text: str) -> list[str]:
    """The warnings of `clone` about one recording; an error counts as a warning."""
    lines = list[str]()
    try:
        prepare_recordings([CloneRecording(path, text)], base, "speaker", lines.append)
    except TtsMetaError as error:
        lines.append(str(error))
    return lines


def count_two_speakers(recordings: Sequence[Recording], pairs: int) -> None:
    """Print how many sets of 2 to 10 recordings, of one speaker and of two, are taken for those of two speakers."""
    from tts_meta.adapt import second_speaker
    from tts_meta.audio import load_speech
    from tts_meta.audio.trimming import AudioConfig
    from tts_meta.models.speaker_encoder import SpeakerEncoder

    random, encoder, config = np.random.default_rng(0), SpeakerEncoder.load(), AudioConfig()
    by_speaker = dict[str, list[Recording]]()
    for recording in recordings:
        by_speaker.setdefault(recording.speaker, []).append(recording)
    embeddings = dict[str, np.ndarray]()

    def embed(recording: Recording) -> np.ndarray:
        if recording.id not in embeddings:
            assert recording.audio is not None
            embeddings[recording.id] = encoder.embed(load_speech(recording.audio, config).waveform, RATE)
        return embeddings[recording.id]

    def taken_for_two(chosen: Sequence[Recording]) -> bool:
        vectors = np.stack([embed(recording) for recording in chosen])
        cosine = second_speaker.mean_cosine(vectors, *second_speaker.two_clusters(vectors))
        return cosine < second_speaker.SAME_SPEAKER_COSINE

    def draw(speaker: str, count: int) -> list[Recording]:
        available = [recording for recording in by_speaker[speaker][:20] if recording.audio is not None]
        indices = random.choice(len(available), min(count, len(available)), replace=False)
        return [available[index] for index in indices]

    draws: dict[str, Callable[[str, str, int], list[Recording]]] = {
        "one speaker": lambda first, second, count: draw(first, count),
        "two speakers": lambda first, second, count: (
            draw(first, count - count // 3 or 1) + draw(second, count // 3 or 1)
        ),
    }
    for name, draw_set in draws.items():
        count_for_two = 0
        for _ in range(pairs):
            first, second = random.choice(sorted(by_speaker), 2, replace=False)
            count_for_two += taken_for_two(draw_set(str(first), str(second), int(random.integers(2, 11))))
        print(f"| recordings of {name} | {pairs} | {count_for_two} taken for two speakers |")


if __name__ == "__main__":
    sys.exit(run_command(main))
