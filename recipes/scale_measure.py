"""Measure the speed and memory of every stage of training on one core, for recipes/scale_account.py.

python -m recipes.scale_measure [--output FILE]      about 80 CPU seconds; writes recipes/scale_measurements.json

Speeds are seconds of speech per CPU second of one thread, so other programs on the machine change them little. Networks
have the size of the shipped base and vocoder, and batches have random contents. The recording is a sentence of the
shipped base at 48 kHz. The memory of a training step is the largest memory of its process, for two sizes of the batch.
Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile
import torch
from torch import Tensor, nn

from recipes.librispeech_mini.throughput import SEGMENT, SENTENCE, random_batch, training_step
from tts_meta.adapt import AcousticTask
from tts_meta.audio import MelSpec
from tts_meta.audio.features import load_waveform_and_mel
from tts_meta.audio.pitch import fundamental_frequency_praat
from tts_meta.cli import run_command
from tts_meta.config import load_config
from tts_meta.corpus import Example
from tts_meta.evaluate.metric import Settings
from tts_meta.evaluate.scores import Scorer
from tts_meta.files import atomic_file
from tts_meta.meta import MetaTrainer, Task
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.source_filter import SourceFilterConfig, SourceFilterGenerator
from tts_meta.models.vocoders.vocoder import load_vocoder
from tts_meta.synth import speak_text
from tts_meta.train.aligner_loss import aligner_loss
from tts_meta.train.flat_start import FlatStart
from tts_meta.train.meta_train import MetaTrainConfig, build_learner, build_target
from tts_meta.train.optimiser import OptimiserConfig, build_optimiser
from tts_meta.train.vocoder_data import FULL_SCALE, VocoderBatch
from tts_meta.train.vocoder_losses import VocoderLoss, pitch_loss, spectral_objective

OUTPUT = Path(__file__).with_name("scale_measurements.json")
TEXT = "The birch canoe slid on the smooth planks, and nobody on the shore had seen where it came from."
ROUNDS, SENTENCES, CROPS, CROP_FRAMES = 3, 8, 16, 72
ACOUSTIC_FRAMES = (5_000, 20_000)
"""Frames of the batches whose memory is compared."""
METRICS = ("similarity", "wer", "distillmos")


def cpu_seconds(work: Callable[[], object], rounds: int | None = None) -> float:
    """Return the median CPU seconds of a call, after one call that is not counted."""
    seconds = list[float]()
    for _ in range(1 + (rounds or ROUNDS)):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds[1:])


def optimiser_step(model: nn.Module, loss: Callable[[], Tensor], bfloat16: bool) -> Callable[[], None]:
    """Return a function that takes one step of training."""
    optimiser = build_optimiser(model, OptimiserConfig(steps=1, learning_rate=1e-5))

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            value = loss()
        value.backward()
        optimiser.step()

    return step


def examples_of(base: Base, count: int, frames: int) -> list[Example]:
    """Return random sentences of `frames` frames, with eight frames per symbol."""
    batch = random_batch(base, frames, count * frames)
    rows = zip(batch.tokens, batch.durations, batch.mel, strict=True)
    return [Example(str(n), "new", tokens, durations, mel) for n, (tokens, durations, mel) in enumerate(rows)]


def measure_recording(base: Base, folder: Path) -> dict[str, float]:
    """Return the speeds of what reads recordings: decoding with trimming and log-mel, and Praat's F0."""
    vocoder = load_vocoder(mel=base.config.audio.mel)
    speech = speak_text(base, base.acoustic, vocoder, TEXT)
    recording = folder / "recording.flac"
    at_48_khz = scipy.signal.resample_poly(speech.samples, 48_000, speech.rate)
    soundfile.write(recording, at_48_khz, 48_000)
    config, mel_spec = base.config.audio, MelSpec(base.config.audio.mel)
    samples, mel = load_waveform_and_mel(recording, config, mel_spec)
    seconds = len(mel) * config.mel.frame_seconds
    read = cpu_seconds(lambda: load_waveform_and_mel(recording, config, mel_spec), 10 * ROUNDS)
    pitch = cpu_seconds(lambda: fundamental_frequency_praat(samples, config.mel), 3 * ROUNDS)
    return {"prepare": seconds / read, "f0": seconds / pitch}


def measure_alignment(base: Base) -> dict[str, float]:
    """Return the speeds of the search of alignments, and of a step of the aligner in bfloat16."""
    examples = examples_of(base, SENTENCES, SENTENCE)
    seconds = sum(len(example.mel) for example in examples) * base.config.audio.mel.frame_seconds
    batch = random_batch(base, SENTENCE)
    aligner = base.aligner.requires_grad_(True).train()
    step = cpu_seconds(optimiser_step(aligner, lambda: aligner_loss(aligner, batch), True))
    aligner.eval().requires_grad_(False)
    search = cpu_seconds(lambda: [aligner.align(e.mel, e.tokens, base.kinds) for e in examples], 1)

    def flat_start() -> None:
        model = FlatStart.estimate(examples, base.kinds, iterations=0)
        for example in examples:
            model.durations(example)

    flat = cpu_seconds(flat_start, 1)
    frames = int(batch.all_frames) * base.config.audio.mel.frame_seconds
    return {"aligner": frames / step, "align": seconds / search, "flat_start": seconds / flat}


def measure_acoustic(base: Base) -> dict[str, float]:
    """Return the speeds of a step of the acoustic model in both precisions."""
    batch = random_batch(base, SEGMENT)
    seconds = int(batch.all_frames) * base.config.audio.mel.frame_seconds
    names = {"acoustic": True, "acoustic_float32": False}
    return {name: seconds / cpu_seconds(training_step(base, batch, bfloat16)) for name, bfloat16 in names.items()}


def random_crops(generator: SourceFilterGenerator, crops: int) -> VocoderBatch:
    """Return random crops of `CROP_FRAMES` frames."""
    shape, hop = (crops, CROP_FRAMES), generator.mel_config.hop
    draw = torch.Generator().manual_seed(0)
    return VocoderBatch(
        mel=torch.randn(*shape, generator.mel_config.n_mels, generator=draw) - 5,
        log_f0=torch.full(shape, 5.0),
        voiced=torch.ones(shape),
        samples=(torch.randn(crops, CROP_FRAMES * hop, generator=draw) * 0.1 * FULL_SCALE).short(),
        all_frames=torch.tensor(crops * CROP_FRAMES),
        all_voiced=torch.tensor(float(crops * CROP_FRAMES)),
    ).to("cpu")


def vocoder_step(part: str, crops: int) -> Callable[[], None]:
    """Return a function that takes a step of the part `pitch` or `spectral` of the vocoder."""
    generator = SourceFilterGenerator(SourceFilterConfig(), load_base().config.audio.mel).train()
    batch = random_crops(generator, crops)
    model = generator.pitch if part == "pitch" else generator.net
    loss: VocoderLoss = pitch_loss(generator.pitch) if part == "pitch" else spectral_objective(generator)
    return optimiser_step(model, lambda: loss(batch, 0)[0], True)


def measure_vocoder(base: Base) -> dict[str, float]:
    """Return the speeds of a step of the pitch predictor and of the generator."""
    seconds = CROPS * CROP_FRAMES * base.config.audio.mel.frame_seconds
    return {part: seconds / cpu_seconds(vocoder_step(part, CROPS)) for part in ("pitch", "spectral")}


def measure_tasks(recipe: Path, folder: Path) -> dict[str, float]:
    """Return the CPU seconds of one task of meta-training, as in the recipe, with sentences of 4.6 s."""
    config = load_config(recipe, MetaTrainConfig, ["base=null", f"cache={folder / 'cache'}"])
    target = build_target(config)
    trainer = MetaTrainer(build_learner(config, target), config.trainer, meta_steps=1)
    changing = trainer.learner.changing_modules
    examples = examples_of(target.base, config.support + config.query, SENTENCE * 2 // 5)
    query = AcousticTask(target.base, examples[: config.query], changing).all_sentences()
    support = AcousticTask(target.base, examples[config.query :], changing)
    task: Task = support.task(query, config.frames_per_step, 0, "speaker", config.precision)
    start = time.process_time()
    trainer.step([task])
    seconds = time.process_time() - start
    return {"task_seconds": seconds}


def measure_scores(base: Base) -> dict[str, float]:
    """Return the CPU seconds to speak a sentence of the benchmark and to score it."""
    vocoder, scorer = load_vocoder(mel=base.config.audio.mel), Scorer(METRICS, Settings("cpu", None))
    scorer.load()
    voice = np.full(256, 1 / 16, np.float32)

    def score() -> None:
        speech = speak_text(base, base.acoustic, vocoder, TEXT)
        scorer.score(speech.samples, speech.rate, id="1", text=TEXT, voice=voice)

    return {"scored_sentence_seconds": cpu_seconds(score, 1)}


def peak_mebibytes(part: str, size: int) -> float:
    """Return the largest memory of a process that takes two steps: `size` frames, or crops of the vocoder."""
    command = [sys.executable, "-m", "recipes.scale_measure", "--one", part, str(size)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak(part: str, size: int) -> None:
    """Take two steps, and print the largest memory of this process in MiB. Needs Linux."""
    base = load_base()
    step = (
        training_step(base, random_batch(base, SEGMENT, size), True) if part == "acoustic" else vocoder_step(part, size)
    )
    for _ in range(2):
        step()
    # `ru_maxrss` of a new process begins at the memory of the process that started it.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(int(peak) / 2**10)


def measure_memory() -> dict[str, float]:
    """Return memory of a process without data, and per frame of a batch, in MiB."""
    small, large = (peak_mebibytes("acoustic", frames) for frames in ACOUSTIC_FRAMES)
    few, many = (peak_mebibytes("spectral", crops) for crops in (CROPS, 2 * CROPS))
    slope = (large - small) / (ACOUSTIC_FRAMES[1] - ACOUSTIC_FRAMES[0])
    crop_slope = (many - few) / (CROPS * CROP_FRAMES)
    return {
        "acoustic_mib": small - slope * ACOUSTIC_FRAMES[0],
        "acoustic_mib_per_frame": slope,
        "spectral_mib": few - crop_slope * CROPS * CROP_FRAMES,
        "spectral_mib_per_frame": crop_slope,
    }


def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2] for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0].strip() if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"file to write; default: {OUTPUT.name}")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.one:
        print_peak(arguments.one[0], int(arguments.one[1]))
        return
    base = load_base()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure_recording(base, Path(folder)) | measure_alignment(base) | measure_acoustic(base)
        figures |= measure_vocoder(base) | measure_scores(base) | measure_memory()
        figures |= measure_tasks(Path(__file__).parent / "vctk" / "meta_train.yaml", Path(folder))
    rounded = {name: float(f"{value:.3g}") for name, value in figures.items()}
    with atomic_file(arguments.output) as temporary:
        text = json.dumps({"processor": processor(), "torch": torch.__version__, **rounded}, indent=2)
        temporary.write_text(text + "\n", encoding="utf-8")
    print(f"{arguments.output}: {len(figures)} figures")


if __name__ == "__main__":
    sys.exit(run_command(main))
