"""`tts-meta benchmark`: clone many speakers and score the clones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tts_meta.cli.console import command_line, print_message, print_text
from tts_meta.cli.options import Changes, Device, Recipe
from tts_meta.cli.training import with_device
from tts_meta.cli.workers import Dask, ModelJobs, workers_of

if TYPE_CHECKING:
    from tts_meta.audio.io import Waveform
    from tts_meta.evaluate.benchmark_config import BenchmarkConfig
    from tts_meta.models.pretrained import Base
    from tts_meta.models.vocoders.vocoder import Vocoder
    from tts_meta.report.run_info import RunInfo


def benchmark(
    recipe: Recipe,
    device: Device = None,
    changes: Changes = None,
    jobs: ModelJobs = None,
    dask: Dask = None,
) -> None:
    """Clone and score speakers that the base was not trained on.

    The scores are compared with those of real recordings. A recipe with `learners` compares several methods of
    cloning, for several numbers of sentences and of steps. The output folder of the recipe gets the tables, the scores
    of every sentence, a page that plays the audio, and a TensorBoard log. If the command is stopped, or a voice fails,
    the same command computes only what is missing. Needs the extra `eval`: pip install '.[eval]'.

    \b
    Examples:
      tts-meta benchmark recipes/librispeech_mini/score.yaml
      tts-meta benchmark recipes/few_shot/benchmark.yaml --set output=runs/few_shot --jobs 4
    """
    from tts_meta.config import load_config, top_level_keys
    from tts_meta.evaluate.cloning import CloningBenchmark, run_cloning
    from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark, run_few_shot
    from tts_meta.evaluate.few_shot.trials import counted
    from tts_meta.files import check_writable
    from tts_meta.models.pretrained import load_base
    from tts_meta.models.vocoders.vocoder import load_vocoder
    from tts_meta.report.cloning import write_cloning_report
    from tts_meta.report.few_shot import write_few_shot_report
    from tts_meta.synth import speak_text

    workers = workers_of(jobs, dask)
    if "learners" in top_level_keys(recipe):
        config = with_device(load_config(recipe, FewShotBenchmark, changes or ()), device)
        check_writable(config.output / "table.md")
        base = load_base(config.base, config.device)
        vocoder = load_vocoder(config.vocoder, base.device, mel=base.config.audio.mel)
        results = run_few_shot(config, base, vocoder, print_message, workers)

        def mean_voice(text: str) -> tuple[Waveform, int]:
            speech = speak_text(base, base.acoustic, vocoder, text)
            return speech.samples, speech.rate

        info = _run_info(config, base, vocoder)
        table = write_few_shot_report(config.output, results, base.config.audio.mel, info, mean_voice)
    else:
        config = with_device(load_config(recipe, CloningBenchmark, changes or ()), device)
        check_writable(config.output / "table.md")
        base = load_base(config.base, config.device)
        vocoder = load_vocoder(config.vocoder, base.device, mel=base.config.audio.mel)
        spoken = run_cloning(config, base, vocoder, print_message, workers)
        title = (
            "Voices of the base" if config.training_speakers else f"Cloned from {counted(config.adapt_on, 'sentence')}"
        )
        info = _run_info(config, base, vocoder)
        table = write_cloning_report(config.output, spoken, base.config.audio.mel, title, info)
    print_text(table, end="")
    print_message(f"tables, scores and a page to listen to are in {config.output}")


def _run_info(config: BenchmarkConfig, base: Base, vocoder: Vocoder) -> RunInfo:
    from tts_meta.report.run_info import RunInfo, settings_of

    settings = settings_of(config)
    data = {name: settings[name] for name in ("manifest", "split", "speakers", "test_list")}
    data |= {"base": base.hash[:12], "vocoder": vocoder.name}
    scalars = {name: value for name, value in settings.items() if not isinstance(value, dict)}
    return RunInfo(command_line(), data, settings, scalars)
