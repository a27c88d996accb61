"""Imports the packages of the extra `eval` and suppresses their output."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import warnings
from collections.abc import Iterator
from types import ModuleType

from tts_meta.errors import TtsMetaError


def require(*modules: str) -> None:
    """Raise TtsMetaError if one of the modules of the extra `eval` is not installed. Imports nothing."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        # PESQ has its own extra, because its installation needs a C compiler.
        extra = "pesq" if missing == ["pesq"] else "eval"
        raise TtsMetaError(f"{' and '.join(missing)} must be installed; use: pip install '.[{extra}]'")


def load_extra(module: str) -> ModuleType:
    """Import a module of the extra `eval` without its banners and warnings.

    Raises TtsMetaError for the same reasons as `require`.
    """
    require(module.partition(".")[0])
    with quiet():
        return importlib.import_module(module)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the output and the warnings of third-party code. Wrap only a load or one call."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
