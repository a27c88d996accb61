"""Files are written whole or not at all: to a temporary name beside the target, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tts_meta.errors import TtsMetaError

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path; rename it to `path` when the block ends well, remove it when it does not.

    An existing `path` stays as it was until the rename. A kill at any moment leaves at most a hidden temporary
    file, which the next write of `path` on this machine removes. Raises TtsMetaError where the folder cannot be
    written or the disk is full.
    """
    path = Path(path)
    temporary = _sibling(path)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder; put it in the place of `path` when the block ends well, remove it when it does not.

    A kill between its two renames leaves the old content under a hidden name, which `restore_folder` brings back;
    any other at most a hidden temporary folder, which the next write removes. Raises TtsMetaError where the parent
    cannot be written or the disk is full.
    """
    path = Path(path)
    restore_folder(path)
    temporary = _sibling(path)
    try:
        temporary.mkdir()
        yield temporary
        for written in temporary.rglob("*"):
            if written.is_file():
                with open(written, "rb") as handle:
                    os.fsync(handle.fileno())
        if path.exists():
            # A folder cannot be replaced in one step: the old one keeps a hidden name until the new one stands.
            old = _old(path)
            os.rename(path, old)
            try:
                os.rename(temporary, path)
            except OSError:
                os.rename(old, path)
                raise
            shutil.rmtree(old)
        else:
            os.rename(temporary, path)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def restore_folder(path: str | Path) -> None:
    """Bring back what a killed `atomic_folder` left without its name; remove what it left to spare."""
    path = Path(path)
    old = _old(path)
    if old.exists() and path.exists():
        shutil.rmtree(old, ignore_errors=True)
    elif old.exists():
        os.rename(old, path)


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, the same bytes for the same tensors and metadata whatever their order.

    A full disk is an OSError here; the library's own writer hides it in another error.
    """
    from safetensors.torch import save

    content = save(dict(tensors), metadata)
    if metadata:
        # The library sorts the tensors, but writes metadata in an order that it draws anew in each process.
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size]) | {"__metadata__": dict(sorted(metadata.items()))}
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        content = len(text).to_bytes(8, "little") + text + content[8 + size :]
    Path(path).write_bytes(content)


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _old(path: Path) -> Path:
    return path.parent / f".{path.name}.old"


def _sibling(path: Path) -> Path:
    """A fresh hidden name in the folder of `path`, so that a rename stays on one file system.

    It tells machine and process, so that what a killed process left can be removed, as is done here.
    """
    prefix = f".{path.name}.{hashlib.sha256(platform.node().encode()).hexdigest()[:8]}."
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path.parent, prefix)
        handle, name = tempfile.mkstemp(prefix=f"{prefix}{os.getpid()}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise _write_error(path, error) from error
    os.close(handle)
    os.unlink(name)
    return Path(name)


def _remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove the temporary files and folders of this prefix whose processes have ended."""
    with suppress(OSError):
        for name in os.listdir(folder):
            match = re.fullmatch(re.escape(prefix) + r"(\d{1,9})\.\w{8}\.tmp", name)
            if match is None or _is_running(int(match[1])):
                continue
            if (folder / name).is_dir():
                shutil.rmtree(folder / name, ignore_errors=True)
            else:
                os.unlink(folder / name)


def _is_running(process: int) -> bool:
    if os.name != "posix":
        return True  # elsewhere the question itself may end the process
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def _write_error(path: Path, error: OSError) -> TtsMetaError:
    reason = error.strerror or str(error)
    return TtsMetaError(f"cannot write {path}: {reason}; nothing was changed there")
