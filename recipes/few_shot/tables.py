"""Rewrite the part of `tables.md` that is made from result files in the repository.

Command: python -m recipes.few_shot.tables

The command takes seconds. The tables of ten sentences come from `ten_trials.jsonl` and `ten_recordings.jsonl`. These
files are `trials.jsonl` and `recordings.jsonl` of a run of `ten.yaml`. The forecast comes from the folder of the
shipped base. The rest of `tables.md` has no result files and is left unchanged.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tts_meta.adapt import SimilarityForecast
from tts_meta.adapt.similarity_forecast import FILE
from tts_meta.cli import run_command
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.few_shot.benchmark import error_rates
from tts_meta.evaluate.few_shot.results_io import read_recordings, read_trials
from tts_meta.models.pretrained import load_base
from tts_meta.report.few_shot_tables import few_shot_tables
from tts_meta.report.forecast import forecast_table

FOLDER = Path(__file__).parent
START = "<!-- This part is generated: python -m recipes.few_shot.tables -->\n"
END = "<!-- End of the generated part -->\n"


def ten_sentences() -> str:
    """Return the tables of `ten.yaml`."""
    trials = [replace(trial, source="this run") for trial in read_trials(FOLDER / "ten_trials.jsonl").values()]
    recordings = read_recordings(FOLDER / "ten_recordings.jsonl")
    rows = [row for speaker in recordings for row in speaker.scores]
    embeddings = [embedding for speaker in recordings for embedding in speaker.embeddings]
    rates = error_rates(rows, embeddings, trials, {speaker.speaker: speaker.voice for speaker in recordings})
    ecapa = [embedding for speaker in recordings for embedding in speaker.ecapa_embeddings]
    voices = {speaker.speaker: speaker.ecapa_voice for speaker in recordings if speaker.ecapa_voice is not None}
    ecapa_rates = error_rates(rows, ecapa, trials, voices, "ecapa_embeddings") if ecapa else {}
    return few_shot_tables(trials, rows + [row for trial in trials for row in trial.scores], rates, ecapa_rates)


def forecast() -> str:
    """Return the table of the forecast that is shipped with the base."""
    folder = load_base().folder
    if folder is None:
        raise TtsMetaError("the shipped base has no folder; run the command in a clone of the repository")
    return forecast_table(SimilarityForecast.load(folder / FILE))


def generated_part() -> str:
    """Return everything between `START` and `END`."""
    return f"""
## Ten sentences

```sh
tts-meta benchmark recipes/few_shot/ten.yaml
```

The voices without history mixing were made at commit b057552, and the others at the commit "Read predicted frames in
half of the inner steps of clone". `ten_trials.jsonl` has the scores of the voices, and `ten_recordings.jsonl` those of
the recordings and of the copy-synthesis.

{ten_sentences()}
## Similarity forecast

```sh
python -m recipes.few_shot.forecast recipes/few_shot/forecast.yaml
```

The range contains 8 of 10 new speakers. `clone` prints this forecast.

{forecast()}
"""


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    path = FOLDER / "tables.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    path.write_text(before + START + generated_part() + END + after, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main))
