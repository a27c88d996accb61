"""Pretraining: features, aligner, durations, acoustic model, and the base folder at the end.

Every stage resumes: features lie in the cache, both trainings keep their state under the output folder.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from tts_meta.audio import FeatureCache
from tts_meta.config import OptimiserConfig, PretrainConfig, dump_config
from tts_meta.corpus import Batch, Example, Manifest, collate, hold_back_named
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file, write_tensors
from tts_meta.models.aligner import Aligner
from tts_meta.models.base import Base, save_base
from tts_meta.models.losses import acoustic_loss, mel_l1
from tts_meta.models.vocoder import load_vocoder
from tts_meta.report.pictures import alignment_picture
from tts_meta.report.tensorboard import RunLog
from tts_meta.text import SymbolTable, load_phonemizer
from tts_meta.train.aligner import aligner_loss, symbol_log_prior
from tts_meta.train.bootstrap import bootstrap_durations
from tts_meta.train.data import BatchStream, align_examples, load_examples
from tts_meta.train.fit import FitSettings, fit
from tts_meta.train.pieces import cut_at_pauses

_VALIDATION_EVERY = 80
"""One utterance in so many of the training speakers is kept for validation."""
_SCORE_QUANTILE = 0.005
"""The worst part of the training sentences' alignment scores that `Aligner.matches` takes its measure from."""


def pretrain(config: PretrainConfig) -> Path:
    """Train a base voice as `config` says and return its folder, `config.output / "base"`.

    Called again with the same configuration it goes on where it was stopped. Raises TtsMetaError for a folder that
    holds another run.
    """
    console = Console(stderr=True)
    if config.threads:
        torch.set_num_threads(config.threads)
    deadline = time.monotonic() + config.hours * 3600 if config.hours else float("inf")
    _claim_folder(config)
    manifest = Manifest.load(config.manifest).of_split(*config.splits)
    manifest, held = hold_back_named(manifest, config.held_back)
    torch.manual_seed(config.seed)
    symbols = SymbolTable.from_alphabet(load_phonemizer(config.base.phonemizer).alphabet())
    base = Base.create(config.base, symbols, manifest.speakers)
    cache = FeatureCache(config.cache, config.base.audio)

    loaded = load_examples(manifest, base, cache)
    examples = list(track(loaded, "features", len(manifest), console=console))
    console.print(f"{len(examples)} utterances of {len(base.speakers)} speakers; {len(held)} utterances held back")
    if not _train_aligner(config, base, examples, deadline):
        raise TtsMetaError("the time is up while training the aligner; run the same command again to go on")
    examples = _aligned(config, base, examples, console)
    utterances = len(examples)
    frame = config.base.audio.mel.frame_seconds
    shortest, pause = round(config.piece_seconds / frame), max(1, round(config.pause_seconds / frame))
    if config.piece_seconds:
        examples = [piece for e in examples for piece in cut_at_pauses(e, base.silent, shortest, pause)]
    examples = [example for example in examples if len(example.mel) <= config.max_seconds / frame]
    console.print(f"{utterances} utterances aligned; {len(examples)} pieces of at most {config.max_seconds:.0f} s")

    steps = _train_acoustic(config, base, examples, deadline)
    base.acoustic.speaker.centre()
    folder = config.output / "base"
    base.state |= {"steps": steps, "corpus": str(config.manifest), "utterances": utterances}
    save_base(base, folder)
    if steps < config.acoustic.steps:
        raise TtsMetaError(f"the time is up; {folder} holds the voice so far, run the same command again to go on")
    return folder


def _aligned(config: PretrainConfig, base: Base, examples: list[Example], console: Console) -> list[Example]:
    """Examples with durations, aligned once a run; those that do not match their texts are left out and listed."""
    path = config.output / "durations.safetensors"
    if not path.exists():
        aligned = align_examples(examples, base, config.output / "left_out.jsonl")
        found = {e.id: e.durations for e in track(aligned, "alignment", len(examples), console=console)}
        with atomic_file(path) as temporary:
            write_tensors(temporary, found)
    known = safetensors.torch.load_file(path)
    return [dataclasses.replace(e, durations=known[e.id]) for e in examples if e.id in known]


def _claim_folder(config: PretrainConfig) -> None:
    """Write the resolved configuration, or check that the folder was begun with the same one."""
    path = config.output / "config.json"
    # How long and on what a run computes may change between its parts; what it computes may not.
    text = dump_config(config.model_copy(update={"hours": 0.0, "threads": 0, "device": "cpu"}))
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise TtsMetaError(f"{config.output} holds a run with another configuration; choose another output folder")
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _settings(config: PretrainConfig, optimiser: OptimiserConfig, deadline: float) -> FitSettings:
    return FitSettings(
        optimiser=optimiser,
        ema=config.ema,
        device=config.device,
        precision=config.precision,
        log_every=config.log_every,
        save_every=config.save_every,
        sample_every=config.sample_every,
        deadline=deadline,
    )


def _train_aligner(config: PretrainConfig, base: Base, examples: list[Example], deadline: float) -> bool:
    """Train the aligner on the bootstrap's durations, then on its own; measure the scores of sentences truly said.

    The finished aligner lies in `aligner.safetensors` of the run; later calls only read it.
    """
    finished = config.output / "aligner.safetensors"
    if finished.exists():
        base.aligner.load_state_dict(safetensors.torch.load_file(finished))
        base.aligner.eval()
        return True
    speakers = {name: number for number, name in enumerate(base.speakers)}
    longest = config.max_seconds / config.base.audio.mel.frame_seconds
    chosen = [example for example in examples if len(example.mel) <= longest]
    durations = _remembered(config.output / "bootstrap.safetensors", chosen, base.silent)
    chosen = [
        dataclasses.replace(example, durations=durations[example.id]) for example in chosen if example.id in durations
    ]
    aligner, settings = base.aligner, _settings(config, config.aligner, deadline)
    for part in ("aligner_first", "aligner"):
        if part == "aligner":
            aligned = [aligner.align(e.mel, e.tokens, base.silent).durations for e in chosen]
            chosen = [dataclasses.replace(e, durations=d) for e, d in zip(chosen, aligned, strict=True)]
        aligner.log_prior.copy_(symbol_log_prior([(e.tokens, e.durations) for e in chosen], len(base.symbols)))
        stream = BatchStream(chosen, speakers, config.aligner.frames_per_batch, 1, config.seed)
        aligner.to(config.device)
        folder = config.output / part
        steps = fit(part, aligner, _aligner_loss(aligner), stream, settings, folder, config.base.audio.mel)
        aligner.cpu().eval()
        if steps < config.aligner.steps:
            return False
    scores = [aligner.align(e.mel, e.tokens, base.silent).score for e in chosen[:: len(chosen) // 400 + 1]]
    aligner.score_range.copy_(torch.tensor(scores).quantile(torch.tensor([_SCORE_QUANTILE, 0.5])))
    with atomic_file(finished) as temporary:
        write_tensors(temporary, aligner.state_dict())
    return True


def _aligner_loss(aligner: Aligner) -> Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]]:
    return lambda batch, step: (aligner_loss(aligner, batch), {})


def _remembered(path: Path, examples: list[Example], silent: Tensor) -> dict[str, Tensor]:
    """The bootstrap's durations by utterance, computed once a run; utterances too short for their text are missing."""
    if not path.exists():
        found = bootstrap_durations(examples, silent)
        known = {e.id: durations for e, durations in zip(examples, found, strict=True) if durations is not None}
        with atomic_file(path) as temporary:
            write_tensors(temporary, known)
    return safetensors.torch.load_file(path)


def _train_acoustic(config: PretrainConfig, base: Base, examples: list[Example], deadline: float) -> int:
    """Train the acoustic model and return the steps done."""
    model = base.acoustic
    frames = torch.cat([example.mel for example in examples[::10]])
    model.mel_mean.copy_(frames.mean(0))
    # A band that holds nothing in this corpus, as above 4 kHz on the telephone, has no scale of its own.
    model.mel_scale.copy_(frames.std(0).clamp(min=0.1))
    model.to(config.device)
    speakers = {name: number for number, name in enumerate(base.speakers)}
    training = [example for number, example in enumerate(examples) if number % _VALIDATION_EVERY]
    validation = collate(examples[::_VALIDATION_EVERY], speakers, model.reduction)
    stream = BatchStream(training, speakers, config.acoustic.frames_per_batch, model.reduction, config.seed)
    n_mels = config.base.audio.mel.n_mels
    vocoder = load_vocoder() if config.sentences and config.sample_every <= config.acoustic.steps else None

    def loss(batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        output = model(batch)
        nll = acoustic_loss(model, output, batch)
        per_symbol = nll.duration / nll.symbols
        scalars = {
            "mel_nll": nll.mel / nll.frames / n_mels,
            "duration_nll": per_symbol,
            "mel_l1": mel_l1(output, batch),
        }
        return nll.per_unit(n_mels), scalars

    def sample(log: RunLog, step: int) -> None:
        batch = validation.to(config.device)
        output = model(batch)
        nll = acoustic_loss(model, output, batch)
        log.scalar("validation/mel_nll", nll.mel / nll.frames / n_mels, step)
        log.scalar("validation/duration_nll", nll.duration / nll.symbols, step)
        log.scalar("validation/mel_l1", mel_l1(output, batch), step)
        length, size = int(batch.mel_lengths[0]), int(batch.token_lengths[0])
        log.mel("validation/true", batch.mel[0, :length], step)
        log.mel("validation/teacher_forced", output.mel[0, :length], step)
        symbols = base.symbols.decode(batch.tokens[0, :size])
        picture = alignment_picture(batch.mel[0, :length], batch.durations[0, :size], symbols)
        log.picture("validation/alignment", picture, step)
        for number, sentence in enumerate(config.sentences):
            tokens = base.encode(sentence).to(config.device)
            for voice, index in (("mean", -1), (base.speakers[0], 0)):
                mel = model.generate(tokens, index)
                log.mel(f"sentence_{number}/{voice}", mel, step)
                if vocoder is not None:
                    log.audio(f"sentence_{number}/{voice}", vocoder(mel[None].cpu())[0], vocoder.sample_rate, step)

    settings = _settings(config, config.acoustic, deadline)
    steps = fit("acoustic", model, loss, stream, settings, config.output / "acoustic", config.base.audio.mel, sample)
    model.cpu().eval()
    return steps
