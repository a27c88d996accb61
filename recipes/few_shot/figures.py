"""Draw the figures of `tables.md` from its tables: `python -m recipes.few_shot.figures`.

`curves.png`: scores against inner steps, from the tables of "Methods and steps". `reliability.png`: observed against
predicted frequency, from the table of "Reliability of the forecast". The trials of these tables were not kept, so the
tables are the source.
"""

from __future__ import annotations

import re
from pathlib import Path

from tts_meta.evaluate.confidence import Interval
from tts_meta.report.figures import Panel, draw_curves, write_png
from tts_meta.report.forecast import write_reliability_figure

FOLDER = Path(__file__).parent
SCORES = ("Similarity ↑", "CER ↓", "DistillMOS ↑", "NLL per frame (nats) ↓")
CURVES = ("clone", "prior × 0.25", "fully fine-tuned")
"""Methods that have several numbers of steps at every number of sentences."""
LINES = ("real recording", "clone, stopped automatically")

Table = dict[str, dict[str, str]]


def read_table(text: str) -> Table:
    """Return the first Markdown table of a text: for each row its cells by heading."""
    parts = (part.strip() for part in text.split("\n\n"))
    lines = next(part for part in parts if part.startswith("|")).splitlines()
    heading, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {name: dict(zip(heading[1:], cells, strict=True)) for name, *cells in rows}


def section(page: str, heading: str) -> str:
    """Return the text of a section of the page, from its heading to the next heading of the same or a higher level."""
    level = heading.split(" ")[0]
    start = page.index(f"\n{heading}\n") + len(heading) + 2
    return re.split(rf"\n#{{1,{len(level)}}} ", page[start:])[0]


def interval(cell: str) -> Interval:
    """Return a cell such as `0.84 [0.78, 0.89]` as an interval; a cell without brackets has no width."""
    mean, *bounds = map(float, re.findall(r"-?[\d.]+", cell))
    low, high = bounds or (mean, mean)
    return Interval(mean, low, high, 0)


def curve_panels(page: str) -> list[Panel]:
    """Return one panel for each score and number of sentences."""
    text = section(page, "### Methods and steps")
    counts = re.findall(r"^#### (From \d+ sentences?)$", text, flags=re.MULTILINE)
    tables = {count: read_table(section(f"\n{text}", f"#### {count}")) for count in counts}
    panels = []
    for score in SCORES:
        for count, table in tables.items():
            curves: dict[str, list[tuple[float, Interval]]] = {name: [] for name in CURVES}
            for name, cells in table.items():
                method, _, steps = name.rpartition(", ")
                if method in curves and (match := re.fullmatch(r"(\d+) steps?", steps)):
                    curves[method].append((float(match[1]), interval(cells[score])))
            lines = {name: interval(table[name][score]).mean for name in LINES if table[name][score]}
            panels.append(Panel(count, "inner steps", score, curves, lines))
    return panels


def main() -> None:
    page = (FOLDER / "tables.md").read_text("utf-8")
    panels = curve_panels(page)
    write_png(FOLDER / "curves.png", draw_curves(panels, columns=len(panels) // len(SCORES)))
    reliability = read_table(section(page, "## Reliability of the forecast"))
    observed = [int(cells["Speakers left out"].rstrip("%")) / 100 for cells in reliability.values()]
    write_reliability_figure(FOLDER / "reliability.png", {"similarity": {"speakers left out": observed}})


if __name__ == "__main__":
    main()
