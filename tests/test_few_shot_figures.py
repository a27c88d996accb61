"""The figures of `recipes/few_shot/tables.md` show the values of its tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipes.few_shot import figures
from tts_meta.evaluate.confidence import Interval

PAGE = """# Tables

### Methods and steps

#### From 1 sentence

| System | Similarity ↑ | CER ↓ | DistillMOS ↑ | NLL per frame (nats) ↓ |
| --- | ---: | ---: | ---: | ---: |
| real recording | 0.9 [0.8, 1.0] | 0.02 | 4.2 |  |
| clone, 0 steps | 0.6 [0.5, 0.7] | 0.01 | 4.1 | 76 [70, 80] |
| clone, 100 steps | 0.8 [0.7, 0.9] | 0.01 | 4.0 | 70 [60, 80] |
| clone, stopped automatically | 0.85 [0.8, 0.9] | 0.01 | 4.0 | 69 [60, 80] |
| nearest | 0.7 [0.6, 0.8] | 0.01 | 4.0 | 80 [70, 90] |

| System | Similarity ↑ |
| --- | ---: |
| clone, 100 steps | 0 |

### Another section

#### From 5 sentences
"""


def test_a_curve_has_the_values_of_the_table() -> None:
    similarity, *others = figures.curve_panels(PAGE)
    assert [panel.y_label for panel in others] == list(figures.SCORES[1:])
    assert similarity.curves["clone"] == [(0.0, Interval(0.6, 0.5, 0.7, 0)), (100.0, Interval(0.8, 0.7, 0.9, 0))]
    assert similarity.curves["fully fine-tuned"] == []
    assert similarity.reference_lines == {"real recording": 0.9, "clone, stopped automatically": 0.85}
    assert others[-1].reference_lines == {"clone, stopped automatically": 69.0}


def test_the_published_tables_give_four_scores_at_four_numbers_of_sentences() -> None:
    page = (Path(figures.__file__).parent / "tables.md").read_text("utf-8")
    panels = figures.curve_panels(page)
    assert len(panels) == 16
    assert all(len(panel.curves["clone"]) == 4 for panel in panels)


def test_a_section_that_the_page_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="substring not found"):
        figures.section(PAGE, "## Missing")
