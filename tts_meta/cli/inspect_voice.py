"""`tts-meta inspect VOICE`: the content of a voice file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tts_meta.adapt import Voice
from tts_meta.cli.console import print_json, print_text
from tts_meta.errors import TtsMetaError, one_line
from tts_meta.headers import read_header
from tts_meta.models.base_headers import BaseState
from tts_meta.models.pretrained import load_base, shipped_base


def inspect_voice(path: Path, as_json: bool) -> None:
    """Print size, base, consent note, scores and modules of a voice. Raises TtsMetaError for a damaged file."""
    voice = Voice.load(path)
    _check_with_installed_base(voice, path)
    parameters, size = sum(delta.numel() for delta in voice.deltas.values()), path.stat().st_size
    if as_json:
        data: dict[str, Any] = {"kind": "voice", "file": str(path), "bytes": size, "base": voice.base_hash}
        data |= {"modules": list(voice.modules), "parameters": parameters, "steps": voice.steps}
        print_json(data | {"consent": voice.consent, "scores": voice.scores})
        return
    print_text(f"{path}: a voice of {size / 1024:,.0f} KiB, {parameters:,} parameters, {voice.steps} steps")
    # Line ends in the header of the file must not look like lines of this program.
    print_text(f"base: {one_line(voice.base_hash)}")
    print_text(f"consent: {one_line(voice.consent) or '(no note)'}")
    for name, value in voice.scores.items():
        if name == "recordings" and isinstance(value, list):
            value = f"{len(value)}, stored as fingerprints"
        print_text(one_line(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}"))
    print_text("modules:")
    for name in voice.modules:
        print_text(f"  {one_line(name)}")


def _check_with_installed_base(voice: Voice, path: Path) -> None:
    """Raise TtsMetaError if the voice belongs to the installed base, but does not fit it or cannot speak.

    The base of another voice is not known here; such a voice is checked when it speaks.
    """
    try:
        folder = shipped_base()
    except TtsMetaError:
        return
    if read_header(folder / "state.json", BaseState, "install tts-meta again").sha256 == voice.base_hash:
        base = load_base(folder)
        phones = [symbol for symbol in base.symbols.symbols if symbol.isalpha()][:3]
        try:
            voice.apply(base, str(path)).generate(base.symbols.encode(" ".join(phones)))
        except TtsMetaError as error:
            raise TtsMetaError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from error
