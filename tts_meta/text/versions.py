"""Versions of phonemizers: a warning if the installed version is not the one that a base was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = {"hibari": ("hibari-tts",), "espeak": ("phonemizer-fork", "espeakng-loader")}
"""Python packages that determine the phonemes, by the name of the phonemizer without its language code."""


def phonemizer_versions(name: str) -> dict[str, str]:
    """Return the installed versions of the packages of a phonemizer, by package; name: as for `load_phonemizer`."""
    versions = {}
    for package in _PACKAGES.get(name.partition(":")[0], ()):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def version_mismatch(trained_with: Mapping[str, str], phonemizer: str) -> str:
    """Return a one-line warning if installed versions differ from those of the training; otherwise an empty string."""
    installed = phonemizer_versions(phonemizer)
    changed = [package for package, trained in trained_with.items() if installed.get(package, trained) != trained]
    if not changed:
        return ""
    differences = ", ".join(
        f"{package} {trained_with[package]} (installed: {installed[package]})" for package in changed
    )
    requirements = " ".join(f"{package}=={trained_with[package]}" for package in changed)
    return f"the base was trained on phonemes of {differences}; words may sound different; pip install {requirements}"
