"""How often `clone` warns of ordinary recordings, and how often it names a fault that was put in.

    python recipes/librispeech_mini/recording_faults.py ../shared/corpus --ordinary 300 --faulty 25

Each fault is put into sentences of training speakers; those of `eval` are never read. The table gives, for each fault,
the part of the sentences with any warning and with the warning that names the fault.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from data_prep import CORPORA, Recording
from tts_meta.adapt import Recording as Sentence
from tts_meta.adapt import prepare_recordings
from tts_meta.audio.io import read_audio
from tts_meta.models.pretrained import Base, load_base

RATE = 22050
Faulty = tuple[np.ndarray, int, str]
"""Samples, the rate in the header, and the transcript."""


def mains(samples: np.ndarray, decibels: float) -> np.ndarray:
    """Add hum at 50 Hz and two harmonics, so many dB above the speech."""
    time = np.arange(len(samples)) / RATE
    tones = sum(size * np.sin(2 * np.pi * 50 * number * time) for number, size in ((1, 0.8), (2, 0.5), (3, 0.33)))
    return (samples + samples.std() * 10 ** (decibels / 20) * np.sqrt(2) * np.asarray(tones)).astype(np.float32)


def faults(samples: np.ndarray, text: str, other: np.ndarray, other_text: str) -> Iterator[tuple[str, str, Faulty]]:
    """Each fault, a part of the warning that names it, and the recording with it."""
    half = len(samples) // 2
    words = text.split()
    noise = np.random.default_rng(0).standard_normal(len(samples))
    pause = np.concatenate([samples[:half], np.zeros(4 * RATE), samples[half:]])
    yield "hum 10 dB below the speech", "mains hum at 50 Hz", (mains(samples, -10), RATE, text)
    yield "hum 20 dB below the speech", "mains hum at 50 Hz", (mains(samples, -20), RATE, text)
    yield "noise 6 dB below the speech", "noise is only", (samples + 0.5 * samples.std() * noise, RATE, text)
    yield "a pause of 4 s inside", "a pause of", (pause, RATE, text)
    yield "header says twice the rate", "the header says", (samples, 2 * RATE, text)
    yield "header says half the rate", "the header says", (samples, RATE // 2, text)
    yield "transcript with another sentence", "contains more than is spoken", (samples, RATE, f"{text} {other_text}")
    yield "transcript twice", "transcript contains the sentence twice", (samples, RATE, f"{text} {text}")
    yield "spoken twice", "spoken twice", (np.concatenate([samples, samples]), RATE, text)
    yield "half of the transcript", "more is spoken than", (samples, RATE, " ".join(words[: len(words) // 2]))
    yield "another sentence spoken too", "more is spoken than", (np.concatenate([samples, other]), RATE, text)
    yield "transcript of another sentence", "does not seem to match", (samples, RATE, other_text)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--ordinary", type=int, default=300, help="ordinary sentences")
    parser.add_argument("--faulty", type=int, default=25, help="sentences that each fault is put into")
    parser.add_argument("--pairs", type=int, default=300, help="sets of recordings of one and of two speakers")
    options = parser.parse_args()
    base = load_base()
    found = [one for one in CORPORA["librispeech-mini"](options.corpus) if one.split == "train" and one.audio]
    ordinary(base, [found[n * len(found) // options.ordinary] for n in range(options.ordinary)])
    faulty(base, [found[n * len(found) // options.faulty] for n in range(options.faulty)])
    voices(found, options.pairs)


def ordinary(base: Base, sentences: Sequence[Recording]) -> None:
    """Count sentences with a warning."""
    warned = list[str]()
    for one in sentences:
        assert one.audio is not None
        before = len(warned)
        prepare_recordings([Sentence(one.audio, one.text)], base, one.speaker, warned.append)
        del warned[before + 1 :]
    print(f"| ordinary sentences | {len(sentences)} | {len(warned)} with a warning |")
    for line in warned:
        print("   ", line)


def faulty(base: Base, sentences: Sequence[Recording]) -> None:
    """Count, for each fault, sentences with a warning and with the right one."""
    counts = dict[str, list[int]]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        for one, other in zip(sentences, [*sentences[1:], sentences[0]], strict=True):
            assert one.audio is not None and other.audio is not None
            speech = (read_audio(one.audio, RATE), one.text, read_audio(other.audio, RATE), other.text)
            for name, phrase, (samples, rate, text) in faults(*speech):
                soundfile.write(path, samples / max(1.0, np.abs(samples).max()), rate)
                lines = warnings_of(base, path, text)
                tally = counts.setdefault(name, [0, 0, 0])
                tally[0] += 1
                tally[1] += bool(lines)
                tally[2] += any(phrase in line for line in lines)
    for name, (total, any_warning, right) in counts.items():
        print(f"| {name} | {total} | {any_warning} | {right} |")


def warnings_of(base: Base, path: Path, text: str) -> list[str]:
    """What `clone` would say of one recording; a refusal counts as a warning."""
    from tts_meta.errors import TtsMetaError

    lines = list[str]()
    try:
        prepare_recordings([Sentence(path, text)], base, "speaker", lines.append)
    except TtsMetaError as error:
        lines.append(str(error))
    return lines


def voices(found: Sequence[Recording], pairs: int) -> None:
    """Count sets of 2 to 10 recordings that are called those of two speakers, of one speaker and of two."""
    from tts_meta.adapt import second_speaker
    from tts_meta.audio import load_speech
    from tts_meta.audio.trimming import AudioConfig
    from tts_meta.models.speaker_encoder import SpeakerEncoder

    random, encoder, config = np.random.default_rng(0), SpeakerEncoder.load(), AudioConfig()
    of = dict[str, list[Recording]]()
    for one in found:
        of.setdefault(one.speaker, []).append(one)
    embeddings = dict[str, np.ndarray]()

    def embed(one: Recording) -> np.ndarray:
        if one.id not in embeddings:
            assert one.audio is not None
            embeddings[one.id] = encoder.embed(load_speech(one.audio, config).waveform, RATE)
        return embeddings[one.id]

    def called_two(chosen: Sequence[Recording]) -> bool:
        vectors = np.stack([embed(one) for one in chosen])
        return (
            second_speaker.mean_cosine(vectors, *second_speaker.two_clusters(vectors))
            < second_speaker.SAME_SPEAKER_COSINE
        )

    def draw(speaker: str, count: int) -> list[Recording]:
        long = [one for one in of[speaker][:20] if one.audio is not None]
        return [long[place] for place in random.choice(len(long), min(count, len(long)), replace=False)]

    results: dict[str, Callable[[str, str, int], list[Recording]]] = {
        "one speaker": lambda first, second, count: draw(first, count),
        "two speakers": lambda first, second, count: (
            draw(first, count - count // 3 or 1) + draw(second, count // 3 or 1)
        ),
    }
    for name, make in results.items():
        called = 0
        for _ in range(pairs):
            first, second = random.choice(sorted(of), 2, replace=False)
            called += called_two(make(str(first), str(second), int(random.integers(2, 11))))
        print(f"| recordings of {name} | {pairs} | {called} called two |")


if __name__ == "__main__":
    main()
