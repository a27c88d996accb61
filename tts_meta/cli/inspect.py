"""`tts-meta inspect`: list the modules of a base, the content of a voice file or of a learner, or all learners."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tts_meta.cli.console import print_message
from tts_meta.cli.options import AsJson
from tts_meta.cli.outputs import check_output
from tts_meta.cli.streams import check_stdout
from tts_meta.errors import UsageError

if TYPE_CHECKING:
    from tts_meta.adapt import Voice
    from tts_meta.models.pretrained import Base


def inspect(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="BASE_OR_VOICE_OR_LEARNER",
            help="Voice file, folder of a base model, folder of a learner or its learner.json, or the word `base` for "
            "the installed base.",
            show_default=False,
        ),
    ] = None,
    learners: Annotated[
        bool, typer.Option("--learners", help="List all learners that `clone --learner` takes, with their sources.")
    ] = False,
    vocoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Vocoder whose modules are listed after those of the base: light, hifigan, griffin-lim (no modules) "
            "or a path.",
            show_default="light",
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Also draw the learned σ of every module along the model."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Also write a page on what meta-training found: σ of every module, how it changed in training, and "
            "what --voice and --compare show.",
        ),
    ] = None,
    voices: Annotated[
        list[Path] | None,
        typer.Option(
            "--voice", metavar="VOICE", help="Also show how far this voice moved every module of the base. Repeatable."
        ),
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="BASE",
            help="Also compare the learned σ with those of this base, such as one meta-trained with another seed. "
            "Repeatable.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the modules of a base, or show a voice or a learner.

    A module is one layer's weights or biases. For a base, the table shows the size of every module, whether `clone`
    adapts it, and its learned standard deviation σ: how far its parameters may move from the base to a voice. A base
    that was not meta-trained has no σ. For a voice, the list shows its base, the consent note, the scores and the
    modules. For a learner, it shows name, source, version, settings, number of meta-steps and tensors.

    \b
    Examples:
      tts-meta inspect base
      tts-meta inspect alice.voice.safetensors
      tts-meta inspect --learners
      tts-meta inspect base --picture modules.png --html modules.html
      tts-meta inspect runs/meta_1/base --compare runs/meta_2/base --voice alice.voice.safetensors
    """
    if as_json:
        check_stdout("the JSON")
    for file, suffix in ((picture, ".png"), (html, ".html")):
        if file is not None:
            check_output(file, suffix, force=True)
    base_options = {"picture": picture, "html": html, "voice": voices, "compare": compare}
    used = [name for name, value in base_options.items() if value]
    if learners or target is None:
        _inspect_learners(target, learners, as_json, [*used, *(["vocoder"] if vocoder else [])])
        return
    path = Path(target)
    is_base = target == "base" or (path.is_dir() and not _is_learner(path))
    if not is_base:
        if used:
            raise UsageError(f"--{used[0]} shows what a base learned in meta-training; give the folder of a base")
        _inspect_file(path, as_json)
        return
    from tts_meta.adapt import Voice
    from tts_meta.cli.inspect_base import inspect_base, sigmas_of_bases
    from tts_meta.models.pretrained import load_base

    other_sigmas = sigmas_of_bases(target, compare or [])
    base = load_base(None if target == "base" else path)
    loaded_voices = [Voice.load(voice) for voice in voices or ()]
    if html is not None:
        _write_page(base, html, loaded_voices, other_sigmas)
    if picture is not None:
        _draw(base, picture)
    inspect_base(base, target, vocoder, loaded_voices, other_sigmas, as_json)


def _inspect_learners(target: str | None, wanted: bool, as_json: bool, used: list[str]) -> None:
    """Print all learners. Raises UsageError for other arguments, or if nothing is to be inspected."""
    from tts_meta.cli.inspect_learner import inspect_learners

    if not wanted:
        raise UsageError("name what to inspect: a voice, a base, a learner, the word base, or --learners")
    if target is not None or used:
        raise UsageError("--learners lists all learners; leave out the other arguments")
    inspect_learners(as_json)


def _is_learner(folder: Path) -> bool:
    """Return whether a folder has a learner, but no base."""
    from tts_meta.models.pretrained import is_base
    from tts_meta.models.saved_learner import FILE

    return (folder / FILE).is_file() and not is_base(folder)


def _inspect_file(path: Path, as_json: bool) -> None:
    """Print the content of a learner or of a voice file."""
    from tts_meta.cli.inspect_learner import inspect_learner
    from tts_meta.cli.inspect_voice import inspect_voice
    from tts_meta.models.saved_learner import FILE

    inspect = inspect_learner if path.is_dir() or path.name == FILE else inspect_voice
    inspect(path, as_json)


def _draw(base: Base, path: Path) -> None:
    from tts_meta.report.figures import write_png
    from tts_meta.report.module_report import draw_base_modules

    write_png(path, draw_base_modules(base))
    print_message(f"wrote {path}")


def _write_page(base: Base, path: Path, voices: list[Voice], other_sigmas: dict[str, dict[str, float]]) -> None:
    from tts_meta.report.module_report import write_module_report

    write_module_report(path, base, voices, other_sigmas)
    print_message(f"wrote {path}")
