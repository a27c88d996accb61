"""`Voice`: a speaker's voice as changes of a base model, and its file `NAME.voice.safetensors`.

The file contains the deltas of the adapted parameters: vectors in half precision and matrices quantized to a few bits
(`quantization.py`). The header contains the hash of the base, the hash of the vocoder if the vocoder is adapted, the
modules, the steps, the consent note and the scores. Files of the older format 1 contain matrices in half precision.
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

from tts_meta.adapt.quantization import FACTOR_BITS, MATRIX_BITS, dequantize, quantize, should_quantize
from tts_meta.context import default_torch_state
from tts_meta.corpus.audio_part import fingerprint
from tts_meta.errors import TtsMetaError, UsageError, excerpt, one_line
from tts_meta.files import atomic_file, check_path, write_tensors
from tts_meta.headers import Count, Header, Name, check_header
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.low_rank import DOWN, UP, expand_factors
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.vocoder import Vocoder
from tts_meta.parsing import ParseError, parse_json
from tts_meta.tensors import TensorFile, check_finite, to_float32

FORMAT, FORMAT_1 = "2", "1"
SUFFIX = ".voice.safetensors"
SCALES = ":scales"
"""Suffix of the tensor that contains the row scales of a quantized matrix."""
VOCODER_PREFIX = "vocoder."
"""Prefix of the names of the vocoder's modules and parameters."""
_ADVICE = "clone it again"
_Shape = Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=2, max_length=8)]


class VoiceHeader(Header):
    """The header of a voice file. packed: shapes of the quantized matrices."""

    base: str = Field(max_length=64)
    modules: list[Name] = Field(max_length=10_000)
    steps: Count
    consent: str
    scores: dict[Name, Any]
    packed: dict[Name, _Shape]
    vocoder: str = Field(default="", max_length=64)


@dataclass(frozen=True, repr=False)
class Voice:
    """The changes of a base model that make a speaker's voice.

    deltas: `{parameter name: tensor}` on the CPU; a low-rank change of a matrix is stored as two factors, `NAME:up` and
    `NAME:down`. base_hash: SHA-256 of the base that the deltas belong to. modules: names of the adapted modules. steps:
    inner steps. consent: who agreed to what, on one line. scores: results of cloning, such as the held-out loss before
    and after, and fingerprints of the recordings. vocoder_hash: hash of the vocoder that deltas named `vocoder.*`
    belong to; empty if there are none.
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
        content = f"{len(self.modules)} modules, {self.steps} steps, {size:,} numbers"
        return one_line(f"Voice(base {self.base_hash[:12]}, {content})")

    def save(self, path: str | Path) -> None:
        """Write the voice file. A failure leaves no partial file.

        Deltas from `as_stored` or from a voice file are read back without any change. Raises TtsMetaError if a
        delta is not finite in half precision.
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
        """Read a voice file. Raises TtsMetaError if the file is missing, damaged, or not a voice."""
        path = check_path("voice", path)
        if not path.is_file():
            raise TtsMetaError(f"{path}: no such voice; make one with `tts-meta clone AUDIO... -o {path}`")
        file = TensorFile.open(path, _ADVICE)
        header = _read_header(file)
        stored = to_float32(file.read(), str(path), _ADVICE)
        for name, value in stored.items():
            parameter = name.removesuffix(SCALES)
            if parameter == name and value.is_floating_point() == (name in header.packed):
                raise TtsMetaError(f"{path}: damaged, {excerpt(name)} holds {file.infos[name].dtype}; {_ADVICE}")
            if parameter != name and parameter not in header.packed:
                raise TtsMetaError(f"{path}: damaged, {excerpt(name)} belongs to no quantized matrix; {_ADVICE}")
        try:
            deltas = _from_stored(stored, header.packed)
        except (KeyError, ValueError) as error:
            raise TtsMetaError(f"{path}: damaged, a quantized matrix does not fit its shape; {_ADVICE}") from error
        for name in header.packed:
            check_finite(name, deltas[name], str(path), _ADVICE)
        return cls(
            deltas, header.base, tuple(header.modules), header.steps, header.consent, header.scores, header.vocoder
        )

    def adapted_on(self, recording: Path) -> bool:
        """Return whether the voice was adapted on a recording, according to the fingerprint of the recording.

        Returns False for voices without fingerprints.
        """
        fingerprints = self.scores.get("recordings")
        return isinstance(fingerprints, list) and fingerprint(recording) in fingerprints

    @default_torch_state()
    def apply(self, base: Base, name: str = "the voice") -> AcousticModel:
        """Return a copy of the base's acoustic model with the changes of this voice. The base does not change.

        name: name of the voice in messages. Raises TtsMetaError if the voice was made with another base.
        """
        if self.base_hash != base.hash:
            raise TtsMetaError(
                f"{name} was cloned with base {self.base_hash[:12]}, this base is {base.hash[:12]}; "
                "clone it again or use the base that it was cloned with"
            )
        model = copy.deepcopy(base.acoustic)
        deltas = {key: delta for key, delta in self.deltas.items() if not key.startswith(VOCODER_PREFIX)}
        _add(model, deltas, f"{name} does not fit the base")
        return model

    @default_torch_state()
    def changes(self, base: Base) -> dict[str, Tensor]:
        """Return the change of each adapted parameter of the base's acoustic model, by name.

        Low-rank factors are multiplied. Raises TtsMetaError for the same reasons as `apply`.
        """
        before, after = (dict(model.named_parameters()) for model in (base.acoustic, self.apply(base)))
        names = {
            name.removesuffix(UP).removesuffix(DOWN) for name in self.deltas if not name.startswith(VOCODER_PREFIX)
        }
        return {name: (after[name].detach() - before[name].detach()).cpu() for name in before if name in names}

    @default_torch_state()
    def apply_vocoder(self, vocoder: Vocoder, name: str = "the voice") -> Vocoder:
        """Return a copy of the vocoder with the changes of this voice.

        If the voice does not change the vocoder, the same object is returned. If the voice was made with
        another vocoder, the copy has no changes, and the notice of the copy says so. name: name of the voice in
        messages. Raises TtsMetaError if the voice is damaged.
        """
        deltas = {
            key.removeprefix(VOCODER_PREFIX): delta
            for key, delta in self.deltas.items()
            if key.startswith(VOCODER_PREFIX)
        }
        if not deltas:
            return vocoder
        if not isinstance(vocoder, SourceFilterVocoder) or vocoder.generator.hash != self.vocoder_hash:
            unchanged = copy.copy(vocoder)
            notice = (
                f"{name} adapts the vocoder {self.vocoder_hash[:12]}; "
                f"the vocoder {vocoder.name} is another one and is used without adaptation"
            )
            unchanged.notice = f"{vocoder.notice}; {notice}" if vocoder.notice else notice
            return unchanged
        adapted = SourceFilterVocoder(vocoder.generator, vocoder.name, vocoder.chunk_frames)
        _add(adapted.generator, deltas, f"{name} does not fit the vocoder")
        return adapted


def as_stored(deltas: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the deltas by name, float32, with the values that `Voice.load` returns after `Voice.save`.

    A second call changes nothing. Raises TtsMetaError with the name of a delta that is not finite in half
    precision.
    """
    return _from_stored(*_to_stored(deltas, "the voice"))


def _to_stored(deltas: Mapping[str, Tensor], name_in_messages: str) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """Return the tensors of the file, and the shapes of the quantized tensors."""
    stored: dict[str, Tensor] = {}
    shapes: dict[str, list[int]] = {}
    for name, delta in deltas.items():
        stored[name] = delta.detach().half().cpu().contiguous()
        if not stored[name].isfinite().all():
            raise TtsMetaError(f"{name_in_messages} diverged in {name}; lower the learning rate")
        if should_quantize(delta):
            stored[name], stored[name + SCALES] = quantize(delta.detach().cpu(), _bits(name))
            shapes[name] = list(delta.shape)
    return stored, shapes


def _from_stored(stored: Mapping[str, Tensor], packed: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Return the deltas by name. Raises KeyError or ValueError if codes, scales and shapes do not fit."""
    deltas = {name: value.float() for name, value in stored.items() if not name.endswith(SCALES)}
    codes = {name: (stored[name], stored[name + SCALES], shape) for name, shape in packed.items()}
    return deltas | {name: dequantize(*parts, _bits(name)) for name, parts in codes.items()}


def _bits(name: str) -> int:
    """Return the bits per number of the quantized matrix or factor `name`."""
    return FACTOR_BITS if name.endswith((UP, DOWN)) else MATRIX_BITS


def _add(model: nn.Module, deltas: Mapping[str, Tensor], problem: str) -> None:
    params = dict(model.named_parameters())
    try:
        changes = expand_factors(deltas, {name: value.shape for name, value in params.items()})
    except UsageError as error:
        raise TtsMetaError(f"{problem}: {error}; {_ADVICE}") from error
    with torch.no_grad():
        for parameter, delta in changes.items():
            if parameter not in params or params[parameter].shape != delta.shape:
                raise TtsMetaError(f"{problem}: {excerpt(parameter)}; {_ADVICE}")
            params[parameter].add_(delta.to(params[parameter].device))
            check_finite(parameter, params[parameter], problem, _ADVICE)


def _read_header(file: TensorFile) -> VoiceHeader:
    """Return the header of a voice file.

    The values of the header are strings. Some of these strings are JSON.
    """
    metadata = file.metadata
    if metadata.get("kind") != "tts_meta voice" or metadata.get("format") not in (FORMAT, FORMAT_1):
        raise TtsMetaError(f"{file.path}: not a voice file of format {FORMAT}; {_ADVICE}")
    data: dict[str, Any] = dict(metadata)
    for name in {"modules", "steps", "scores", "packed"} & metadata.keys():
        try:
            data[name] = parse_json(metadata[name])
        except ParseError as error:
            raise TtsMetaError(f"{file.path}: damaged header ({name}: {error}); {_ADVICE}") from error
    data["consent"] = " ".join(metadata.get("consent", "").split())
    if metadata["format"] == FORMAT_1:
        data["packed"] = {}
    elif "packed" not in data:
        raise TtsMetaError(f"{file.path}: damaged header (packed is missing); {_ADVICE}")
    return check_header(data, VoiceHeader, f"{file.path}: damaged header", _ADVICE)
