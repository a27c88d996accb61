"""`tts-meta clone`: adapt the base to recordings of one speaker and write a voice file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tts_meta.cli import START_TIME
from tts_meta.cli.clone_log import check_log, log_run, open_log
from tts_meta.cli.clone_models import clone_settings, load_clone_base, load_clone_vocoder
from tts_meta.cli.clone_result import print_json_result, print_result
from tts_meta.cli.console import print_warning
from tts_meta.cli.error_reporting import Interrupted
from tts_meta.cli.options import (
    AsJson,
    BaseFolder,
    CloneSeed,
    Device,
    HistoryMixing,
    InnerSteps,
    LearnerName,
    LexiconFile,
    SpectralCorrection,
    WhisperModel,
)
from tts_meta.cli.outputs import check_output
from tts_meta.cli.progress import ProgressBar, StageTimer, progress_bar
from tts_meta.cli.streams import check_stdout
from tts_meta.errors import UsageError

if TYPE_CHECKING:
    from tts_meta.adapt import CloneProgress
    from tts_meta.report.log import Log

SUFFIX = ".voice.safetensors"


def clone(
    audio: Annotated[
        list[Path],
        typer.Argument(
            metavar="AUDIO",
            help="Recordings of one speaker, one sentence per file: WAV, FLAC, OGG, MP3, M4A, WebM and more. The "
            "text of one.wav is read from one.txt next to it, from --transcripts, or by --asr. A long recording is cut "
            "into sentences.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar=f"NAME{SUFFIX}", help="Voice file to write.")],
    transcripts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="List of transcripts, such as lines FILE|TEXT, or a CSV table with headings. All forms: "
            "docs/corpora.md.",
            show_default="a .txt file for each recording",
        ),
    ] = None,
    asr: Annotated[
        bool,
        typer.Option(
            "--asr",
            help="Transcribe recordings that have no .txt file by speech recognition (Whisper), and cut long ones into "
            "sentences. The transcripts are written next to the voice file, for correction: NAME.transcripts.tsv. "
            "Needs the extra `eval`: pip install '.[eval]'.",
        ),
    ] = False,
    whisper: WhisperModel = None,
    lexicon: LexiconFile = None,
    learner: LearnerName = None,
    modules: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Adapt only the modules of these names, such as 'decoder.*'; `tts-meta inspect base` lists the names. "
            "Modules of the vocoder adapt only if a pattern begins with `vocoder.`. Repeatable.",
            show_default="those that the learned prior selects; all without a prior",
        ),
    ] = None,
    steps: InnerSteps = None,
    vocoder_steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Gradient steps for modules of the vocoder, if --modules names any.",
            show_default="100",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Constant learning rate of the Adam optimiser, above 0.",
            show_default="0.1 of the learned σ of each module, decaying; 3e-4 without a learned prior",
        ),
    ] = None,
    variance: Annotated[
        float | None,
        typer.Option(
            metavar="VARIANCE",
            help="One prior variance σ² for all adapted modules, above 0, instead of the learned variances. Smaller "
            "values keep the voice closer to the base; 1 is plain fine-tuning. The default of --steps is then 200.",
            show_default="learned by meta-training",
        ),
    ] = None,
    prior_scale: Annotated[
        float | None,
        typer.Option(
            metavar="FACTOR",
            help="Multiplier of the learned prior variances, above 0. Smaller values keep the voice closer to the base "
            "and more intelligible.",
            show_default="stored with the base; 2 for the installed one",
        ),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Rank of the change of each weight matrix, 0 for full rank. Smaller ranks give smaller voice files.",
            show_default="stored with the base; 16 for the installed one",
        ),
    ] = None,
    history_mixing: HistoryMixing = None,
    spectral_correction: SpectralCorrection = None,
    seed: CloneSeed = None,
    hold_out: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Do not adapt on the last N recordings; print how well the voice predicts them.",
            show_default="0",
        ),
    ] = None,
    base: BaseFolder = None,
    consent: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Note in the voice file on who agreed to the cloning, and when.", show_default=False
        ),
    ] = "",
    log: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write a TensorBoard log: losses, spectrograms and spoken samples."),
    ] = None,
    vocoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Vocoder of the samples in --log, and vocoder that --modules adapts: light, hifigan, griffin-lim or a "
            "path. Only light vocoders can be adapted.",
            show_default="light",
        ),
    ] = None,
    device: Device = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing voice or log.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a voice file from recordings of one speaker.

    Five to ten sentences are a good start. A learner adapts the base model to them, by default by gradient descent. A
    module is one layer's weights or biases. A learned prior limits how far each module may move. The command prints the
    speaker similarity to expect from this much audio, if the base has such a forecast. Clone a voice only if its owner
    agrees.

    \b
    Examples:
      tts-meta clone one.wav two.wav three.wav -o alice.voice.safetensors --consent "Alice, 3 May"
      tts-meta clone alice/*.wav -o alice.voice.safetensors --transcripts alice/metadata.csv
      tts-meta clone interview.wav -o alice.voice.safetensors --asr --whisper base
      tts-meta clone alice/*.wav -o alice.voice.safetensors --learner runs/meta/base
    """
    check_output(output, SUFFIX, force)
    if as_json:
        check_stdout("the JSON")
    if not consent.isprintable():
        raise UsageError("--consent must be one line of printable text")
    if log is not None:
        check_log(log, force)
    timer = StageTimer(START_TIME)
    warnings: list[str] = []
    files_state = f"{output} was not written"

    def report_warning(line: str) -> None:
        warnings.append(line)
        print_warning(line)

    try:
        from tts_meta.adapt import SimilarityForecast, clone_examples, prepare_recordings
        from tts_meta.cli.clone_texts import LIST_SUFFIX, CloneTexts

        options = {"steps": steps, "learning_rate": learning_rate, "variance": variance, "rank": rank, "seed": seed}
        options |= {"modules": tuple(modules) if modules else None, "vocoder_steps": vocoder_steps}
        options |= {"prior_scale": prior_scale, "hold_out": hold_out, "learner": learner}
        options |= {"spectral_correction": spectral_correction, "history_mixing": history_mixing}
        settings = clone_settings(options)
        loaded_base = load_clone_base(base, settings, device or "auto").with_lexicon(lexicon)
        loaded_vocoder = load_clone_vocoder(vocoder, loaded_base, settings, needed_for_log=log is not None)
        forecast = SimilarityForecast.load_for(loaded_base, settings)
        list_path = output.with_name(output.name[: -len(SUFFIX)] + LIST_SUFFIX)
        texts = CloneTexts(loaded_base, list_path, report_warning, asr or whisper is not None, whisper)
        recordings = texts.find(audio, transcripts)
        examples = prepare_recordings(recordings, loaded_base, "new speaker", report_warning)
        with ExitStack() as stack:
            run_log = stack.enter_context(open_log(log, loaded_base))
            log_run(run_log, loaded_base, settings, recordings)
            report = _progress_reporter(run_log, stack.enter_context(progress_bar("cloning")))
            voice = clone_examples(loaded_base, examples, settings, report, consent, loaded_vocoder)
            voice.save(output)
            files_state = f"{output} is written, but its log is not complete"
            if log is not None:
                from tts_meta.report.cloned_voice import log_voice

                assert loaded_vocoder is not None
                log_voice(run_log, loaded_base, voice, recordings, loaded_vocoder)
    except KeyboardInterrupt as error:
        raise Interrupted(f"stopped; {files_state}") from error
    if as_json:
        print_json_result(output, voice, forecast, warnings, timer.total)
    else:
        print_result(output, voice, forecast, timer.total)


def _progress_reporter(run_log: Log, bar: ProgressBar) -> Callable[[CloneProgress], None]:
    """A function that logs the losses of each step and moves the progress bar."""
    log_folders = {"acoustic model": "clone", "vocoder": "clone_vocoder"}
    held_out_note = ""

    def report(progress: CloneProgress) -> None:
        nonlocal held_out_note
        held_out_note = "" if progress.step == 1 else held_out_note
        run_log.scalar(f"{log_folders[progress.model]}/loss", progress.loss, progress.step)
        if progress.held_out is not None:
            run_log.scalar(f"{log_folders[progress.model]}/held_out_loss", progress.held_out, progress.step)
            held_out_note = f", held out {progress.held_out:.3f}"
        bar.update(progress.step, progress.steps, f"{progress.model}: loss {progress.loss:.3f}{held_out_note}")

    return report
