"""Files are written whole or not at all: to a temporary name beside the target, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tts_meta.errors import TtsMetaError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

_LONGEST_KEPT = 100
"""Bytes of a file's name that its temporary names repeat."""


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path; rename it to `path` when the block ends well, remove it when it does not.

    An existing `path` stays as it was until the rename. A kill at any moment leaves at most a hidden temporary
    file, which the next write of `path` on this machine removes. A symbolic link stays, and the file that it points to
    is replaced. Raises TtsMetaError where the folder cannot be written, the disk is full, or `path` is no regular file.
    """
    path = written_path(path)
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
    any other at most a hidden temporary folder, which the next write removes. A symbolic link stays, and the folder
    that it points to is replaced. Raises TtsMetaError where the parent cannot be written or the disk is full.
    """
    path = _link_target(Path(path))
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
    path = _link_target(Path(path))
    old = _old(path)
    if old.exists() and path.exists():
        shutil.rmtree(old, ignore_errors=True)
    elif old.exists():
        os.rename(old, path)


def written_path(path: str | Path) -> Path:
    """The file that a write to `path` replaces: `path` itself, or the target of a symbolic link.

    Raises TtsMetaError for a folder, for a name that no file can have, and for what is not a regular file (a device, a
    pipe), which a rename would destroy.
    """
    path = Path(path)
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError as error:
        raise TtsMetaError(f"cannot write {path}: the name is no valid Unicode; choose another name") from error
    if b"\0" in encoded:
        raise TtsMetaError(f"cannot write {path}: the name holds a null character; choose another name")
    target = _link_target(path)
    try:
        mode = target.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return target
    except OSError as error:
        raise _write_error(path, error) from error
    if stat.S_ISDIR(mode):
        raise TtsMetaError(f"cannot write {path}: it is a folder; name a file")
    if not stat.S_ISREG(mode):
        raise TtsMetaError(f"cannot write {path}: it is not a regular file; name another one")
    return target


def check_path(what: str, value: object) -> Path:
    """The path of something to read; whether it is there is left to its reader.

    Raises UsageError, naming `what`, for a value that is no path, TtsMetaError for a path that no file can have or that
    may not be looked at.
    """
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise UsageError(f"{what} must be a path, not {type(value).__name__}")
    try:
        os.stat(value)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise TtsMetaError(f"{value}: cannot be read ({reason}); check the path") from error
    return Path(value)


def check_writable(path: str | Path) -> None:
    """Raise TtsMetaError where a later write of the file `path` would fail, as far as can be known.

    Missing folders are made at the write, not here. A small file is written and removed again, so that a full disk, a
    quota and a file system without write permission show.
    """
    path = written_path(path)
    parents = path.absolute().parents
    folder = next((parent for parent in parents if _exists(parent, path)), parents[-1])
    if not folder.is_dir():
        raise TtsMetaError(f"cannot write {path}: {folder} is not a folder; choose another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise TtsMetaError(f"cannot write {path}: no permission to write in {folder}; choose another place")
    try:
        longest = os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
        if any(len(os.fsencode(part)) > longest for part in path.absolute().parts):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        with tempfile.TemporaryFile(prefix=".", suffix=".tmp", dir=folder) as probe:
            probe.write(bytes(4096))
    except OSError as error:
        raise _write_error(path, error) from error


def _exists(folder: Path, path: Path) -> bool:
    try:
        return folder.exists()
    except OSError as error:
        raise _write_error(path, error) from error


def _link_target(path: Path) -> Path:
    """`path`, or where it is a symbolic link, what that points to. Raises TtsMetaError for a loop of links."""
    if not os.path.islink(path):
        return path
    target = Path(os.path.realpath(path))
    if os.path.islink(target):
        raise TtsMetaError(f"cannot write {path}: its symbolic links form a loop; remove them")
    return target


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


def fingerprint(path: Path) -> str:
    """The first twelve digits of a file's SHA-256: enough to tell some recordings apart."""
    return sha256_file(path)[:12]


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _old(path: Path) -> Path:
    return path.parent / f".{_short(path.name)}.old"


def _short(name: str) -> str:
    """A name that leaves room for what temporary names add: a legal name may fill all 255 bytes."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= _LONGEST_KEPT else hashlib.sha256(encoded).hexdigest()[:32]


def _sibling(path: Path) -> Path:
    """A fresh hidden name in the folder of `path`, so that a rename stays on one file system.

    It tells machine and process, so that what a killed process left can be removed, as is done here.
    """
    prefix = f".{_short(path.name)}.{hashlib.sha256(platform.node().encode()).hexdigest()[:8]}."
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
