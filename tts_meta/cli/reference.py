"""The page docs/cli.md, made of the help of every verb: `python -m tts_meta.cli.reference > docs/cli.md`."""

from __future__ import annotations

import sys

import typer

from tts_meta.cli.app import app

_WIDTH = 100
_HEAD = """# Verbs and options

This page contains the help of every verb. This command writes it:

```sh
python -m tts_meta.cli.reference > docs/cli.md
```

The exit status is 0 for success, 1 for a failure, 2 for wrong use, 130 after Ctrl-C and 143 after SIGTERM. An error is
one line on stderr. If the environment variable `TTS_META_DEBUG` is 1, the Python traceback is shown instead.
[glossary.md](glossary.md) explains the terms.
"""


def cli_reference() -> str:
    """Markdown with the help of the program and of every verb, 100 columns wide."""
    program = typer.main.get_command(app)
    context = program.make_context("tts-meta", [], resilient_parsing=True)
    context.terminal_width = _WIDTH
    parts = [_HEAD, f"```text\n{program.get_help(context).rstrip()}\n```\n"]
    for name in program.list_commands(context):  # pyright: ignore[reportAttributeAccessIssue]
        verb = program.get_command(context, name)  # pyright: ignore[reportAttributeAccessIssue]
        own = type(context)(verb, info_name=name, parent=context, terminal_width=_WIDTH)
        lines = (line.rstrip() for line in verb.get_help(own).splitlines())
        parts.append(f"## {name}\n\n```text\n" + "\n".join(lines).rstrip() + "\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(cli_reference())
