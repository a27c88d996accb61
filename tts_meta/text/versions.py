"""Which version of a phonemizer is installed: other versions may write other phonemes for the same text."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = {"hibari": ("hibari-tts",), "espeak": ("phonemizer-fork", "espeakng-loader")}
"""Distributions whose versions decide what phonemes a phonemizer writes, by its name up to a colon."""


def phonemizer_versions(name: str) -> dict[str, str]:
    """Installed versions by distribution, of the phonemizer that `load_phonemizer` loads by this name."""
    found = {}
    for package in _PACKAGES.get(name.partition(":")[0], ()):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def version_mismatch(trained_with: Mapping[str, str], phonemizer: str) -> str:
    """What differs between the recorded versions and those installed, as one line; empty where nothing does."""
    installed = phonemizer_versions(phonemizer)
    changed = [package for package, was in trained_with.items() if installed.get(package, was) != was]
    if not changed:
        return ""
    differences = ", ".join(
        f"{package} {trained_with[package]} (installed: {installed[package]})" for package in changed
    )
    wanted = " ".join(f"{package}=={trained_with[package]}" for package in changed)
    return f"the base was trained on the phonemes of {differences}; words may sound other: pip install {wanted}"
