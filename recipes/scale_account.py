"""Compute hours, memory and disk of each stage of `recipes/vctk` or `recipes/libritts` from measured speeds.

python -m recipes.scale_account recipes/vctk [STAGE.KEY=VALUE]...      at once; prints a table

STAGE.KEY=VALUE are settings, as of run.sh: pretrain.acoustic.steps=24000. The corpus has the published size, or that of
--manifest, a manifest with splits. The speeds of one core are those of scale_measurements.json, which
`python -m recipes.scale_measure` writes. The speed of a GPU was measured only for the spectral stage of the vocoder, on
an NVIDIA H200. For the other networks it is extrapolated: as many times faster than one core as in that stage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipes.recipe_io import markdown_table
from tts_meta.cli import run_command
from tts_meta.config import AnySection, load_config
from tts_meta.corpus import Manifest
from tts_meta.errors import UsageError
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark
from tts_meta.train.meta_train import MetaTrainConfig
from tts_meta.train.optimiser import OptimiserConfig
from tts_meta.train.pretrain import PretrainConfig
from tts_meta.train.vocoder import VocoderTrainConfig

MEASUREMENTS = Path(__file__).with_name("scale_measurements.json")
GPU_SPECTRAL = 2600.0
"""Seconds of speech per second in the spectral stage of the vocoder on an H200 (recipes/librispeech_mini/README.md)."""
GPUS = 8
FLAT_START = 20_000
"""At most about this many recordings have a flat start."""
BASE_MB, VOCODER_MB = 41.0, 28.0
"""Size of the weights in float32. A checkpoint has four times as much: weights, their average and two moments."""
LINE_MB = 7.2e-4
"""Memory of a line of a manifest, in MB (docs/corpora.md)."""
WORKER_MIB = 962.0
"""Largest memory of a process of `prepare` (docs/corpora.md)."""


@dataclass(frozen=True)
class Size:
    """Size of a corpus: of all splits, of the split of the base, and the number of speakers that are scored."""

    hours: float
    utterances: int
    base_hours: float
    base_utterances: int
    scored_speakers: int


PUBLISHED = {
    # 108 of 110 speakers have recordings and texts. Split: 68 base, 22 meta, 9 dev, 9 test.
    "vctk": Size(44.0, 44_000, 44.0 * 68 / 108, 44_000 * 68 // 108, 9),
    # Zen et al. 2019: train-clean-360 191.29 h, train-clean-100 53.78 h, dev-clean 8.97 h, test-clean 8.56 h.
    "libritts": Size(191.29 + 53.78 + 8.97 + 8.56, 116_500 + 33_236 + 5_736 + 4_837, 191.29, 116_500, 39),
}


@dataclass(frozen=True)
class Stage:
    """Cost of a stage.

    cpu: core-hours of work that only CPUs do. network, gpu: hours of the networks on one core and on one GPU. gib:
    memory of one process, without the data that all processes map. gb: disk.
    """

    name: str
    cpu: float
    network: float
    gpu: float
    gib: float
    gb: float


class Account:
    """The stages of a recipe. figures: the measured speeds by name. changes: settings STAGE.KEY=VALUE."""

    def __init__(self, folder: Path, size: Size, figures: Mapping[str, float], changes: Sequence[str]) -> None:
        self.folder, self.size, self.figures, self.changes = folder, size, figures, changes
        self.gpu = GPU_SPECTRAL / figures["spectral"]
        self.pretrain = self._load("pretrain", PretrainConfig)
        mel = self.pretrain.base.audio.mel
        self.frame_hours = mel.frame_seconds / 3600
        self.mel_mb = 2 * mel.n_mels / self.frame_hours / 1e6
        """MB of the log-mels of an hour, in half precision."""
        self.sample_mb = 2 * mel.sample_rate * 3600 / 1e6

    def _load(self, stage: str, section: type[AnySection]) -> AnySection:
        own = [change.partition(".")[2] for change in self.changes if change.startswith(f"{stage}.")]
        return load_config(self.folder / f"{stage}.yaml", section, own)

    def stages(self) -> list[Stage]:
        """Return the six stages in order."""
        lines = self.size.utterances * LINE_MB / 1e3
        split = Stage("2 split", 40 * self.size.utterances / 1e6 / 3600, 0, 0, 0.2, self.size.utterances * 3e-7)
        prepare = self._prepare(lines)
        return [prepare, split, self._pretrain(lines), self._vocoder(lines), self._meta_train(lines), self._benchmark()]

    def _prepare(self, lines: float) -> Stage:
        hours = self.size.hours
        return Stage("1 prepare", hours / self.figures["prepare"], 0, 0, WORKER_MIB / 1024, hours * self.mel_mb / 1e3)

    def _memory(self, model: str, *stages: OptimiserConfig) -> float:
        """Return the GiB of a process that computes a whole batch, or a micro-batch of it, of the largest stage."""
        frames = max(batch_frames(stage) / stage.accumulate for stage in stages)
        return (self.figures[f"{model}_mib"] + frames * self.figures[f"{model}_mib_per_frame"]) / 1024

    def _training(self, speed: str, *stages: OptimiserConfig) -> float:
        """Return the hours of training stages on one core."""
        frames = sum(stage.steps * batch_frames(stage) for stage in stages)
        return frames * self.frame_hours / self.figures[speed]

    def _pretrain(self, lines: float) -> Stage:
        config, size, figures = self.pretrain, self.size, self.figures
        flat = size.base_hours * min(1.0, FLAT_START / size.base_utterances)
        # Each of the two stages of the aligner is followed by a search: of these recordings, and of all.
        cpu = flat / figures["flat_start"] + (flat + size.base_hours) / figures["align"]
        network = self._training("aligner", config.aligner, config.aligner) + self._training(
            "acoustic", config.acoustic
        )
        memory = self._memory("acoustic", config.acoustic) + lines
        disk = 4 * BASE_MB / 1e3 * 2
        return Stage("3 pretrain", cpu, network, network / self.gpu, memory, disk)

    def _vocoder(self, lines: float) -> Stage:
        config, size, figures = self._load("vocoder", VocoderTrainConfig), self.size, self.figures
        cpu = size.base_hours * (1 / figures["prepare"] + 1 / figures["f0"])
        spectral = self._training("spectral", config.spectral, config.finetune)
        network = self._training("pitch", config.pitch) + spectral
        memory = self._memory("spectral", config.spectral, config.finetune) + lines
        # Samples, F0 of Praat, and predicted F0 and voicing in single precision.
        data = size.base_hours * (self.sample_mb + 12 / self.frame_hours / 1e6)
        return Stage("4 vocoder", cpu, network, network / self.gpu, memory, (data + 4 * VOCODER_MB * 3) / 1e3)

    def _meta_train(self, lines: float) -> Stage:
        config = self._load("meta_train", MetaTrainConfig)
        network = config.meta_steps * config.tasks * self.figures["task_seconds"] / 3600
        memory = (self.figures["acoustic_mib"] + config.frames_per_step * self.figures["acoustic_mib_per_frame"]) / 1024
        return Stage("5 meta_train", 0, network, network / self.gpu, memory + lines, 2 * BASE_MB / 1e3)

    def _benchmark(self) -> Stage:
        config, figures = self._load("benchmark", FewShotBenchmark), self.figures
        trials = sum(len(method.sentences or config.sentences) for method in config.learners.values())
        scored = trials * config.score_on * figures["scored_sentence_seconds"]
        # The gradient of an inner step costs as much as a step of training on as many frames.
        step = config.frames_per_step * self.frame_hours * 3600 / figures["acoustic_float32"]
        adapted = trials * max(config.steps) * step
        hours = self.size.scored_speakers / 3600
        memory = figures["acoustic_mib"] / 1024 + 2
        return Stage("6 benchmark", hours * scored, hours * adapted, hours * adapted / self.gpu, memory, 0.1)

    def table(self) -> str:
        """Return the Markdown table of the stages."""
        heads = ["Stage", "CPU work, core-hours", "networks on one core, hours", "on one H200, hours at best"]
        heads += [f"on {GPUS} H200, hours at best", "memory of a process, GiB", "disk, GB"]
        rows = []
        for stage in self.stages():
            hours = (stage.cpu, stage.network, stage.gpu, stage.gpu / GPUS)
            rows.append([stage.name, *map(shown, hours), f"{stage.gib:.1f}", shown(stage.gb)])
        total = [sum(getattr(stage, name) for stage in self.stages()) for name in ("cpu", "network", "gpu", "gb")]
        rows.append(["all", *map(shown, (*total[:3], total[2] / GPUS)), "", shown(total[3])])
        return markdown_table(heads, rows)


def batch_frames(stage: OptimiserConfig) -> int:
    """Return the mel frames of a step; with `frames_per_device`, those of one process."""
    return stage.frames_per_batch or (stage.frames_per_device or 0) * stage.accumulate


def shown(value: float) -> str:
    """Return a number with two significant digits; a dash for zero."""
    if not value:
        return "–"
    return "< 0.01" if value < 0.01 else f"{float(f'{value:.2g}'):,.10g}"


def size_of(manifest: Manifest, folder: Path) -> Size:
    """Return the size of a manifest for the splits of the recipe in `folder`."""
    base = manifest.of_split(*load_config(folder / "pretrain.yaml", PretrainConfig).splits)
    split = load_config(folder / "benchmark.yaml", FewShotBenchmark).split
    scored = manifest.of_split(*([split] if isinstance(split, str) else split))
    hours = [sum(utterance.seconds for utterance in part) / 3600 for part in (manifest, base)]
    return Size(hours[0], len(manifest), hours[1], len(base), len(scored.speakers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="recipes/vctk or recipes/libritts")
    parser.add_argument("changes", nargs="*", metavar="STAGE.KEY=VALUE", help="settings, as of run.sh")
    parser.add_argument("--manifest", type=Path, help="manifest with splits; default: the published size of the corpus")
    parser.add_argument("--measurements", type=Path, default=MEASUREMENTS, help="file of scale_measure")
    arguments = parser.parse_args()
    if arguments.recipe.name not in PUBLISHED:
        raise UsageError(f"{arguments.recipe} is not one of the recipes {', '.join(PUBLISHED)}; give its folder")
    measured = json.loads(arguments.measurements.read_text("utf-8"))
    figures = {name: value for name, value in measured.items() if isinstance(value, int | float)}
    size = PUBLISHED[arguments.recipe.name]
    if arguments.manifest is not None:
        size = size_of(Manifest.load(arguments.manifest), arguments.recipe)
    account = Account(arguments.recipe, size, figures, arguments.changes)
    print(f"one core: {measured['processor']}; one GPU: {account.gpu:.0f} times as fast, as measured for the vocoder\n")
    print(account.table())


if __name__ == "__main__":
    sys.exit(run_command(main))
