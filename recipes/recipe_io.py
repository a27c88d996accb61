"""Input and output of the recipes: command line, YAML file, Markdown tables and figures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tts_meta.config import AnySection, load_config

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def recipe_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The arguments of `python -m recipes.NAME`: `changes` of its YAML file, and `output`, the folder of the figure."""
    parser = argparse.ArgumentParser(prog=f"python -m recipes.{name}", description=description)
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE", help=f"replaces a value of {name}.yaml")
    parser.add_argument("--output", type=Path, default=Path("runs") / name, help="folder of the figure")
    return parser


def load_recipe(name: str, kind: type[AnySection], changes: Sequence[str]) -> AnySection:
    """`recipes/NAME/NAME.yaml` with the changes `KEY=VALUE`; see `load_config`."""
    return load_config(Path(__file__).parent / name / f"{name}.yaml", kind, changes)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are aligned right, except the first."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a small PNG. Creates the folder if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
