"""Show that `prepare` writes the same bytes with 1 and 2 jobs, on a Dask cluster, and after kills at random moments.

    python -m recipes.scale.same_bytes CORPUS --folder runs/same_bytes

CORPUS is a folder for `prepare librispeech-mini`. A sample of its recordings, spread over the corpus, is prepared. The
first run measures how fast one process reads. A killed run gets SIGKILL after a random time of at most the duration of
the first run with two jobs, and is started again. The program ends with status 1 if any file differs.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from data_prep.librispeech_mini import read
from recipes.recipe_io import markdown_table
from tts_meta.cli import run_command
from tts_meta.errors import TtsMetaError

FILES = ("manifest.jsonl", "dropped.jsonl")
RECORDINGS, KILLS = 300, 10


def write_list(corpus: Path, path: Path, count: int) -> int:
    """Write a list of recordings for `prepare manifest`, and two that cannot be used; return its length."""
    listed = [recording for recording in read(corpus) if recording.audio is not None]
    chosen = listed[:: max(1, len(listed) // count)][:count]
    path.parent.mkdir(parents=True, exist_ok=True)
    broken = path.with_name("broken.wav")
    broken.write_bytes(b"RIFF")
    lines = [
        {"id": r.id, "speaker": r.speaker, "audio": str(Path(str(r.audio)).resolve()), "text": r.text, "split": r.split}
        for r in chosen
    ]
    lines += [{"id": name, "speaker": "s", "audio": f"{name}.wav", "text": "No."} for name in ("broken", "missing")]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return len(lines)


def start(listed: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start `tts-meta prepare manifest` in a process group of its own."""
    command = [sys.executable, "-m", "tts_meta.cli", "prepare", "manifest", str(listed), str(out), *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end. Raises TtsMetaError if the command fails."""
    if process.wait() != 0:
        raise TtsMetaError(f"prepare ended with status {process.returncode}; see its message")


def digests(out: Path) -> dict[str, str]:
    """Return the hashes of the files that `prepare` writes, and check that it leaves no other file."""
    found = sorted(path.name for path in out.iterdir())
    if found != sorted(FILES):
        raise TtsMetaError(f"{out} has {', '.join(found)} in place of {', '.join(sorted(FILES))}")
    return {name: hashlib.sha256((out / name).read_bytes()).hexdigest()[:12] for name in FILES}


def killed(listed: Path, out: Path, longest: float, kills: int, draw: random.Random) -> list[int]:
    """Kill a run with two jobs again and again, then let it end; return how many results each kill left."""
    results, finished = [], 0
    while len(results) < kills and finished < 10 * kills:
        process = start(listed, out, "--jobs", "2")
        time.sleep(draw.uniform(0, longest))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            journal = out / ".manifest.journal"
            results.append(sum(1 for line in journal.read_bytes().splitlines() if line) if journal.exists() else 0)
        if (out / FILES[0]).exists():  # it was faster than the kill, which does not count: start from the beginning
            shutil.rmtree(out)
            finished += 1
    if len(results) < kills:
        raise TtsMetaError("the runs end before they can be killed; give more --recordings")
    finish(start(listed, out, "--jobs", "2"))
    return results


def on_dask(listed: Path, out: Path) -> None:
    """Prepare on a local Dask cluster of two processes."""
    try:
        cluster_class = importlib.import_module("distributed").LocalCluster
    except ImportError as error:
        raise TtsMetaError("a Dask cluster needs dask; install it with: pip install '.[cluster]'") from error
    with cluster_class(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        finish(start(listed, out, "--dask", cluster.scheduler_address))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpus", type=Path, help="folder for `prepare librispeech-mini`")
    parser.add_argument("--folder", type=Path, default=Path("runs/same_bytes"), help="folder of the outputs")
    parser.add_argument("--recordings", type=int, default=RECORDINGS, help=f"size of the sample; default: {RECORDINGS}")
    parser.add_argument("--kills", type=int, default=KILLS, help=f"number of kills; default: {KILLS}")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments of the kills")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    shutil.rmtree(folder, ignore_errors=True)
    listed = folder / "list.jsonl"
    count = write_list(arguments.corpus, listed, arguments.recordings)
    rows, seconds = {}, {}
    for name, options in {"1 job": ("--jobs", "1"), "2 jobs": ("--jobs", "2")}.items():
        begin = time.perf_counter()
        finish(start(listed, folder / name, *options))
        seconds[name], rows[name] = time.perf_counter() - begin, digests(folder / name)
    on_dask(listed, folder / "dask")
    rows["Dask, 2 workers"] = digests(folder / "dask")
    left = killed(listed, folder / "killed", seconds["2 jobs"], arguments.kills, random.Random(arguments.seed))
    rows[f"2 jobs, killed {arguments.kills} times"] = digests(folder / "killed")
    print(f"{count} listed recordings; results in the journal after each kill: {', '.join(map(str, left))}\n")
    head = ["run", *(f"SHA-256 of {name}" for name in FILES)]
    print(markdown_table(head, [[name, *row.values()] for name, row in rows.items()]), end="")
    same = len({tuple(row.values()) for row in rows.values()}) == 1
    print("all files are the same" if same else "FILES DIFFER")
    return int(not same)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(run_command(main))
