"""What many tests share: a tiny base and vocoder, a phonemizer of plain letters, recordings of a language of tones."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tts_meta.adapt import Voice
from tts_meta.audio import write_wav
from tts_meta.audio.io import Waveform
from tts_meta.audio.mel import MelConfig
from tts_meta.config import parse_config
from tts_meta.corpus import Batch, Example, Manifest, Utterance, collate
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.pretrained import Base, BaseConfig
from tts_meta.models.vocoders.hifigan import HifiGanConfig
from tts_meta.models.vocoders.pitch_predictor import PitchConfig
from tts_meta.models.vocoders.source_filter import SourceFilterConfig, SourceFilterGenerator
from tts_meta.text import HibariPhonemizer, Lexicon, SymbolTable
from tts_meta.text.normalize import Sentence
from tts_meta.text.phonemizer import PHONEMIZERS
from tts_meta.train.pretrain import PretrainConfig

RATE = 22050
LETTERS = "abcdefgh"
TINY_HIFIGAN = HifiGanConfig(
    upsample_rates=(4, 2),
    upsample_kernel_sizes=(8, 4),
    upsample_initial_channel=8,
    resblock_kernel_sizes=(3, 5),
    resblock_dilation_sizes=((1, 2), (1, 3)),
    num_mels=6,
)


class Letters:
    """A phonemizer that starts at once: each letter is its own phoneme."""

    name = "letters"

    def alphabet(self, texts: Iterable[str] = ()) -> list[str]:
        return list(LETTERS)

    def sentences(self, text: str, lexicon: Lexicon | None = None) -> Iterator[Sentence]:
        written = text if lexicon is None else lexicon.respell(text)
        parts = re.split(r"(?<=[.!?])\s+", " ".join(written.split()))
        spoken = [part for part in parts if any(character.isalnum() for character in part)]
        for number, part in enumerate(spoken, start=1):
            yield Sentence(part) if number < len(spoken) else Sentence(part, 0.0)

    def phonemize_sentence(self, sentence: str, lexicon: Lexicon | None = None) -> str:
        return (sentence if lexicon is None else lexicon.pronounce(sentence, lambda word, phonemes: phonemes)).lower()

    def phonemize(self, text: str, lexicon: Lexicon | None = None) -> str:
        return " ".join(self.phonemize_sentence(sentence.text, lexicon) for sentence in self.sentences(text, lexicon))


PHONEMIZERS["letters"] = Letters


def tiny_config(reduction: int = 3, phonemizer: str = "letters") -> BaseConfig:
    """Return the configuration of a base with few channels."""
    data = {
        "phonemizer": phonemizer,
        "aligner": {"channels": 24, "layers": 2, "kernel": 3},
        "acoustic": {
            "speaker_channels": 6,
            "encoder": {"channels": 16, "layers": 2, "kernel": 3},
            "duration": {"channels": 12, "layers": 2},
            "prosody": {"channels": 12, "layers": 2},
            "decoder": {"reduction": reduction, "prenet": 12, "channels": 20, "layers": 2},
            "postnet": {"channels": 10, "layers": 3, "kernel": 5},
        },
    }
    return parse_config(data, BaseConfig, "tiny")


def tiny_base(seed: int = 0, reduction: int = 3) -> Base:
    """Return an untrained base over `LETTERS`, in evaluation mode, with plausible log-mels and durations."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        base = Base.create(tiny_config(reduction), SymbolTable.from_alphabet(list(LETTERS)), ("ann", "ben"))
    with torch.no_grad():
        base.acoustic.mel_mean.fill_(-5.0)
        base.acoustic.mel_scale.fill_(2.0)
        base.acoustic.duration.output.bias.fill_(1.6)
    for model in (base.aligner, base.acoustic):
        model.eval().requires_grad_(False)
    return base


def tiny_source_filter(seed: int = 0) -> SourceFilterGenerator:
    """An untrained light vocoder, a few channels wide, in evaluation mode."""
    pitch = PitchConfig(bins=16, channels=8, layers=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SourceFilterGenerator(SourceFilterConfig(channels=16, layers=1, pitch=pitch), MelConfig()).eval()


def random_example(base: Base, phonemes: str, seed: int, speaker: str = "ann") -> Example:
    """Return a sentence with random durations and log-mels of matching lengths."""
    generator = torch.Generator().manual_seed(seed)
    tokens = base.symbols.encode(phonemes)
    durations = torch.randint(0, 6, (len(tokens),), generator=generator)
    durations[1] += 2
    mel = -5 + 2 * torch.randn(int(durations.sum()), base.acoustic.n_mels, generator=generator)
    return Example(f"{speaker}-{seed}", speaker, tokens, durations, mel)


def tiny_english_base() -> Base:
    """A tiny base that reads English, with log-mels and durations of a plausible size."""
    small = tiny_base()
    symbols = SymbolTable.from_alphabet(HibariPhonemizer().alphabet())
    base = Base.create(tiny_config(phonemizer="hibari"), symbols, small.speakers)
    for name in ("mel_mean", "mel_scale"):
        getattr(base.acoustic, name).copy_(getattr(small.acoustic, name))
    base.acoustic.duration.output.bias.data.fill_(1.6)
    return base


def similar_examples(base: Base) -> list[Example]:
    """Five sentences of a new speaker with similar frames, so that adaptation can lower the loss."""
    examples = [random_example(base, tone_sentence(seed, words=4), seed, "new") for seed in range(5)]
    shape = torch.linspace(-2, 2, 80)
    return [replace(example, mel=-5 + shape + 0.2 * (example.mel + 5)) for example in examples]


def in_double(examples: list[Example]) -> list[Example]:
    """The examples with log-mels in double precision."""
    return [replace(example, mel=example.mel.double()) for example in examples]


def batch_of(base: Base, *examples: Example) -> Batch:
    """Return the examples as a batch for the acoustic model of `base`."""
    speakers = {name: number for number, name in enumerate(base.speakers)}
    return collate(examples, speakers, base.acoustic.reduction)


def same_weights(first: torch.nn.Module | dict[str, Tensor], second: torch.nn.Module | dict[str, Tensor]) -> bool:
    """Whether two state dicts are equal bit for bit."""
    a = first.state_dict() if isinstance(first, torch.nn.Module) else first
    b = second.state_dict() if isinstance(second, torch.nn.Module) else second
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def randomise(model: AcousticModel, seed: int, size: float = 0.1) -> None:
    """Change every parameter, so that no test depends on an initial value of zero or one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += size * torch.randn(parameter.shape, generator=generator)


def tone_speech(text: str, seed: int, pitch: float = 1.0, noise: float = 1e-3) -> tuple[Waveform, list[float]]:
    """Return samples of `text` in tones and seconds per character: a letter is two sines, a space is a pause."""
    random = np.random.default_rng(seed)
    parts, seconds = [], []
    for character in f" {text} ":
        length = random.uniform(0.06, 0.14)
        time = np.arange(round(length * RATE)) / RATE
        wave = np.zeros_like(time)
        if character in LETTERS:
            place = LETTERS.index(character)
            wave = 0.2 * np.sin(2 * np.pi * 250 * 1.35**place * pitch * time)
            wave += 0.1 * np.sin(2 * np.pi * 2100 * 1.15 ** (place * 5 % len(LETTERS)) * pitch * time)
        parts.append(wave)
        seconds.append(length)
    samples = np.concatenate(parts)
    return (samples + noise * random.standard_normal(len(samples))).astype(np.float32), seconds


def tone_sentence(seed: int, words: int = 3) -> str:
    """Return words over `LETTERS` without adjacent equal letters, also across words, as these would be one tone."""
    random = np.random.default_rng(seed)
    text = ""
    for word in range(words):
        text += " " if word else ""
        for _ in range(random.integers(2, 5)):
            text += random.choice([letter for letter in LETTERS if letter not in text[-2:]])
    return text


def tone_corpus(folder: Path, utterances: int = 8, words: int = 3) -> Path:
    """Write recordings of two speakers and their manifest; return the manifest's path."""
    listed = []
    for number in range(utterances):
        speaker = ("ann", "ben")[number % 2]
        text = tone_sentence(number, words)
        samples, _ = tone_speech(text, number, pitch=(1.0, 1.12)[number % 2])
        audio = folder / f"{number}.wav"
        write_wav(audio, samples, RATE)
        listed.append(Utterance(str(number), speaker, audio, len(samples) / RATE, text, split="train"))
    Manifest(tuple(listed)).save(folder / "manifest.jsonl")
    return folder / "manifest.jsonl"


def pretrain_recipe(corpus: Path, output: Path, **changes: object) -> PretrainConfig:
    """Return a recipe that pretrains a tiny base on a `tone_corpus` in a second or two."""
    data = {
        "manifest": corpus / "manifest.jsonl",
        "output": output,
        "cache": corpus / "cache",
        "base": tiny_config(),
        "aligner": {"steps": 5, "frames_per_batch": 400, "learning_rate": 2e-3, "warmup": 2},
        "acoustic": {"steps": 12, "frames_per_batch": 300, "learning_rate": 2e-3, "warmup": 2},
        "ema_decay": 0.9,
        "min_segment_seconds": 0.6,
        "pause_seconds": 0.05,
        "threads": 1,
        "save_every": 4,
        "sentences": [],
    }
    return parse_config(data | changes, PretrainConfig, "recipe")


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Assert that the block does not change the random generators of torch, NumPy and Python."""
    torch.manual_seed(1), np.random.seed(2), random.seed(3)  # pyright: ignore[reportUnusedExpression]
    before = torch.get_rng_state(), copy.deepcopy(np.random.get_state()), random.getstate()
    yield
    assert torch.equal(torch.get_rng_state(), before[0]), "torch"
    after = np.random.get_state()
    assert all(np.array_equal(a, b) for a, b in zip(after, before[1], strict=True)), "NumPy"  # type: ignore[arg-type]
    assert random.getstate() == before[2], "Python"


def random_voice(base: Base, seed: int) -> Voice:
    """A voice of a tiny base with a random speaker vector."""
    delta = 0.5 * torch.randn(6, generator=torch.Generator().manual_seed(seed))
    return Voice({"speaker.mean": delta.half().float()}, base.hash, ("speaker.mean",), 1)
