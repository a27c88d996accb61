"""Atomic writes of files and folders, checks of paths, and hashes of files.

A file is written under a temporary name in the target's folder and then renamed. A target is therefore never half
written.
"""

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

_MAX_REPEATED = 100
"""A file name of at most this many bytes is repeated in its temporary names."""


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path; rename it to `path` when the block succeeds, remove it when the block raises.

    An existing file keeps its content until the rename. A process that is killed leaves at most a hidden temporary
    file; the next write of `path` on this machine removes it. If `path` is a symbolic link, the file that it points to
    is replaced. Raises TtsMetaError if the folder cannot be written, the disk is full, or `path` is not a regular file.
    """
    path = write_target(path)
    temporary = _sibling(path)
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder; it replaces `path` when the block succeeds and is removed when the block raises.

    The replacement takes two renames. A process that is killed between them leaves the old folder under a hidden name,
    from which `restore_folder` restores it. A process that is killed at another time leaves at most a hidden temporary
    folder, which the next write removes. If `path` is a symbolic link, the folder that it points to is replaced. Raises
    TtsMetaError if the parent folder cannot be written or the disk is full.
    """
    path = _link_target(Path(path))
    restore_folder(path)
    temporary = _sibling(path)
    try:
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with open(file, "rb") as handle:
                    os.fsync(handle.fileno())
        if path.exists():
            # A folder cannot be replaced in one step: the old folder has a hidden name until the new one is in place.
            backup = _backup_path(path)
            os.rename(path, backup)
            try:
                os.rename(temporary, path)
            except OSError:
                os.rename(backup, path)
                raise
            shutil.rmtree(backup)
        else:
            os.rename(temporary, path)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def restore_folder(path: str | Path) -> None:
    """Restore the folder `path` if a killed `atomic_folder` left only its backup; otherwise remove the backup."""
    path = _link_target(Path(path))
    backup = _backup_path(path)
    if backup.exists() and path.exists():
        shutil.rmtree(backup, ignore_errors=True)
    elif backup.exists():
        os.rename(backup, path)


def write_target(path: str | Path) -> Path:
    """Return the file that a write to `path` replaces: `path` itself, or the target of a symbolic link.

    Raises TtsMetaError for a folder, for an invalid file name, and for a file that is not regular (a device, a pipe),
    which a rename would destroy.
    """
    path = Path(path)
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError as error:
        raise TtsMetaError(f"cannot write {path}: the name is not valid Unicode; choose another name") from error
    if b"\0" in encoded:
        raise TtsMetaError(f"cannot write {path}: the name contains a null character; choose another name")
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
        raise TtsMetaError(f"cannot write {path}: it is not a regular file; name another file")
    return target


def check_path(name: str, value: object) -> Path:
    """Return the argument `name` as a path. The file need not exist.

    Raises UsageError that names the argument if the value is not a path. Raises TtsMetaError if the path is invalid or
    access to it is denied.
    """
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise UsageError(f"{name} must be a path, not {type(value).__name__}")
    try:
        os.stat(value)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise TtsMetaError(f"{value}: cannot be read ({reason}); check the path") from error
    return Path(value)


def check_writable(path: str | Path) -> None:
    """Raise TtsMetaError if a later write of the file `path` would fail, as far as this can be tested.

    Missing folders are not created. The test writes and removes a small file. This fails on a full disk, on a read-only
    file system, and if a quota is used up.
    """
    path = write_target(path)
    parents = path.absolute().parents
    folder = next((parent for parent in parents if _exists(parent, path)), parents[-1])
    if not folder.is_dir():
        raise TtsMetaError(f"cannot write {path}: {folder} is not a folder; choose another path")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise TtsMetaError(f"cannot write {path}: no permission to write in {folder}; choose another path")
    try:
        max_name_bytes = os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
        if any(len(os.fsencode(part)) > max_name_bytes for part in path.absolute().parts):
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
    """Return `path`, or the target of a symbolic link. Raises TtsMetaError for a loop of links."""
    if not os.path.islink(path):
        return path
    target = Path(os.path.realpath(path))
    if os.path.islink(target):
        raise TtsMetaError(f"cannot write {path}: its symbolic links form a loop; remove them")
    return target


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file. The bytes do not depend on the order of tensors and metadata.

    A full disk raises OSError; the writer of the safetensors library would raise another error.
    """
    from safetensors.torch import save

    content = save(dict(tensors), metadata)
    if metadata:
        # The library sorts the tensors, but writes the metadata in an order that differs between processes.
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


def _backup_path(path: Path) -> Path:
    return path.parent / f".{_short_name(path.name)}.old"


def _short_name(name: str) -> str:
    """Return the name, or its hash if it is long: a temporary name must not exceed the 255 bytes of a file name."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= _MAX_REPEATED else hashlib.sha256(encoded).hexdigest()[:32]


def _sibling(path: Path) -> Path:
    """Return an unused hidden name in the folder of `path`, and remove the leftovers of killed processes there.

    The folder is that of `path` because a rename must stay on one file system. The name contains a hash of the machine
    and the process number, so that leftovers of ended processes are recognised.
    """
    prefix = f".{_short_name(path.name)}.{hashlib.sha256(platform.node().encode()).hexdigest()[:8]}."
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
    """Remove temporary files and folders with this prefix whose processes have ended."""
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
        return True  # on Windows, os.kill would end the process
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # the process of another user
    return True


def _write_error(path: Path, error: OSError) -> TtsMetaError:
    reason = error.strerror or str(error)
    return TtsMetaError(f"cannot write {path}: {reason}; no file was changed")
