"""Shows whether σ of several starts meets: data file, table, figure and the statement of the page.

Command: python -m recipes.discovery.convergence RUN RUN RUN

The command reads the folders of runs of `meta-train`, writes σ of every module at every fifth meta-step to
`sigmas.jsonl`, draws `convergence.png`, and prints the statement and the tables, which it also writes to
`convergence.md`. It needs `effects.jsonl` of `recipes.discovery.effects`. Without a folder, the command reads
`sigmas.jsonl`.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from recipes.discovery.effects import MATTERS, Effects, matters, read_effects
from recipes.discovery.paths_figure import draw_paths
from recipes.discovery.sigma_paths import LAST, STATISTICS, SigmaRun, common_modules, ratio, read_runs, write_runs
from recipes.recipe_io import markdown_table
from tts_meta.cli import run_command
from tts_meta.errors import TtsMetaError
from tts_meta.report.figures import rasterize, write_png

LARGEST_MEDIAN, LARGEST_RATIO = 1.25, 2.0
"""Criteria: σ has converged if the median ratio over all modules and the ratio of each module that matters are at most
these. The ratio of a module is its largest final σ of any start divided by its smallest.
"""
SAME_PATH = 0.1
"""A path of σ is that of the hyperprior alone if the final σ differ by less than this fraction."""
SIGMAS, EFFECTS, FIGURE, PAGE = "sigmas.jsonl", "effects.jsonl", "convergence.png", "convergence.md"
GENERATED = """The program `recipes.discovery.convergence` writes this page. [README.md](README.md) has its command.

![σ of every module from all starts](convergence.png)"""
LEGEND = f"""* **Ratio**: the largest final σ divided by the smallest.
* **Drift**: the final σ divided by σ {LAST} meta-steps before it, for each start.
* **Speakers**: 95 % interval of the root mean square of the change of the module over the speakers of meta-training,
  divided by its value for all speakers. It shows how far other speakers would scale the changes, and so σ.
* **Effect**: the rise of the NLL of unseen sentences if the change of the module is undone, as a fraction of the gain
  of the whole adaptation; the largest of all starts.
* A module in bold matters: its effect is at least {100 * MATTERS:g} %."""


@dataclass(frozen=True)
class Convergence:
    """The runs in the order of their starts, with the effects of their modules."""

    runs: list[SigmaRun]
    effects: list[Effects]

    @classmethod
    def read(cls, folder: Path) -> Convergence:
        """Read both data files. Raises TtsMetaError unless they are of the same runs."""
        runs = sorted(read_runs(folder / SIGMAS), key=lambda run: run.start)
        effects = sorted(read_effects(folder / EFFECTS), key=lambda run: run.start)
        if [run.start for run in runs] != [run.start for run in effects]:
            raise TtsMetaError(
                f"{folder / EFFECTS} is of other runs than {SIGMAS}; run recipes.discovery.effects again"
            )
        return cls(runs, effects)

    @property
    def modules(self) -> list[str]:
        """All modules, the one with the largest effect first."""
        return sorted(common_modules(self.runs), key=lambda name: -self.share(name))

    @property
    def that_matter(self) -> list[str]:
        """The modules that matter in any run."""
        return [name for name in self.modules if matters(self.effects, name)]

    def share(self, module: str) -> float:
        """The largest effect of a module in any run, as a fraction of the gain."""
        return max(effects.share(module) for effects in self.effects)

    @property
    def median_ratio(self) -> float:
        """The median ratio over all modules."""
        return statistics.median(ratio(self.runs, name) for name in self.modules)

    @property
    def median_ratio_with_zeros(self) -> float:
        """The median ratio if all σ of a module that does not matter count as 0, which are equal."""
        kept = self.that_matter
        return statistics.median(ratio(self.runs, name) if name in kept else 1.0 for name in self.modules)

    @property
    def apart(self) -> list[str]:
        """The modules that matter whose ratio is above the criterion."""
        return [name for name in self.that_matter if ratio(self.runs, name) > LARGEST_RATIO]

    @property
    def converged(self) -> bool:
        """Whether both criteria are met."""
        return self.median_ratio <= LARGEST_MEDIAN and not self.apart

    def statement(self) -> str:
        """The statement of the page, from the numbers alone."""
        ratios = [ratio(self.runs, name) for name in self.that_matter]
        verdict = "converged" if self.converged else "not converged"
        apart = f": {', '.join(f'`{name}`' for name in self.apart)}" if self.apart else ""
        return (
            f"**σ has {verdict}.** The median ratio over all {len(self.modules)} modules is {self.median_ratio:.2f} "
            f"(criterion: at most {LARGEST_MEDIAN}). {len(self.that_matter)} modules matter. Their median ratio is "
            f"{statistics.median(ratios):.2f}, and the largest is {max(ratios):.1f} (criterion: at most "
            f"{LARGEST_RATIO:g}); {len(self.apart)} of them are above the criterion{apart}. If the σ of the other "
            f"{len(self.modules) - len(self.that_matter)} modules count as zero and equal, the median ratio is "
            f"{self.median_ratio_with_zeros:.2f}."
        )

    def table(self) -> str:
        """One row per module: σ of each start, its ratio, the drifts, the spread over speakers and the effect."""
        starts = [f"σ from {run.start:g}" for run in self.runs]
        head = ["Module", *starts, "Ratio", f"Drift, last {LAST} steps", "Speakers", "Effect (%)"]
        rows = []
        for name in self.modules:
            sigmas = [f"{run.final(name):.2g}" for run in self.runs]
            drifts = ", ".join(f"×{run.drift(name):.2f}" for run in self.runs)
            label = f"**{name}**" if matters(self.effects, name) else name
            cells = [*sigmas, f"{ratio(self.runs, name):.2f}", drifts, self.spread(name)]
            rows.append([label, *cells, f"{100 * self.share(name):.2f}"])
        return markdown_table(head, rows)

    def spread(self, module: str) -> str:
        """The interval of the change over speakers, as factors, in the last run that has one."""
        bounds = [effects.spread[module] for effects in self.effects if module in effects.spread]
        return "×{:.2f} to ×{:.2f}".format(*bounds[-1]) if bounds else ""

    def run_table(self) -> str:
        """One row per run: meta-steps, accuracy of the gradient, gain, cost of zero, modules without data."""
        head = ["Start", "Seed", "Meta-steps", *(name.capitalize() for name in STATISTICS)]
        head += ["Gain (nats per frame)", "Lost without the other modules", "On the path of the hyperprior"]
        rows = []
        for run, effects in zip(self.runs, self.effects, strict=True):
            values = [run.statistics[name] for name in STATISTICS]
            cells = [f"{run.seed}", f"{run.done}", *("" if value is None else f"{value:.2f}" for value in values)]
            cells += [effects.gain.shown(2), effects.cost_of_zero.shown(3)]
            rows.append([f"{run.start:g}", *cells, f"{len(self.without_data(run))} of {len(self.modules)}"])
        return markdown_table(head, rows)

    def pair_table(self) -> str:
        """One row per pair of runs: whether they have the same seed, and how far their σ are apart."""
        head = ["Starts", "Seeds", "Rank correlation, all modules", "Modules that matter: rank correlation"]
        head += ["median ratio", "above the criterion"]
        rows = []
        for pair in itertools.combinations(self.runs, 2):
            ratios = [ratio(pair, name) for name in self.that_matter]
            above = sum(value > LARGEST_RATIO for value in ratios)
            cells = [", ".join(f"{run.seed}" for run in pair)]
            cells += [f"{rank_correlation(pair, names):.2f}" for names in (self.modules, self.that_matter)]
            cells.append(f"{statistics.median(ratios):.2f}")
            rows.append([", ".join(f"{run.start:g}" for run in pair), *cells, f"{above} of {len(ratios)}"])
        return markdown_table(head, rows)

    def without_data(self, run: SigmaRun) -> list[str]:
        """The modules whose final σ is that of the hyperprior alone."""
        end = run.without_data()[-1]
        return [name for name in self.modules if abs(run.final(name) / end - 1) < SAME_PATH]

    def page(self) -> str:
        """The generated page."""
        tables = (self.run_table(), self.pair_table(), LEGEND, self.table())
        parts = ("# σ of every module", GENERATED, self.statement(), *tables)
        return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def rank_correlation(runs: Sequence[SigmaRun], modules: Sequence[str]) -> float:
    """Spearman's rank correlation of the final σ of two runs; NaN if a run has the same σ for all modules."""
    ranks = [rankdata([run.final(name) for name in modules]) for run in runs]
    if any(np.ptp(row) == 0 for row in ranks):
        return math.nan
    return float(np.corrcoef(ranks)[0, 1])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="*", help="folders of runs, one for each start of σ")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder of the data and the figure")
    options = parser.parse_args(arguments)
    if options.runs:
        write_runs(options.output / SIGMAS, sorted(map(SigmaRun.read, options.runs), key=lambda run: run.start))
    convergence = Convergence.read(options.output)
    figure = draw_paths(convergence.runs, convergence.modules, convergence.that_matter)
    write_png(options.output / FIGURE, rasterize(figure))
    (options.output / PAGE).write_text(convergence.page(), encoding="utf-8")
    print(convergence.page())


if __name__ == "__main__":
    sys.exit(run_command(main))
