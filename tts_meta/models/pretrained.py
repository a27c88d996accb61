"""`Base`: a pretrained aligner and acoustic model with their settings and symbols, loaded from and saved to a folder.

    model.safetensors   weights of both models, with the prefixes `aligner.` and `acoustic.` in the names
    config.json         configuration with all defaults
    symbols.json        the symbol table, in order
    state.json          format version, training speakers, how the base was trained, versions of the phonemizer, SHA-256
                        of the weights
    learner.json, learner.safetensors   only for a meta-trained base: the learner (`saved_learner.py`)

Nothing in the folder is unpickled. The SHA-256 of the weights identifies the base; voices store it.
"""

from __future__ import annotations

import copy
import json
import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from tts_meta.audio.trimming import AudioConfig
from tts_meta.config import Section, dump_config, parse_config
from tts_meta.context import SkipInitialization, default_torch_state
from tts_meta.devices import choose_device
from tts_meta.errors import TtsMetaError, TtsMetaWarning, excerpt
from tts_meta.files import atomic_folder, check_path, sha256_file, write_tensors
from tts_meta.headers import check_header, read_header, read_json
from tts_meta.models.acoustic import AcousticConfig, AcousticModel
from tts_meta.models.aligner import Aligner, AlignerConfig, Alignment
from tts_meta.models.base_headers import BaseState, SymbolList
from tts_meta.models.saved_learner import SavedLearner
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.parsing import is_printable
from tts_meta.tensors import TensorFile, check_finite, to_float32
from tts_meta.text import Lexicon, Phonemizer, SymbolKinds, SymbolTable, load_phonemizer
from tts_meta.text.languages import language_of_phonemizer
from tts_meta.text.versions import version_mismatch

FORMAT = 3
_ADVICE = "copy the base again"
_FILES = ("model.safetensors", "config.json", "symbols.json", "state.json")


class BaseConfig(Section):
    """Settings that the construction of the models of a base needs; stored as `config.json` in the base's folder."""

    audio: AudioConfig = AudioConfig()
    phonemizer: str = Field(default="hibari", min_length=1, max_length=100)
    """Name of the phonemizer that converted the training texts to symbols."""
    aligner: AlignerConfig = AlignerConfig()
    acoustic: AcousticConfig = AcousticConfig()


@dataclass(eq=False, repr=False)
class Base:
    """The pretrained models, and the settings and symbols of the text and audio processing for them.

    state: how the base was trained. hash: SHA-256 of the weights; empty before the base is saved or loaded.
    learner: the learner that was meta-trained with this base, or None.
    """

    config: BaseConfig
    symbols: SymbolTable
    speakers: tuple[str, ...]
    aligner: Aligner
    acoustic: AcousticModel
    state: dict[str, Any] = field(default_factory=dict)
    hash: str = ""
    folder: Path | None = None
    learner: SavedLearner | None = None
    lexicon: Lexicon | None = None

    def __repr__(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.acoustic.parameters())
        location = "" if self.folder is None else f" in {self.folder}"
        speakers = f"{len(self.speakers)} training speakers"
        return f"Base({self.hash[:12] or 'not saved'}{location}, {parameters:,} parameters, {speakers})"

    @classmethod
    def create(cls, config: BaseConfig, symbols: SymbolTable, speakers: tuple[str, ...]) -> Base:
        """Build untrained models; the caller seeds torch. Raises TtsMetaError for a speaker name that is not usable."""
        for name in speakers:
            if not (0 < len(name) <= 500 and is_printable(name)):
                raise TtsMetaError(
                    f"the speaker '{excerpt(name)}' has no usable name; use 1 to 500 printable characters"
                )
        aligner = Aligner(config.aligner, config.audio.mel.n_mels, len(symbols))
        acoustic = AcousticModel(config.acoustic, config.audio.mel, len(symbols), len(speakers))
        return cls(config, symbols, speakers, aligner, acoustic)

    @property
    def prior(self) -> ModulePrior | None:
        """The prior of the learner; None without a learner or for a learner without a prior."""
        return None if self.learner is None else self.learner.prior

    def with_prior(self, prior: ModulePrior | None) -> Base:
        """Return a base with the same models and a learner with this prior, or without a learner for None."""
        return replace(self, learner=None if prior is None else SavedLearner.of_prior(prior, "acoustic", self.hash))

    @property
    def language(self) -> str:
        """The language of the training texts, such as "en" or "de"; that of the phonemizer."""
        return language_of_phonemizer(self.config.phonemizer)

    @cached_property
    def phonemizer(self) -> Phonemizer:
        """The phonemizer of the training texts, loaded at the first use; its phonemes are symbols of the base.

        Warns if the installed versions differ from those in `state`.
        """
        mismatch = version_mismatch(self.state.get("phonemizer", {}), self.config.phonemizer)
        if mismatch:
            warnings.warn(TtsMetaWarning(mismatch), stacklevel=2)
        return load_phonemizer(self.config.phonemizer, self.symbols.symbols)

    @cached_property
    def kinds(self) -> SymbolKinds:
        """For the aligner: which symbols are silent and which are vowels."""
        return self.symbols.kinds()

    @property
    def silent(self) -> Tensor:
        """Bool `(V,)`: symbols that can be a pause."""
        return self.kinds.silent

    @property
    def device(self) -> torch.device:
        """The device of the models."""
        return self.acoustic.mel_mean.device

    def on(self, device: torch.device) -> Base:
        """Return a base whose models are on `device`: a copy, or this base if its models are there already."""
        if self.device == device:
            return self
        base = copy.copy(self)
        base.aligner = copy.deepcopy(self.aligner).to(device)
        base.acoustic = copy.deepcopy(self.acoustic).to(device)
        return base

    def align(self, mel: Tensor, tokens: Tensor, name: str = "recording") -> tuple[Tensor, Alignment]:
        """Align `tokens (N,)` with a log-mel `(T, M)`; return the tokens with commas at the pauses, and the alignment.

        Raises TtsMetaError as `Aligner.align`.
        """
        alignment = self.aligner.align(mel, tokens, self.kinds, name)
        return self.mark_pauses(tokens, alignment.durations), alignment

    def mark_pauses(self, tokens: Tensor, durations: Tensor) -> Tensor:
        """Return `tokens (N,)` with commas adjusted to the pauses of the speaker: see `SymbolTable.mark_pauses`."""
        return self.symbols.mark_pauses(tokens, durations, self.config.audio.mel.frame_seconds)

    def with_lexicon(self, lexicon: Lexicon | str | Path | None) -> Base:
        """Return a base with the same models and a lexicon, given or read from a file; None returns this base."""
        if lexicon is None:
            return self
        if not isinstance(lexicon, Lexicon):
            lexicon = Lexicon.load(check_path("lexicon", lexicon), self.symbols)
        _ = self.phonemizer  # loaded before the copy, so that both share it
        base = copy.copy(self)
        base.lexicon = lexicon
        return base

    def encode(self, text: str, phonemes: str | None = None) -> Tensor:
        """Return the symbols, int64 `(N,)`, of a text or of `phonemes`.

        The text is normalised and phonemised with the lexicon. `phonemes` replaces the text.
        """
        if phonemes is not None:
            return self.symbols.encode(phonemes)
        return self.symbols.encode(self.phonemizer.phonemize(text, self.lexicon), text)


def save_base(base: Base, folder: str | Path, half: bool = True) -> None:
    """Write a base folder atomically, by default with weights in half precision; sets `base.hash` and `base.folder`.

    Raises TtsMetaError if weights are not finite or a speaker name is not usable.
    """
    folder = Path(folder)
    stored = {name: (value.half() if half else value).cpu().contiguous() for name, value in _weights(base).items()}
    for name, value in stored.items():
        check_finite(name, value, str(folder), "not written, the training diverged; lower the learning rate")
    with atomic_folder(folder) as temporary:
        write_tensors(temporary / "model.safetensors", stored)
        digest = sha256_file(temporary / "model.safetensors")
        state = {"format": FORMAT, "speakers": list(base.speakers), "sha256": digest, **base.state}
        check_header(state, BaseState, f"{folder}: not written", "correct the names of the manifest")
        (temporary / "config.json").write_text(dump_config(base.config), encoding="utf-8")
        _write_json(temporary / "symbols.json", list(base.symbols.symbols))
        _write_json(temporary / "state.json", state)
        if base.learner is not None:
            base.learner = base.learner.save_to(temporary, digest)
    base.hash, base.folder = digest, folder


def as_base(base: Base | str | Path | None, device: str | torch.device | None = None) -> Base:
    """Return a loaded base, on `device`; load a base from a folder or None as `load_base` does.

    device: None leaves a loaded base where it is, and loads a base on the device `auto`. A base that was given does not
    change. Raises as `load_base`.
    """
    if not isinstance(base, Base):
        return load_base(base, "auto" if device is None else device)
    return base if device is None else base.on(choose_device(device))


@default_torch_state()
def load_base(folder: str | Path | None = None, device: str | torch.device = "cpu") -> Base:
    """Load a base folder in evaluation mode, in float32 on `device`; None loads the shipped base.

    Raises UsageError for a device that is not available. Raises TtsMetaError if a file is missing or damaged, the
    format is another, or the weights are not those that `state.json` names, do not fit `config.json` or are not finite.
    """
    device = choose_device(device)
    folder = shipped_base() if folder is None else check_path("base", folder)
    for name in _FILES:
        if not (folder / name).is_file():
            raise TtsMetaError(f"{folder}: not a base voice, {name} is missing; give the folder of a trained base")
    data = read_json(folder / "state.json", _ADVICE)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise TtsMetaError(f"{folder}: a base of another format; this version reads format {FORMAT}")
    state = check_header(data, BaseState, str(folder / "state.json"), _ADVICE)
    path = folder / "model.safetensors"
    digest = sha256_file(path)
    if digest != state.sha256:
        raise TtsMetaError(f"{folder}: the weights are not those that state.json names (SHA-256); {_ADVICE}")
    config_path = folder / "config.json"
    config = parse_config(read_json(config_path, _ADVICE), BaseConfig, str(config_path))
    symbols = SymbolTable(read_header(folder / "symbols.json", SymbolList, _ADVICE).root)
    base, half = _load_weights(path, config, symbols, tuple(state.speakers))
    base.acoustic.decoder.half_weights = half
    for model in (base.aligner, base.acoustic):
        model.eval().requires_grad_(False).to(device)
    base.state = {name: value for name, value in data.items() if name not in ("format", "sha256", "speakers")}
    base.hash, base.folder = digest, folder
    base.learner = SavedLearner.load_from(folder, digest, "acoustic")
    return base


def is_base(folder: Path) -> bool:
    """Return whether a folder has the files of a base; a damaged base has them too."""
    return all((folder / name).is_file() for name in _FILES)


def _load_weights(path: Path, config: BaseConfig, symbols: SymbolTable, speakers: tuple[str, ...]) -> tuple[Base, bool]:
    """Return the base with the weights of a file, and whether the decoder's weights in the file have half precision.

    Names and shapes are compared first, so that a faulty configuration cannot allocate more memory than the file needs.
    """
    file = TensorFile.open(path, _ADVICE)
    with SkipInitialization(shapes_only=True):
        file.check_like(_weights(Base.create(config, symbols, speakers)), "weights that do not fit config.json")
    stored = file.read()
    with SkipInitialization():
        base = Base.create(config, symbols, speakers)
    for prefix, model in (("aligner.", base.aligner), ("acoustic.", base.acoustic)):
        part = {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
        model.load_state_dict(to_float32(part, str(path), _ADVICE))
    return base, stored["acoustic.decoder.output.weight"].dtype == torch.float16


def _weights(base: Base) -> dict[str, Tensor]:
    """Return the tensors of both models by their names in `model.safetensors`."""
    weights = {f"aligner.{name}": value for name, value in base.aligner.state_dict().items()}
    return weights | {f"acoustic.{name}": value for name, value in base.acoustic.state_dict().items()}


def shipped_base() -> Path:
    """Return the folder of the base that is shipped with the package. Raises TtsMetaError if the folder is missing."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "_checkpoints" / "base", package.parent / "checkpoints" / "base"):
        if (candidate / "state.json").is_file():
            return candidate
    raise TtsMetaError("no base voice is shipped with this installation; give one by --base or install tts-meta again")


def _write_json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
