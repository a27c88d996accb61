"""Pretraining: features, aligner, durations, acoustic model, and the base folder at the end.

Every stage resumes: features lie in the cache, both trainings keep their state under the output folder.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from rich.console import Console
from rich.progress import track
from torch import Tensor

from tts_meta.audio import FeatureCache
from tts_meta.corpus import Batch, Manifest, collate, hold_out_named, unperturbed_name
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file, restore_folder, write_tensors
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.aligner import Aligner
from tts_meta.models.losses import acoustic_loss, mel_l1
from tts_meta.models.pretrained import Base, BaseConfig, load_base, save_base
from tts_meta.models.vocoders.vocoder import load_vocoder
from tts_meta.report.run_info import RunInfo
from tts_meta.tensors import read_tensors
from tts_meta.text import SymbolTable, load_phonemizer
from tts_meta.text.versions import phonemizer_versions
from tts_meta.train.acoustic_samples import AcousticSamples
from tts_meta.train.aligner import aligner_loss, symbol_log_prior
from tts_meta.train.datasets import BatchStream, align_examples, cut_at_said_pauses, load_examples
from tts_meta.train.distributed import all_agree, barrier, is_first, processes
from tts_meta.train.feature_store import Durations, Store, write_store
from tts_meta.train.flat_start import bootstrap_durations
from tts_meta.train.logs import training_info
from tts_meta.train.loop import FitSettings, TrainingConfig, fit
from tts_meta.train.optimiser import OptimiserConfig
from tts_meta.train.postfilter import measure_postfilter
from tts_meta.train.run_dir import open_run_dir
from tts_meta.train.segments import Pieces

_VALIDATION_EVERY, _VALIDATION_MOST = 80, 200
"""One recording in so many is kept for validation, where that makes not more than so many pieces, about."""
_MEASURED_PIECES = 2000
"""Pieces, about, that the mean and scale of the frames are measured on."""
_ALIGNER_UTTERANCES = 20_000
"""Utterances, about, that the aligner is trained on: more than it sees in its steps, and each costs a bootstrap."""
_SCORE_QUANTILE = 0.005
"""The worst part of the training sentences' alignment scores that `Aligner.matches` takes its measure from."""


class PretrainConfig(TrainingConfig):
    """`tts-meta pretrain`: features, aligner, durations, acoustic model."""

    cache: Path = Path("runs/cache")
    """Folder of prepared features; shared by runs."""
    lexicon: Path | None = None
    """Words of the transcripts and how they are said, a line each (`docs/text.md`)."""
    base: BaseConfig = BaseConfig()
    start: Path | None = None
    """Base whose acoustic model this one starts from, with the same sizes and phonemizer; none: from nothing."""
    aligner: OptimiserConfig
    acoustic: OptimiserConfig
    max_seconds: float = Field(default=16.0, gt=0)
    """Longer pieces are left out of acoustic training, longer recordings out of the aligner's."""
    sentences: list[str] = Field(
        default=[
            "The birch canoe slid on the smooth planks.",
            "Where did you put the keys, and who has them now?",
        ]
    )
    """Fixed sentences spoken into TensorBoard."""


def pretrain(config: PretrainConfig, command: str = "") -> Path:
    """Train a base voice as `config` says and return its folder, `config.output / "base"`.

    Called again with the same configuration it goes on where it was stopped. command: the command line, for the logs.
    Raises TtsMetaError for a folder that holds another run.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    deadline = time.monotonic() + config.max_hours * 3600 if config.max_hours else float("inf")
    with processes(config.device) as rank:
        console = Console(stderr=True, quiet=rank > 0)
        manifest = Manifest.load(config.manifest).of_split(*config.splits)
        manifest, held = hold_out_named(manifest, config.held_out_speakers)
        torch.manual_seed(config.seed)
        symbols = SymbolTable.from_alphabet(load_phonemizer(config.base.phonemizer).alphabet())
        base = Base.create(config.base, symbols, manifest.speakers).with_lexicon(config.lexicon)
        if config.start and not (config.output / "acoustic" / "training").exists():
            base.start_from(load_base(config.start))
        with open_run_dir(config.output, config):
            store = _store(config, base, manifest, console)
            console.print(f"{len(store)} utterances of {len(base.speakers)} speakers; {len(held)} utterances held back")
            info = training_info(command, config, manifest, held)
            return _train(config, base, store, [one.audio for one in manifest], console, deadline, info)


def _train(
    config: PretrainConfig,
    base: Base,
    store: Store,
    recordings: Sequence[Path],
    console: Console,
    deadline: float,
    info: RunInfo,
) -> Path:
    """The stages of a run whose folder is claimed; the folder of the base. recordings: the file of each utterance."""
    if not _train_aligner(config, base, store, deadline, info):
        raise TtsMetaError("the time is up while training the aligner; run the same command again to go on")
    pieces = _pieces(config, base, store, console)

    steps = _train_acoustic(config, base, pieces, recordings, deadline, info)
    base.acoustic.speaker.centre()
    folder = config.output / "base"
    base.state |= {"steps": steps, "corpus": str(config.manifest), "utterances": int(pieces.durations.known.sum())}
    base.state |= {"phonemizer": phonemizer_versions(config.base.phonemizer)}
    if is_first():
        measure_postfilter(base, pieces.where(_kept(pieces)))
        save_base(base, folder)
    barrier()
    if steps < config.acoustic.steps:
        raise TtsMetaError(f"the time is up; {folder} holds the voice so far, run the same command again to go on")
    return folder


def _store(config: PretrainConfig, base: Base, manifest: Manifest, console: Console) -> Store:
    """The utterances of the run, their features computed once a run and, through the cache, once a corpus."""
    folder = config.output / "utterances"
    if is_first():
        restore_folder(folder)
        if not folder.exists():
            loaded = load_examples(manifest, base, FeatureCache(config.cache, config.base.audio), config.workers)
            write_store(folder, track(loaded, "features", len(manifest), console=console))
    barrier()
    store = Store(folder)
    if store.ids != [utterance.id for utterance in manifest]:
        raise TtsMetaError(f"{config.output} holds a run on other utterances; choose another output folder")
    store.check(len(base.symbols), base.config.audio.mel.n_mels)
    return store


def _once(path: Path, store: Store, find: Callable[[], Iterable[tuple[int, Tensor | None]]]) -> Durations:
    """Durations of a store's utterances by number, computed once a run by the first process and kept in `path`."""
    if is_first() and not path.exists():
        Durations.of(store, find()).save(path)
    barrier()
    return Durations.load(path, store)


def _pieces(config: PretrainConfig, base: Base, store: Store, console: Console) -> Pieces:
    """What the acoustic model is trained on; utterances that do not match their texts are left out and listed."""

    def aligned() -> Iterator[tuple[int, Tensor]]:
        numbers = {name: number for number, name in enumerate(store.ids)}
        matching = align_examples(store, base, config.output / "left_out.jsonl")
        for example in track(matching, "alignment", len(store), console=console):
            yield numbers[example.id], example.durations

    durations = _once(config.output / "durations.safetensors", store, aligned)
    pieces = cut_at_said_pauses(store, durations, base, config.min_segment_seconds, config.pause_seconds)
    pieces = pieces.where(pieces.frames <= config.max_seconds / config.base.audio.mel.frame_seconds)
    utterances = int(durations.known.sum())
    console.print(f"{utterances} utterances aligned; {len(pieces)} pieces of at most {config.max_seconds:.0f} s")
    return pieces


def _stream(
    config: PretrainConfig, base: Base, optimiser: OptimiserConfig, pieces: Pieces, multiple_of: int = 1
) -> BatchStream:
    speakers = {name: number for number, name in enumerate(base.speakers)}
    frames = optimiser.frames_per_batch
    return BatchStream(pieces, speakers, frames, multiple_of, config.seed, config.workers, config.device)


def _train_aligner(config: PretrainConfig, base: Base, store: Store, deadline: float, info: RunInfo) -> bool:
    """Train the aligner on the bootstrap's durations, then on its own; measure the scores of sentences truly said.

    The finished aligner lies in `aligner.safetensors` of the run; later calls only read it.
    """
    finished, aligner = config.output / "aligner.safetensors", base.aligner
    if not all_agree(finished.exists()):
        longest = config.max_seconds / config.base.audio.mel.frame_seconds
        chosen = np.flatnonzero(store.frames <= longest)
        chosen = chosen[:: max(1, len(chosen) // _ALIGNER_UTTERANCES)].tolist()
        unaligned = Pieces.whole(store, Durations.of(store, ()), chosen)
        durations = _once(
            config.output / "bootstrap.safetensors",
            store,
            lambda: zip(chosen, bootstrap_durations(unaligned, base.kinds), strict=True),
        )
        if not _fit_aligner("aligner_first", config, base, store, durations, deadline, info):
            return False
        known = np.flatnonzero(durations.known).tolist()
        durations = _once(
            config.output / "realigned.safetensors",
            store,
            lambda: ((n, aligner.align(store[n].mel, store[n].tokens, base.kinds).durations) for n in known),
        )
        if not _fit_aligner("aligner", config, base, store, durations, deadline, info):
            return False
        if is_first():
            some = [store[n] for n in known[:: len(known) // 400 + 1]]
            scores = [aligner.align(e.mel, e.tokens, base.kinds).score for e in some]
            aligner.score_range.copy_(torch.tensor(scores).quantile(torch.tensor([_SCORE_QUANTILE, 0.5])))
            with atomic_file(finished) as temporary:
                write_tensors(temporary, aligner.state_dict())
        barrier()
    advice = f"delete {finished} to make it again from the last checkpoint"
    aligner.load_state_dict(read_tensors(finished, advice, aligner.state_dict(), "not the aligner of this run"))
    aligner.eval()
    return True


def _fit_aligner(
    part: str,
    config: PretrainConfig,
    base: Base,
    store: Store,
    durations: Durations,
    deadline: float,
    info: RunInfo,
) -> bool:
    """Train the aligner on the utterances that have durations; whether all its steps are done."""
    aligner, known = base.aligner, np.flatnonzero(durations.known).tolist()
    stream = _stream(config, base, config.aligner, Pieces.whole(store, durations, known))
    taught = np.repeat(durations.known, store.symbols)
    pair = torch.from_numpy(store.tokens[taught].astype(np.int64)), torch.from_numpy(durations.frames[taught])
    aligner.log_prior.copy_(symbol_log_prior([pair], len(base.symbols)))
    aligner.to(config.device)
    settings, folder = FitSettings.of(config, config.aligner, deadline), config.output / part
    about = info.of_stage(part, config.aligner)
    steps = fit(part, aligner, _aligner_loss(aligner), stream, settings, folder, config.base.audio.mel, info=about)
    aligner.cpu().eval()
    return steps == config.aligner.steps


def _aligner_loss(aligner: Aligner) -> Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]]:
    return lambda batch, step: (aligner_loss(aligner, batch), {})


def acoustic_objective(
    model: AcousticModel, log_every: int = 1
) -> Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]]:
    """What pretraining minimises, one process's share of it where several have a part of the batch, and scalars."""

    def loss(batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        output = model(batch)
        nll = acoustic_loss(model, output, batch)
        share = dataclasses.replace(nll, frames=batch.all_frames, symbols=batch.all_symbols)
        if (step + 1) % log_every:
            return share.per_unit(model.n_mels), {}
        scalars = {
            "mel_nll": nll.mel / nll.frames / model.n_mels,
            "duration_nll": nll.duration / nll.symbols,
            "prosody_nll": nll.prosody / nll.symbols,
            "mel_l1": mel_l1(output, batch),
        }
        return share.per_unit(model.n_mels), scalars

    return loss


def _kept(pieces: Pieces) -> NDArray[np.bool_]:
    """Which pieces are kept for validation, `(P,)`: all of some recordings, at whatever speed they are played."""
    places: dict[str, int] = {}
    of_utterance = np.array([places.setdefault(unperturbed_name(id), len(places)) for id in pieces.store.ids])
    every = max(_VALIDATION_EVERY, len(pieces) // _VALIDATION_MOST)
    return of_utterance[pieces.table[:, 0]] % every == 0


def _train_acoustic(
    config: PretrainConfig, base: Base, pieces: Pieces, recordings: Sequence[Path], deadline: float, info: RunInfo
) -> int:
    """Train the acoustic model and return the steps done. recordings: the file of each utterance."""
    model = base.acoustic
    kept = _kept(pieces)
    stream = _stream(config, base, config.acoustic, pieces.where(~kept), model.reduction)
    validation = collate(pieces.where(kept)[:], stream.speakers, model.reduction)
    if not config.start:
        frames = torch.cat([pieces[n].mel for n in range(0, len(pieces), max(10, len(pieces) // _MEASURED_PIECES))])
        model.mel_mean.copy_(frames.mean(0))
        # A band that holds nothing in this corpus, as above 4 kHz on the telephone, has no scale of its own.
        model.mel_scale.copy_(frames.std(0).clamp(min=0.1))
    model.to(config.device)
    vocoder = load_vocoder(mel=config.base.audio.mel) if is_first() and config.sentences else None
    samples = AcousticSamples(
        base, pieces.where(kept), validation, recordings, config.sentences, vocoder, config.device
    )
    steps = fit(
        "acoustic",
        model,
        acoustic_objective(model, config.log_every),
        stream,
        FitSettings.of(config, config.acoustic, deadline),
        config.output / "acoustic",
        config.base.audio.mel,
        samples.log,
        info=info.of_stage("acoustic", config.acoustic),
    )
    model.cpu().eval()
    return steps
