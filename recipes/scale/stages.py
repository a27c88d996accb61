"""The measured stages of `python -m recipes.scale`: each runs alone in a process, on a synthetic corpus of any size.

The corpus has `LINES` sentences a speaker. They are parts of one short recording, so the audio takes no space. The
journal of `prepare` has all results already, as after a run that was killed at its end. The stages therefore measure
what grows with the corpus, and no audio is decoded. Nothing here imports PyTorch, except the stage `batches`: the verbs
`prepare` and `split` do not, and PyTorch takes about 500 MiB.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import wave
from collections.abc import Callable
from pathlib import Path

from data_prep import PrepareOptions, prepare_corpus
from data_prep.pipeline.audio_job import AudioJob, AudioResult
from data_prep.pipeline.prepare import JOURNAL_FILE
from tts_meta.corpus import EpisodeSampler, Manifest
from tts_meta.corpus.audio_part import part_of
from tts_meta.corpus.speaker_splits import Amount
from tts_meta.corpus.split_manifest import SplitRule, split_manifest

LINES = 100
"""Sentences of each speaker."""
SUPPORT, QUERY, EPISODES = 10, 10, 200
"""Sentences of an episode, and number of timed episodes. Each episode is of another speaker if there are enough."""
FRAMES = 10_000
"""Mel frames of a batch, as in the recipe of pretraining."""
_TEXT = "I am afraid I do not know much about the Land of Oz."
_SECONDS = 3.25


def write_corpus(folder: Path, speakers: int) -> Path:
    """Write the list of a synthetic corpus, its recording, and the journal of `prepare`; return the list."""
    folder.mkdir(parents=True, exist_ok=True)
    audio, listed, out = (folder / "long.wav").resolve(), folder / "list.jsonl", folder / "prepared"
    with wave.open(str(audio), "wb") as recording:
        recording.setparams((1, 2, 8000, 0, "NONE", ""))
        recording.writeframes(bytes(16_000))
    out.mkdir(exist_ok=True)
    with open(listed, "w") as lines, open(out / JOURNAL_FILE, "w") as journal:
        for number in range(speakers * LINES):
            speaker, start = f"s{number // LINES:05d}", round(number * _SECONDS % 90_000, 3)
            start, end = start + number // 20_000 * 1e-5, start + _SECONDS
            line = {"id": f"{speaker}/{number}", "speaker": speaker, "audio": audio.name, "text": f"{_TEXT} {number}."}
            line |= {"start": start, "end": end, "gender": "FM"[number // LINES % 2]}
            lines.write(json.dumps(line) + "\n")
            job = AudioJob.create(audio, part_of(audio, start, end))
            assert job is not None
            result = AudioResult(_SECONDS).as_dict()
            journal.write(json.dumps({"key": job.key.hex(), **result}) + "\n")
    return listed


def prepare(folder: Path) -> dict[str, float]:
    """List the corpus, look up all recordings in the journal, and write the manifest."""
    prepared = prepare_corpus("manifest", folder / "list.jsonl", folder / "prepared", PrepareOptions())
    return {"lines": getattr(prepared, "utterances", 0)}


def split(folder: Path) -> dict[str, float]:
    """Divide the manifest into train, dev and test."""
    rule = SplitRule(Amount.parse("0.05"), Amount.parse("0.05"))
    split_manifest(folder / "prepared" / "manifest.jsonl", folder / "split.jsonl", rule)
    return {}


def read(folder: Path) -> dict[str, float]:
    """Read and check the manifest, as every verb of training does."""
    return {"lines": len(Manifest.load(folder / "split.jsonl"))}


def sample(folder: Path) -> dict[str, float]:
    """Read the manifest, build the sampler of episodes, and draw episodes."""
    manifest = Manifest.load(folder / "split.jsonl")
    sampler = EpisodeSampler(manifest.utterances, SUPPORT, QUERY, seed=0)
    start = time.process_time()
    for number in range(EPISODES):
        sampler.episode(number)
    return {"episode_ms": 1000 * (time.process_time() - start) / EPISODES}


def batches(folder: Path) -> dict[str, float]:
    """Divide the sentences into batches of similar length, as in each epoch of pretraining. Imports PyTorch."""
    from tts_meta.corpus import bucket_batches

    with open(folder / "split.jsonl", "rb") as file:
        lines = sum(1 for _ in file)
    draw = random.Random(0)
    frames = [draw.randrange(80, 1000) for _ in range(lines)]
    start = time.process_time()
    made = bucket_batches(frames, FRAMES, 0, 0)
    return {"epoch_seconds": time.process_time() - start, "batches": len(made)}


STAGES: dict[str, Callable[[Path], dict[str, float]]] = {
    "prepare": prepare,
    "split": split,
    "read": read,
    "sample": sample,
    "batches": batches,
}


def peak_mib() -> float:
    """Return the peak resident memory of this process in MiB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise AssertionError("/proc/self/status has no VmHWM")


def run_stage(name: str, folder: Path) -> dict[str, float]:
    """Run a stage; return its CPU seconds, the peak memory, the memory before it, and its own figures."""
    before, start = peak_mib(), time.process_time()
    figures = STAGES[name](folder)
    return {"seconds": time.process_time() - start, "mib": peak_mib(), "mib_before": before, **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one stage and print its figures as JSON.")
    parser.add_argument("--one", choices=STAGES, required=True, help="the stage")
    parser.add_argument("--folder", type=Path, required=True, help="folder of the synthetic corpus")
    arguments = parser.parse_args()
    print(json.dumps(run_stage(arguments.one, arguments.folder)))


if __name__ == "__main__":
    main()
