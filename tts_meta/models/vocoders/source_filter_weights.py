"""Functions that write, recognise and read the folder of a light vocoder, and find the shipped folder.

model.safetensors   weights in half precision
config.json         `SourceFilterFile`: sizes of the networks, and settings of their input mels
state.json          format version, how the vocoder was trained, SHA-256 of the weights
learner.json, learner.safetensors   only for a meta-trained vocoder: the learner (`saved_learner.py`)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from tts_meta.audio.mel import MelConfig
from tts_meta.config import Section, dump_config, parse_config
from tts_meta.context import SkipInitialization
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_folder, sha256_file, write_tensors
from tts_meta.headers import Digest, Header, check_header, read_json
from tts_meta.models.run_record import Runs
from tts_meta.models.saved_learner import SavedLearner
from tts_meta.models.vocoders.source_filter import SourceFilterConfig, SourceFilterGenerator
from tts_meta.tensors import TensorFile, check_finite, to_float32

FORMAT = 1
_ADVICE = "copy it again"


class SourceFilterFile(Section):
    """The content of `config.json` of a light vocoder."""

    light: SourceFilterConfig
    mel: MelConfig

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.mel.hop % self.light.subframes:
            raise ValueError(f"a hop of {self.mel.hop} samples is not divisible by {self.light.subframes} subframes")
        if self.light.window < self.mel.hop // self.light.subframes:
            raise ValueError(f"a window of {self.light.window} samples is shorter than a subframe")
        return self


class SourceFilterState(Header):
    """The content of `state.json` of a light vocoder. runs: records of the training runs.

    Other keys describe how the vocoder was trained.
    """

    format: int
    sha256: Digest
    runs: Runs = Field(default={})


def save_source_filter(generator: SourceFilterGenerator, folder: Path, state: Mapping[str, Any]) -> None:
    """Write a folder atomically, with weights in half precision, and set the hash of `generator.learner` to theirs.

    Raises TtsMetaError if weights are not finite.
    """
    config = SourceFilterFile(light=generator.config, mel=generator.mel_config)
    weights = {name: value.half().cpu().contiguous() for name, value in generator.state_dict().items()}
    for name, value in weights.items():
        check_finite(name, value, str(folder), "not written, the training diverged; lower the learning rate")
    with atomic_folder(folder) as temporary:
        write_tensors(temporary / "model.safetensors", weights)
        digest = sha256_file(temporary / "model.safetensors")
        data = {"format": FORMAT, "sha256": digest, **state}
        (temporary / "config.json").write_text(dump_config(config), encoding="utf-8")
        (temporary / "state.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        if generator.learner is not None:
            generator.learner = generator.learner.save_to(temporary, digest)


def is_source_filter(folder: Path) -> bool:
    """Return whether a folder contains a light vocoder: the key `light` is in `config.json`.

    A folder with a damaged `config.json` counts as a light vocoder if it has a `state.json`, because HiFi-GAN folders
    have no `state.json`.
    """
    path = folder / "config.json"
    if not path.is_file():
        return False
    try:
        data = read_json(path, _ADVICE)
    except TtsMetaError:
        return (folder / "state.json").is_file()
    return isinstance(data, dict) and "light" in data


def load_source_filter(folder: Path) -> SourceFilterGenerator:
    """Return the generator of a folder in evaluation mode, with weights in float32.

    Raises TtsMetaError if a file is missing or damaged, the format version is unknown, or the weights do not fit
    `config.json` or are not finite.
    """
    path = folder / "model.safetensors"
    state = read_json(folder / "state.json", _ADVICE)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise TtsMetaError(f"{folder}: a vocoder of another format; this version reads format {FORMAT}")
    check_header(state, SourceFilterState, str(folder / "state.json"), _ADVICE)
    config = parse_config(read_json(folder / "config.json", _ADVICE), SourceFilterFile, str(folder / "config.json"))
    file = TensorFile.open(path, _ADVICE)
    digest = sha256_file(path)
    if digest != state["sha256"]:
        raise TtsMetaError(f"{folder}: the weights are not those that state.json names (SHA-256); {_ADVICE}")
    # The shapes of the configuration are compared with those of the file before any memory is allocated for them.
    with SkipInitialization(shapes_only=True):
        file.check_like(
            SourceFilterGenerator(config.light, config.mel).state_dict(), "weights that do not fit config.json"
        )
    weights = to_float32(file.read(), str(path), _ADVICE)
    with SkipInitialization():
        generator = SourceFilterGenerator(config.light, config.mel)
    generator.load_state_dict(weights)
    generator.hash = digest
    generator.state = {name: value for name, value in state.items() if name not in ("format", "sha256")}
    generator.learner = SavedLearner.load_from(folder, digest, "vocoder")
    return generator.eval()


def shipped_vocoder() -> Path | None:
    """Return the folder of the vocoder that is shipped with the package, or None if no vocoder is shipped."""
    package = Path(__file__).resolve().parents[2]
    for candidate in (package / "_checkpoints" / "vocoder", package.parent / "checkpoints" / "vocoder"):
        if (candidate / "state.json").is_file():
            return candidate
    return None
