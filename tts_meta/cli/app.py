"""The program `tts-meta`: its verbs, each in a file of its own. A new verb is one file and one line here.

Typer reads the options and the help page of a verb from the signature and the docstring of its function. So the
function of a verb with many options is longer than one screen.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from tts_meta.cli import (
    benchmark,
    clone,
    clone_speakers,
    demo,
    evaluate,
    inspect,
    merge,
    meta_train,
    prepare,
    pretrain,
    speak,
    split,
    train_vocoder,
)
from tts_meta.cli.console import print_message, print_text, record_arguments
from tts_meta.errors import TtsMetaWarning

app = typer.Typer(
    name="tts-meta",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
VERBS = (
    demo.demo,
    clone.clone,
    clone_speakers.clone_speakers,
    speak.speak,
    inspect.inspect,
    evaluate.evaluate,
    prepare.prepare,
    merge.merge,
    split.split,
    pretrain.pretrain,
    train_vocoder.train_vocoder,
    meta_train.meta_train,
    benchmark.benchmark,
)
for verb in VERBS:
    app.command()(verb)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print_text(f"tts-meta {version('tts_meta')}")
        except PackageNotFoundError:
            print_text("tts-meta, from a source tree that is not installed")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Clone a voice from a few recorded sentences, and speak in it.

    A base model, trained on many speakers, is installed with the program. `clone` adapts it to recordings of one
    speaker and writes a voice file of kilobytes to a few megabytes. `speak` reads text aloud in that voice. The other
    commands inspect and score voices, and train base models. Help of a command: tts-meta COMMAND --help.

    \b
    Examples:
      tts-meta demo
      tts-meta clone one.wav two.wav three.wav -o alice.voice.safetensors
      tts-meta speak alice.voice.safetensors "Good morning." -o morning.wav
    """


def run(arguments: Sequence[str]) -> int:
    """Run the verb that `arguments` name first. Errors are raised, not printed."""
    command = typer.main.get_command(app)
    with record_arguments(arguments), _print_package_warnings():
        status = command.main(args=list(arguments) or ["--help"], prog_name="tts-meta", standalone_mode=False)
    if status == 130:  # Typer returns this status after Ctrl-C
        raise KeyboardInterrupt
    return int(status or 0)


@contextmanager
def _print_package_warnings() -> Iterator[None]:
    """Print each warning of this package once, as one line. Warnings of libraries are not for users of the program."""
    if sys.warnoptions:
        yield
        return
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", TtsMetaWarning)
        printed = set[str]()

        def print_new(message: Warning | str, *location: object) -> None:
            if str(message) not in printed:
                printed.add(str(message))
                print_message(f"warning: {message}")

        warnings.showwarning = print_new
        yield
