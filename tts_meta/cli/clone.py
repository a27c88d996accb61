"""`tts-meta clone`: recordings of a speaker to a voice file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tts_meta.cli import START_TIME
from tts_meta.cli.console import command_line, print_json, print_message, print_text, print_warning
from tts_meta.cli.error_reporting import Interrupted
from tts_meta.cli.outputs import check_output
from tts_meta.cli.progress import StageTimer, progress_bar
from tts_meta.cli.streams import check_stdout
from tts_meta.errors import UsageError
from tts_meta.files import check_writable

if TYPE_CHECKING:
    from tts_meta.adapt import CloneProgress, CloneSettings, Recording, SimilarityForecast, Voice
    from tts_meta.models.pretrained import Base
    from tts_meta.report.tensorboard import Log

SUFFIX = ".voice.safetensors"
DEFAULT = "the best found on held-back speakers"


def clone(
    audio: Annotated[
        list[Path], typer.Argument(metavar="AUDIO", help="WAV, FLAC, OGG, MP3, M4A, WebM and more.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar=f"NAME{SUFFIX}", help="The voice to write.")],
    transcripts: Annotated[
        Path | None,
        typer.Option(
            help="List of transcripts: lines FILE|TEXT, or another form in docs/corpora.md. Default: .txt files."
        ),
    ] = None,
    asr: Annotated[bool, typer.Option("--asr", help="Let Whisper write down what has no .txt (extra `eval`).")] = False,
    whisper: Annotated[str | None, typer.Option(help="Whisper model for --asr, a name or a folder.")] = None,
    lexicon: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Words of the transcripts and how they are said, a line each.")
    ] = None,
    modules: Annotated[
        list[str] | None,
        typer.Option(
            help="Pattern of module names to adapt, repeatable; see `tts-meta inspect base`. The light vocoder's only "
            "by patterns that begin with vocoder."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=0, help="Inner steps. Default: as many as it takes to settle.")
    ] = None,
    vocoder_steps: Annotated[
        int | None, typer.Option(min=0, help=f"Inner steps of the vocoder, if modules of it adapt. Default: {DEFAULT}.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help=f"Step size of Adam. Default: {DEFAULT}.")] = None,
    variance: Annotated[
        float | None, typer.Option(help=f"Prior variance of every adapted module. Default: {DEFAULT}.")
    ] = None,
    prior_scale: Annotated[
        float | None,
        typer.Option(
            help="So many times as wide as learned is the prior: less keeps words surer. Default: the base's."
        ),
    ] = None,
    rank: Annotated[
        int | None, typer.Option(min=0, help=f"Matrices move in so low a rank, 0: whole. Default: {DEFAULT}.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seeds the order of sentences and the dropout.")] = None,
    hold_out: Annotated[
        int | None,
        typer.Option(min=0, help="Do not adapt on the last N recordings, and print their loss. Default: 0."),
    ] = None,
    base: Annotated[Path | None, typer.Option(help="Folder of the base voice; the shipped one if not given.")] = None,
    consent: Annotated[str, typer.Option(help="Who agreed to what, kept in the voice file.")] = "",
    log: Annotated[Path | None, typer.Option(help="Folder for TensorBoard: losses, samples, mels.")] = None,
    vocoder: Annotated[
        str | None, typer.Option(help="Vocoder that adapts, and of the samples in the log; as for speak.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing voice or log.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make a voice of recordings of one speaker, a sentence each.

    \b
    Examples:
      tts-meta clone one.wav two.wav three.wav -o alice.voice.safetensors --consent "Alice, 3 May"
    """
    check_output(output, SUFFIX, force)
    if as_json:
        check_stdout("the JSON")
    if not consent.isprintable():
        raise UsageError("--consent must be one line of printable text")
    if log is not None:
        _check_log(log, force)
    watch = StageTimer(START_TIME)
    warnings: list[str] = []
    left = f"{output} was not written"

    def warned(line: str) -> None:
        warnings.append(line)
        print_warning(line)

    try:
        from tts_meta.adapt import SimilarityForecast, clone_examples, find_transcripts, prepare_recordings
        from tts_meta.adapt.vocoder_task import require_adaptable_vocoder
        from tts_meta.models.pretrained import load_base
        from tts_meta.models.vocoders.vocoder import load_vocoder

        given = {"steps": steps, "learning_rate": learning_rate, "variance": variance, "rank": rank, "seed": seed}
        given |= {"modules": tuple(modules) if modules else None, "vocoder_steps": vocoder_steps}
        given |= {"prior_scale": prior_scale, "hold_out": hold_out}
        settings = _settings(given)
        loaded = load_base(base).with_lexicon(lexicon)
        sounds = None
        if settings.adapts_vocoder:
            sounds = require_adaptable_vocoder(load_vocoder(vocoder), loaded)
        elif log is not None:
            sounds = load_vocoder(vocoder, mel=loaded.config.audio.mel)
        expected = SimilarityForecast.beside(loaded, settings)
        listener = _listener(whisper, loaded) if asr or whisper else None
        recordings = find_transcripts(audio, transcripts, listener)
        examples = prepare_recordings(recordings, loaded, "new speaker", warned)
        with ExitStack() as stack:
            run_log = stack.enter_context(_open_log(log, loaded))
            _log_run(run_log, loaded, settings, recordings)
            bar = stack.enter_context(progress_bar("cloning"))
            held_out, places = "", {"acoustic model": "clone", "vocoder": "clone_vocoder"}

            def report(progress: CloneProgress) -> None:
                nonlocal held_out
                held_out = "" if progress.step == 1 else held_out
                run_log.scalar(f"{places[progress.model]}/loss", progress.loss, progress.step)
                if progress.held_out is not None:
                    run_log.scalar(f"{places[progress.model]}/held_out_loss", progress.held_out, progress.step)
                    held_out = f", held out {progress.held_out:.3f}"
                bar.update(progress.step, progress.steps, f"{progress.model}: loss {progress.loss:.3f}{held_out}")

            voice = clone_examples(loaded, examples, settings, report, consent, sounds)
            voice.save(output)
            left = f"{output} is written, its log is not complete"
            if log is not None:
                from tts_meta.report.cloned_voice import log_voice

                assert sounds is not None
                log_voice(run_log, loaded, voice, recordings, sounds)
    except KeyboardInterrupt as error:
        raise Interrupted(f"stopped; {left}") from error
    _tell_result(output, voice, expected, warnings, watch.total, as_json)


def _settings(given: dict[str, Any]) -> CloneSettings:
    from tts_meta.adapt import CloneSettings

    for name in ("learning_rate", "variance", "prior_scale"):
        if given[name] is not None and not given[name] > 0:
            raise UsageError(f"--{name.replace('_', '-')} must be above 0, not {given[name]}")
    known = {field.name for field in fields(CloneSettings)}
    return CloneSettings(**{name: value for name, value in given.items() if value is not None and name in known})


def _listener(whisper: str | None, base: Base) -> Callable[[Path], str]:
    """What writes down a recording: its faults are told before Whisper is asked, which hears words in silence."""
    from tts_meta.adapt.recordings import load_recording
    from tts_meta.evaluate.wer import Transcriber

    transcriber: Transcriber | None = None

    def listen(path: Path) -> str:
        nonlocal transcriber
        waveform = load_recording(path, base.config.audio)
        transcriber = transcriber or Transcriber(whisper)
        text = transcriber(waveform, base.config.audio.mel.sample_rate)
        print_message(f'{path}: heard "{text}"')
        return text

    return listen


def _check_log(folder: Path, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: not a folder; choose another one for the log")
    if folder.exists() and any(folder.iterdir()) and not force:
        raise UsageError(f"{folder}: not empty; choose another folder for the log, or replace it with --force")
    check_writable(folder / "log")


def _open_log(folder: Path | None, base: Base):
    from tts_meta.report.tensorboard import NullLog, RunLog

    if folder is None:
        return NullLog()
    return RunLog(folder, base.config.audio.mel, replace=True)


def _log_run(log: Log, base: Base, settings: CloneSettings, recordings: Sequence[Recording]) -> None:
    """The command, recordings and settings, before the work."""
    from tts_meta.report.run_info import RunInfo, settings_of

    names = [str(recording.audio) for recording in recordings]
    RunInfo(command_line(), {"recordings": names, "base": base.hash[:12]}, settings_of(settings)).log(log)


def _tell_result(
    output: Path, voice: Voice, expected: SimilarityForecast | None, warnings: list[str], seconds: float, as_json: bool
) -> None:
    size, length = output.stat().st_size, voice.scores["seconds"]
    if as_json:
        data: dict[str, Any] = {"voice": str(output), "bytes": size, "base": voice.base_hash}
        data |= {"modules": list(voice.modules), "steps": voice.steps, "consent": voice.consent}
        data |= voice.scores | (expected.figures(length) if expected is not None else {})
        print_json(data | {"warnings": warnings, "took_seconds": round(seconds, 2)})
        return
    scores = voice.scores
    print_text(
        f"{output}: {size / 1024:,.0f} KiB, {voice.steps} steps in {len(voice.modules)} modules, {seconds:.0f} s in all"
    )
    print_text(f"adapted on {scores['sentences']} sentences, {scores['seconds']} s", end="")
    moved = f"{scores.get('held_out_before', 0):.3f} -> {scores.get('held_out_after', 0):.3f} nats a frame"
    print_text(f"; held out: loss {moved}" if "held_out_after" in scores else "")
    if "vocoder_steps" in scores:
        print_text(f"the vocoder adapted in {scores['vocoder_steps']} steps", end="")
        before, after = (scores.get(f"vocoder_held_out_{when}", 0) for when in ("before", "after"))
        moved = f"; held out: spectral distance {before:.4f} -> {after:.4f}"
        print_text(moved if "vocoder_held_out_after" in scores else "")
    if "stopped" in scores:
        print_text(f"stopped by itself: {scores['stopped']}")
    if expected is not None:
        print_text(expected.told(length))
    print_text(f'speak in it: tts-meta speak {output} "Text." -o out.wav')
