"""The array store: shards, their index and checks, writers that are killed or fork, and many processes at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from faults import error_line, full_disk
from numpy.typing import NDArray

from tts_meta import array_shards, array_store
from tts_meta.array_shards import RECORD
from tts_meta.array_store import ArrayStore

WIDTH = 5


def key_of(number: int) -> bytes:
    return sha256(str(number).encode()).digest()


def array_of(number: int) -> NDArray[np.float16]:
    draw = np.random.default_rng(number)
    return draw.standard_normal((1 + number % 7, WIDTH)).astype(np.float16)


def opened(folder: Path, width: int = WIDTH) -> ArrayStore:
    return ArrayStore(folder, np.float16, width, {"features": "test"}, "store")


def filled(folder: Path, numbers: range | list[int]) -> ArrayStore:
    store = opened(folder)
    for number in numbers:
        store.put(key_of(number), array_of(number))
    return store


def assert_holds(store: ArrayStore, numbers: range) -> None:
    for number in numbers:
        found = store.get(key_of(number))
        assert found is not None and np.array_equal(found, array_of(number)), number
        assert np.array_equal(store.read(key_of(number), 0, 1), array_of(number)[:1])


def shards(folder: Path) -> list[Path]:
    return sorted((folder / "store").glob("*.data"))


def test_a_store_returns_what_was_put_and_a_second_store_reads_it(tmp_path: Path) -> None:
    store = filled(tmp_path, range(50))
    assert_holds(store, range(50))
    assert_holds(opened(tmp_path), range(50))
    assert len(opened(tmp_path)) == 50 and len(shards(tmp_path)) == 1
    assert key_of(3) in store and key_of(50) not in store and store.get(key_of(50)) is None
    keys = np.stack([np.frombuffer(key_of(number), np.uint8) for number in range(52)])
    expected = [1 + number % 7 for number in range(50)] + [0, 0]
    assert store.rows(keys).tolist() == opened(tmp_path).rows(keys).tolist() == expected
    assert store.rows(keys[:0]).tolist() == [] and opened(tmp_path / "none").rows(keys).tolist() == [0] * 52


def test_parts_of_an_array_are_read(tmp_path: Path) -> None:
    store = filled(tmp_path, [6])
    assert np.array_equal(store.read(key_of(6), 2, 5), array_of(6)[2:5])
    assert len(store.read(key_of(6), 3, 3)) == 0
    assert "an array has 7 rows, not 8" in error_line(lambda: store.read(key_of(6), 2, 8))
    assert "is missing; run the same command again" in error_line(lambda: store.read(key_of(1), 0, 1))


def test_what_was_read_does_not_change_with_the_file(tmp_path: Path) -> None:
    store = filled(tmp_path, range(3))
    array = opened(tmp_path).get(key_of(1))
    (path,) = shards(tmp_path)
    with open(path, "r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert array is not None and np.array_equal(array, array_of(1))
    assert store is not None


def test_a_full_shard_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_shards, "MAX_SHARD_BYTES", 200)
    filled(tmp_path, range(40))
    assert len(shards(tmp_path)) >= 10 and max(path.stat().st_size for path in shards(tmp_path)) <= 200
    assert_holds(opened(tmp_path), range(40))
    monkeypatch.setattr(array_shards, "MAX_SHARD_BYTES", 1)
    filled(tmp_path / "large", range(3))
    assert len(shards(tmp_path / "large")) == 3


def test_an_array_is_checked_once_also_if_the_store_is_refreshed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[int] = []
    original = array_store.checksum
    monkeypatch.setattr(array_store, "checksum", lambda content: checked.append(len(content)) or original(content))
    store = filled(tmp_path, range(6))
    for _ in range(3):
        assert_holds(store, range(6))
        store.refresh()
    opened(tmp_path).read(key_of(6 - 1), 0, 1)
    assert len(checked) == 6 + 1


def test_many_new_arrays_are_sorted_into_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_store, "_MAX_RECENT", 3)
    store = filled(tmp_path, range(18))
    assert len(store._recent) <= 4 and len(store) == 18
    assert_holds(store, range(18))


def test_arrays_of_other_processes_are_found_after_refresh_and_by_a_miss(tmp_path: Path) -> None:
    first, second, third = opened(tmp_path), opened(tmp_path), opened(tmp_path)
    for number in range(20):
        first.put(key_of(number), array_of(number))
    assert key_of(4) not in second
    second.refresh()
    assert_holds(second, range(20))
    first.put(key_of(20), array_of(20))
    second.refresh()
    assert_holds(second, range(21))
    assert_holds(third, range(21))


@pytest.mark.parametrize("wrong", [np.zeros((3, WIDTH)), np.zeros((0, WIDTH), np.float16)])
def test_an_array_of_another_type_or_without_rows_is_refused(tmp_path: Path, wrong: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="an array of"):
        opened(tmp_path).put(key_of(0), wrong)
    with pytest.raises(ValueError, match="an array of"):
        opened(tmp_path).put(b"short", array_of(0))


def test_a_folder_of_other_arrays_is_refused_in_one_line(tmp_path: Path) -> None:
    filled(tmp_path, range(2))
    assert "other arrays than the name of the folder says; delete" in error_line(lambda: opened(tmp_path, 4))
    (tmp_path / "store" / "store.json").write_text("{}")
    line = error_line(lambda: opened(tmp_path))
    assert "store.json" in line and "delete" in line


def test_contents_have_folders_of_their_own(tmp_path: Path) -> None:
    first, second = (ArrayStore(tmp_path, np.float16, 4, {"version": version}) for version in (1, 2))
    first.put(key_of(0), np.ones((2, 4), np.float16))
    assert second.get(key_of(0)) is None and first.folder != second.folder


DAMAGES: dict[str, Callable[[Path], object]] = {
    "data truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "data removed": lambda path: path.unlink(),
    "data empty": lambda path: os.truncate(path, 0),
    "data changed": lambda path: path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes())),
    "data zero": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "data infinite": lambda path: path.write_bytes(b"\x00\x7c" * (path.stat().st_size // 2)),
    "index removed": lambda path: path.with_suffix(".index").unlink(),
    "index truncated": lambda path: os.truncate(path.with_suffix(".index"), 5 * RECORD.itemsize + 17),
    "index zero": lambda path: path.with_suffix(".index").write_bytes(bytes(7 * RECORD.itemsize)),
    "index random": lambda path: path.with_suffix(".index").write_bytes(np.random.default_rng(0).bytes(999)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_arrays_are_missing_and_can_be_put_again(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    filled(tmp_path, range(20))
    damage(shards(tmp_path)[0])
    store = opened(tmp_path)
    found = [store.get(key_of(number)) for number in range(20)]
    lost = [number for number, array in enumerate(found) if array is None]
    assert lost and all(np.array_equal(array, array_of(n)) for n, array in enumerate(found) if array is not None)
    line = error_line(lambda: store.read(key_of(lost[-1]), 0, 1))
    assert str(tmp_path / "store") in line and "run the same command again" in line
    for number in lost:
        store.put(key_of(number), array_of(number))
    assert_holds(store, range(20))
    assert_holds(opened(tmp_path), range(20))


@pytest.mark.parametrize("word", range(8))
def test_a_record_with_one_changed_word_is_ignored(tmp_path: Path, word: int) -> None:
    filled(tmp_path, range(5))
    path = shards(tmp_path)[0].with_suffix(".index")
    content = bytearray(path.read_bytes())
    content[2 * RECORD.itemsize + 8 * word] ^= 4
    path.write_bytes(content)
    store = opened(tmp_path)
    assert [number for number in range(5) if store.get(key_of(number)) is None] == [2]


def test_a_full_disk_gives_one_line_and_adds_nothing(tmp_path: Path) -> None:
    store = filled(tmp_path, range(3))
    size = shards(tmp_path)[0].stat().st_size
    with full_disk(size + 20):
        line = error_line(lambda: store.put(key_of(6), array_of(6)))
    assert line.startswith(f"cannot write {tmp_path}/store/") and "free some space and run the same command" in line
    assert shards(tmp_path)[0].stat().st_size == size
    store.put(key_of(6), array_of(6))
    assert_holds(opened(tmp_path), range(3))
    assert np.array_equal(opened(tmp_path).read(key_of(6), 0, 7), array_of(6))


def test_a_folder_that_cannot_be_written_gives_one_line(tmp_path: Path) -> None:
    (tmp_path / "store").touch()
    assert "cannot write" in error_line(lambda: filled(tmp_path, range(1)))


WRITER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import numpy as np
from tts_meta import array_shards
from test_array_store import array_of, key_of, opened

array_shards.MAX_SHARD_BYTES = 2000
store, written = opened(Path(sys.argv[2])), 0
for number in range(int(sys.argv[3]), 120, int(sys.argv[4])):
    if store.get(key_of(number)) is None:
        store.put(key_of(number), array_of(number))
        written += 1
        time.sleep(0.002)
print(written)
"""


def writer(folder: Path, first: int = 0, step: int = 1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(folder), str(first), str(step)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[1])


def test_a_writer_that_is_killed_many_times_writes_no_array_twice(tmp_path: Path) -> None:
    for _ in range(2):
        process, before = writer(tmp_path), len(opened(tmp_path))
        while process.poll() is None and len(opened(tmp_path)) < before + 30:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    before = len(opened(tmp_path))
    assert before >= 60
    out, _ = writer(tmp_path).communicate()
    store = opened(tmp_path)
    assert int(out) == 120 - before and len(store) == 120
    assert_holds(store, range(120))


def test_processes_write_at_once_without_locks(tmp_path: Path) -> None:
    processes = [writer(tmp_path, first, 2) for first in (0, 1)]
    assert [int(process.communicate()[0]) for process in processes] == [60, 60]
    assert_holds(opened(tmp_path), range(120))


def test_a_forked_process_writes_a_shard_of_its_own(tmp_path: Path) -> None:
    store = filled(tmp_path, range(2))
    process = store._writer._process
    store._writer._process = process + 1  # as in a child process
    store.put(key_of(2), array_of(2))
    assert len(shards(tmp_path)) == 2
    assert_holds(opened(tmp_path), range(3))
