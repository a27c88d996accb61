from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from faults import error_line, full_disk
from safetensors import safe_open
from safetensors.torch import load_file

from tts_meta import files
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file, atomic_folder, check_writable, restore_folder, sha256_file, write_tensors

ROOT = Path(__file__).resolve().parents[1]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_when_its_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("complete")
        assert not path.exists() and temporary.parent == path.parent
    assert path.read_text() == "complete" and names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_file_stays_as_it_was_when_its_block_fails(tmp_path: Path, fault: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(fault), atomic_file(path) as temporary:
        temporary.write_text("new")
        raise fault
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_folder_takes_the_place_of_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "run"
    for number in range(2):
        with atomic_folder(path) as temporary:
            (temporary / f"{number}.txt").write_text(str(number))
    assert names(tmp_path) == ["run"] and names(path) == ["1.txt"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_folder_stays_as_it_was_when_its_block_fails(tmp_path: Path, fault: type[BaseException]) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / "old.txt").touch()
    with pytest.raises(fault), atomic_folder(path) as temporary:
        (temporary / "new.txt").touch()
        raise fault
    assert names(tmp_path) == ["run"] and names(path) == ["old.txt"]


def test_a_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    with atomic_folder(path) as temporary:
        (temporary / "old.txt").touch()
    rename, calls = os.rename, []

    def second_fails(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(TtsMetaError, match="Input/output error; no file was changed"), atomic_folder(path) as temporary:
        (temporary / "new.txt").touch()
    assert names(tmp_path) == ["run"] and names(path) == ["old.txt"]


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_text("old")
    message = r"^cannot write .*a\.bin: File too large; no file was changed$"
    with pytest.raises(TtsMetaError, match=message), full_disk(1000), atomic_file(path) as temporary:
        temporary.write_bytes(bytes(5000))
    assert path.read_text() == "old" and names(tmp_path) == ["a.bin"]


def test_a_full_disk_while_tensors_are_written_is_one_line_too(tmp_path: Path) -> None:
    for place, name in ((atomic_file, "a"), (atomic_folder, "b")):
        with pytest.raises(TtsMetaError, match="File too large"), full_disk(1000), place(tmp_path / name) as temporary:
            write_tensors(temporary / "t" if place is atomic_folder else temporary, {"x": torch.zeros(5000)})
    assert names(tmp_path) == []


def test_tensors_and_their_header_read_back(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6).reshape(2, 3), "b": torch.tensor(2.5).half()}
    header = {"kind": "test", "consent": 'Ann message “yes”,\n"always" \\ ever', "empty": ""}
    write_tensors(tmp_path / "t", tensors, header)
    loaded = load_file(tmp_path / "t")
    assert loaded.keys() == tensors.keys() and all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert loaded["b"].dtype == torch.float16
    with safe_open(tmp_path / "t", framework="pt") as handle:
        assert handle.metadata() == header


def test_equal_tensors_and_headers_are_equal_bytes_in_every_process_and_order(tmp_path: Path) -> None:
    code = """
import sys, torch
from tts_meta.files import write_tensors
order = int(sys.argv[2])
tensors = [(name, torch.full((3,), ord(name), dtype=kind)) for name, kind in zip("acb", (torch.half, torch.float) * 2)]
header = [(name, name.upper()) for name in ("format", "kind", "base", "modules", "steps", "consent", "scores")]
write_tensors(sys.argv[1], dict(tensors[::order]), dict(header[::order]))
"""
    for order in ("1", "-1"):
        environment = os.environ | {"PYTHONHASHSEED": str(2 + int(order))}
        subprocess.run([sys.executable, "-c", code, tmp_path / order, order], cwd=ROOT, env=environment, check=True)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "-1").read_bytes()


def test_a_place_that_cannot_hold_files_is_one_line_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (atomic_file, atomic_folder):
        with pytest.raises(TtsMetaError, match=r"cannot write .*file/a"), place(tmp_path / "file" / "a"):
            pytest.fail("the block must not run")


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TtsMetaError, match="cannot write"), atomic_file(tmp_path / "a"):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize("place", ["atomic_file", "atomic_folder"])
def test_a_kill_leaves_the_old_content_and_a_hidden_name_until_the_next_write(tmp_path: Path, place: str) -> None:
    old = tmp_path / "a"
    inside = ""
    if place == "atomic_folder":
        old.mkdir()
        inside = " / 'content'"
        (old / "content").write_text("old")
    else:
        old.write_text("old")
    code = (
        f"import os, signal\nfrom tts_meta.files import {place}\nwith {place}({str(old)!r}) as temporary:\n"
        f"    (temporary{inside}).write_text('new')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert (old / "content" if place == "atomic_folder" else old).read_text() == "old"
    hidden, kept = names(tmp_path)
    assert hidden.startswith(".a.") and kept == "a"
    with getattr(files, place)(old) as temporary:
        (temporary / "content" if place == "atomic_folder" else temporary).write_text("newer")
    assert names(tmp_path) == ["a"]


def test_what_is_still_written_here_or_on_another_machine_is_not_removed(tmp_path: Path) -> None:
    other = tmp_path / ".a.00000000.999999999.abcdefgh.tmp"
    other.touch()
    with atomic_file(tmp_path / "a") as first:
        first.write_text("first")
        with atomic_file(tmp_path / "a") as second:
            second.write_text("second")
        assert first.read_text() == "first"
    assert names(tmp_path) == [other.name, "a"]


def test_the_hash_is_sha256_of_the_content(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "a").write_bytes(content)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_a_folder_killed_between_its_renames_comes_back(tmp_path: Path) -> None:
    target = tmp_path / "run"
    target.mkdir()
    (target / "state").write_text("old")
    code = f"""
import os, signal
from tts_meta.files import atomic_folder
rename = os.rename
os.rename = lambda *names: (rename(*names), os.kill(os.getpid(), signal.SIGKILL))
with atomic_folder({str(target)!r}) as folder:
    (folder / "state").write_text("new")
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert not target.exists()
    restore_folder(target)
    assert (target / "state").read_text() == "old"
    with atomic_folder(target) as folder:
        (folder / "state").write_text("newer")
    assert (target / "state").read_text() == "newer"
    assert not (tmp_path / ".run.old").exists()


@pytest.mark.parametrize("length", [244, 255])
def test_the_longest_legal_names_can_be_written(tmp_path: Path, length: int) -> None:
    # "é" takes two bytes: the limit is one of bytes.
    for name in ("a" * length, "é" * (length // 2)):
        check_writable(tmp_path / name)
        for _ in range(2):
            with atomic_file(tmp_path / name) as temporary:
                temporary.write_text("complete")
        assert (tmp_path / name).read_text() == "complete" and names(tmp_path) == [name]
        (tmp_path / name).unlink()
        for _ in range(2):
            with atomic_folder(tmp_path / name) as temporary:
                (temporary / "a").touch()
        assert names(tmp_path) == [name]
        (tmp_path / name / "a").unlink()
        (tmp_path / name).rmdir()


def test_a_name_that_is_too_long_is_known_before_the_work(tmp_path: Path) -> None:
    for path in (tmp_path / ("a" * 256), tmp_path / "absent" / ("é" * 128) / "a", tmp_path / ("a/" * 3000)):
        assert "File name too long" in error_line(lambda path=path: check_writable(path))


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_one_line(tmp_path: Path, name: str) -> None:
    for check in (check_writable, lambda path: atomic_file(path).__enter__()):
        assert "choose another name" in error_line(lambda check=check: check(tmp_path / name))


def test_a_file_is_written_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link, outer = tmp_path / "folder" / "target", tmp_path / "link", tmp_path / "outer"
    link.symlink_to("folder/target")
    outer.symlink_to("link")
    for text in ("written", "replaced"):
        with atomic_file(outer) as temporary:
            temporary.write_text(text)
        assert link.is_symlink() and outer.is_symlink() and not target.is_symlink()
        assert target.read_text() == text
    assert names(tmp_path / "folder") == ["target"] and names(tmp_path) == ["folder", "link", "outer"]


def test_a_folder_is_written_through_a_symbolic_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to("target")
    for number in range(2):
        with atomic_folder(link) as temporary:
            (temporary / str(number)).touch()
        assert link.is_symlink() and names(target) == [str(number)]
    assert names(tmp_path) == ["link", "target"]


def test_a_loop_of_links_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for place in (atomic_file, atomic_folder):
        assert "form a loop" in error_line(lambda place=place: place(tmp_path / "a").__enter__())
    assert (tmp_path / "a").is_symlink() and (tmp_path / "b").is_symlink()


def test_a_pipe_or_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("pipe")
    for name, message in (("pipe", "not a regular file"), ("link", "not a regular file"), ("folder", "is a folder")):
        for check in (check_writable, lambda path: atomic_file(path).__enter__()):
            assert message in error_line(lambda check=check, name=name: check(tmp_path / name))
    assert names(tmp_path) == ["folder", "link", "pipe"]


def test_a_place_is_checked_without_leaving_anything(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_writable(tmp_path / "new" / "folder" / "a")
    check_writable(tmp_path / "file")
    assert "is not a folder" in error_line(lambda: check_writable(tmp_path / "file" / "a"))
    with full_disk(1000):
        assert "File too large" in error_line(lambda: check_writable(tmp_path / "a"))
    assert names(tmp_path) == ["file"]
