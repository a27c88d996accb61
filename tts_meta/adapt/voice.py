"""The voice file: what a speaker changes in the base, and nothing else.

One `NAME.voice.safetensors`: the deltas of the adapted parameters, vectors in half precision and matrices in few bits
a number (`packing.py`), and a header that names the base by hash, and the vocoder where it adapts too, the modules, the
steps, the consent note and the scores. Older files, of format 1, hold matrices in half precision.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from tts_meta.adapt.quantization import FACTOR_BITS, WHOLE_BITS, pack, unpack, worth_packing
from tts_meta.context import default_torch_state
from tts_meta.errors import TtsMetaError, UsageError, excerpt, one_line
from tts_meta.files import atomic_file, check_path, fingerprint, write_tensors
from tts_meta.headers import Count, Header, Name, check_header
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.low_rank import DOWN, UP, expand_factors
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.vocoder import Vocoder
from tts_meta.parsing import ParseError, parse_json
from tts_meta.tensors import TensorFile, check_finite, to_float32

FORMAT, OLDER = "2", "1"
SUFFIX = ".voice.safetensors"
SCALES = ":scales"
"""What follows the name of a packed matrix, for its rows' scales."""
VOCODER_PREFIX = "vocoder."
"""What names of the vocoder's modules and parameters begin with, beside those of the acoustic model."""
_ADVICE = "clone it again"
_Shape = Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=2, max_length=8)]


class VoiceHeader(Header):
    """The header of a voice file. packed: shapes of the packed matrices."""

    base: str = Field(max_length=64)
    modules: list[Name] = Field(max_length=10_000)
    steps: Count
    consent: str
    scores: dict[Name, Any]
    packed: dict[Name, _Shape]
    vocoder: str = Field(default="", max_length=64)


@dataclass(frozen=True, repr=False)
class Voice:
    """Deltas `{parameter name: tensor}` to the base whose hash is `base_hash`, or of matrices that moved in low rank
    their two factors, `NAME:up` and `NAME:down`.

    modules: names of the adapted modules. steps: inner steps. consent: who agreed to what, in words, on one line.
    scores: figures of the cloning, such as the held-out loss before and after, and fingerprints of the recordings.
    vocoder_hash: of the vocoder that deltas named `vocoder.*` are to; empty where there are none.
    """

    deltas: dict[str, Tensor]
    base_hash: str
    modules: tuple[str, ...]
    steps: int
    consent: str = ""
    scores: dict[str, Any] = field(default_factory=dict)
    vocoder_hash: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "consent", " ".join(self.consent.split()))

    def __repr__(self) -> str:
        size = sum(delta.numel() for delta in self.deltas.values())
        what = f"{len(self.modules)} modules, {self.steps} steps, {size:,} numbers"
        return one_line(f"Voice(base {self.base_hash[:12]}, {what})")

    def save(self, path: str | Path) -> None:
        """Write the voice file, whole or not at all. Raises TtsMetaError where a delta is not finite in half.

        Deltas as `as_stored` returns them are read back to the bit, and so are those that were read from a file.
        """
        header = {
            "format": FORMAT,
            "kind": "tts_meta voice",
            "base": self.base_hash,
            "modules": json.dumps(self.modules),
            "steps": str(self.steps),
            "consent": self.consent,
            "scores": json.dumps(self.scores),
            "vocoder": self.vocoder_hash,
        }
        stored, shapes = _to_stored(self.deltas, f"{path}: not written, the voice")
        header["packed"] = json.dumps(shapes)
        data = {"base": self.base_hash, "modules": list(self.modules), "steps": self.steps, "consent": self.consent}
        data |= {"scores": self.scores, "packed": shapes, "vocoder": self.vocoder_hash}
        check_header(data, VoiceHeader, f"{path}: not written", "correct it and clone again")
        with atomic_file(path) as temporary:
            write_tensors(temporary, stored, header)

    @classmethod
    @default_torch_state()
    def load(cls, path: str | Path) -> Voice:
        """Read a voice file. Raises TtsMetaError where it is missing, damaged, or not a voice."""
        path = check_path("voice", path)
        if not path.is_file():
            raise TtsMetaError(f"{path}: no such voice; make one with `tts-meta clone AUDIO... -o {path}`")
        file = TensorFile.open(path, _ADVICE)
        header = _read_header(file)
        stored = to_float32(file.read(), str(path), _ADVICE)
        for name, value in stored.items():
            whole = name.removesuffix(SCALES)
            if whole == name and value.is_floating_point() == (name in header.packed):
                raise TtsMetaError(f"{path}: damaged, {excerpt(name)} holds {file.infos[name].dtype}; {_ADVICE}")
            if whole != name and whole not in header.packed:
                raise TtsMetaError(f"{path}: damaged, {excerpt(name)} belongs to no packed matrix; {_ADVICE}")
        try:
            deltas = _from_stored(stored, header.packed)
        except (KeyError, ValueError) as error:
            raise TtsMetaError(f"{path}: damaged, a packed matrix does not fit its shape; {_ADVICE}") from error
        for name in header.packed:
            check_finite(name, deltas[name], str(path), _ADVICE)
        return cls(
            deltas, header.base, tuple(header.modules), header.steps, header.consent, header.scores, header.vocoder
        )

    def adapted_on(self, recording: Path) -> bool:
        """Whether the voice was adapted on a recording, by its fingerprint; voices of older versions do not know."""
        known = self.scores.get("recordings")
        return isinstance(known, list) and fingerprint(recording) in known

    @default_torch_state()
    def apply(self, base: Base, name: str = "the voice") -> AcousticModel:
        """A copy of the base's acoustic model that speaks in this voice; the base stays as it is.

        Raises TtsMetaError where the voice was made with another base.
        """
        if self.base_hash != base.hash:
            raise TtsMetaError(
                f"{name} was cloned with base {self.base_hash[:12]}, this base is {base.hash[:12]}; "
                "clone it again or give its own base"
            )
        model = copy.deepcopy(base.acoustic)
        own = {key: delta for key, delta in self.deltas.items() if not key.startswith(VOCODER_PREFIX)}
        _add(model, own, f"{name} does not fit the base")
        return model

    @default_torch_state()
    def changes(self, base: Base) -> dict[str, Tensor]:
        """What changes in each parameter of the base's acoustic model, factors multiplied out.

        Raises TtsMetaError as `apply` does.
        """
        before, after = (dict(model.named_parameters()) for model in (base.acoustic, self.apply(base)))
        names = {
            name.removesuffix(UP).removesuffix(DOWN) for name in self.deltas if not name.startswith(VOCODER_PREFIX)
        }
        return {name: after[name].detach() - before[name].detach() for name in before if name in names}

    @default_torch_state()
    def apply_vocoder(self, vocoder: Vocoder, name: str = "the voice") -> Vocoder:
        """A copy of the vocoder as this voice has it; the same vocoder where the voice changes nothing in any.

        A vocoder that the voice was not made with stays as it is, with a notice that says so. Raises TtsMetaError where
        the voice is damaged.
        """
        own = {
            key.removeprefix(VOCODER_PREFIX): delta
            for key, delta in self.deltas.items()
            if key.startswith(VOCODER_PREFIX)
        }
        if not own:
            return vocoder
        if not isinstance(vocoder, SourceFilterVocoder) or vocoder.generator.hash != self.vocoder_hash:
            other = copy.copy(vocoder)
            notice = (
                f"{name} changes another vocoder, {self.vocoder_hash[:12]}, than {vocoder.name}, which stays as it is"
            )
            other.notice = f"{vocoder.notice}; {notice}" if vocoder.notice else notice
            return other
        adapted = SourceFilterVocoder(vocoder.generator, vocoder.name, vocoder.chunk_frames)
        _add(adapted.generator, own, f"{name} does not fit the vocoder")
        return adapted


def as_stored(deltas: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Deltas by name as `Voice.load` returns them after `Voice.save`: rounded to what the file holds, float32.

    Of what is returned, it returns the same bits. Raises TtsMetaError naming a delta that is not finite in half.
    """
    return _from_stored(*_to_stored(deltas, "the voice"))


def _to_stored(deltas: Mapping[str, Tensor], whose: str) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """Tensors of the file, and the shapes of those that are packed."""
    stored: dict[str, Tensor] = {}
    shapes: dict[str, list[int]] = {}
    for name, delta in deltas.items():
        stored[name] = delta.detach().half().cpu().contiguous()
        if not stored[name].isfinite().all():
            raise TtsMetaError(f"{whose} diverged in {name}; lower the learning rate")
        if worth_packing(delta):
            stored[name], stored[name + SCALES] = pack(delta.detach().cpu(), _bits(name))
            shapes[name] = list(delta.shape)
    return stored, shapes


def _from_stored(stored: Mapping[str, Tensor], packed: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Deltas by name. Raises KeyError or ValueError where codes, scales and shapes do not fit."""
    deltas = {name: value.float() for name, value in stored.items() if not name.endswith(SCALES)}
    codes = {name: (stored[name], stored[name + SCALES], shape) for name, shape in packed.items()}
    return deltas | {name: unpack(*parts, _bits(name)) for name, parts in codes.items()}


def _bits(name: str) -> int:
    """Bits of a packed number of what is stored under `name`."""
    return FACTOR_BITS if name.endswith((UP, DOWN)) else WHOLE_BITS


def _add(model: nn.Module, deltas: Mapping[str, Tensor], complaint: str) -> None:
    params = dict(model.named_parameters())
    try:
        changes = expand_factors(deltas, {name: value.shape for name, value in params.items()})
    except UsageError as error:
        raise TtsMetaError(f"{complaint}: {error}; {_ADVICE}") from error
    with torch.no_grad():
        for parameter, delta in changes.items():
            if parameter not in params or params[parameter].shape != delta.shape:
                raise TtsMetaError(f"{complaint}: {excerpt(parameter)}; {_ADVICE}")
            params[parameter].add_(delta)
            check_finite(parameter, params[parameter], complaint, _ADVICE)


def _read_header(file: TensorFile) -> VoiceHeader:
    """What the header of a voice file says. Its values are strings, of which some hold JSON."""
    metadata = file.metadata
    if metadata.get("kind") != "tts_meta voice" or metadata.get("format") not in (FORMAT, OLDER):
        raise TtsMetaError(f"{file.path}: not a voice file of format {FORMAT}; {_ADVICE}")
    data: dict[str, Any] = dict(metadata)
    for name in {"modules", "steps", "scores", "packed"} & metadata.keys():
        try:
            data[name] = parse_json(metadata[name])
        except ParseError as error:
            raise TtsMetaError(f"{file.path}: damaged header ({name}: {error}); {_ADVICE}") from error
    data["consent"] = " ".join(metadata.get("consent", "").split())
    if metadata["format"] == OLDER:
        data["packed"] = {}
    elif "packed" not in data:
        raise TtsMetaError(f"{file.path}: damaged header (packed is missing); {_ADVICE}")
    return check_header(data, VoiceHeader, f"{file.path}: damaged header", _ADVICE)
