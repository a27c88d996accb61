"""The scorer, its cache, the registry of metrics, summaries and score files."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate import METRICS, Measure, Metric, Scorer, Scores, compare, read_scores, summarise, summary_table
from tts_meta.evaluate.metric import Column, Sample, Settings
from tts_meta.evaluate.score_files import write_scores
from tts_meta.evaluate.scores import columns

TONE = (0.3 * np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000)).astype(np.float32)


@pytest.fixture
def loudness(monkeypatch) -> list[Settings]:
    """A new metric in the registry; the list has one Settings for each time the metric was loaded."""
    loads: list[Settings] = []

    def load(settings: Settings):
        loads.append(settings)

        def score_sample(sample: Sample) -> dict[str, Measure | str]:
            peak = float(np.abs(sample.waveform).max())
            return {"peak": Measure(peak, weight=len(sample.waveform)), "remark": f"at {sample.rate} Hz"}

        return score_sample

    monkeypatch.setitem(METRICS, "peak", Metric((Column("peak", "Peak", 2, "higher"),), load, needs=("text",)))
    return loads


def rows() -> list[Scores]:
    """Two systems, two speakers, two sentences each; the clone makes one error in ten words."""
    made = []
    for system, rate in (("real", 0.0), ("clone", 0.5)):
        for speaker in ("anna", "bert"):
            made.append(Scores(f"{speaker}-1", speaker, system, {"wer": Measure(rate, 2), "mcd": Measure(5 + rate)}))
            made.append(Scores(f"{speaker}-2", speaker, system, {"wer": Measure(0.0, 8)}, {"transcript": "schön | ja"}))
    return made


def test_a_registered_metric_is_loaded_once_and_scored(loudness):
    scorer = Scorer(["peak"], Settings(language="de"))
    assert loudness == []
    first = scorer.score(TONE, 16_000, id="one", speaker="anna", system="clone", text="la")
    scorer.score(TONE, 16_000, id="two", text="la")
    assert loudness == [Settings(language="de")]
    assert (first.id, first.speaker, first.system) == ("one", "anna", "clone")
    assert first["peak"] == pytest.approx(0.3, abs=1e-3)
    assert first.measures["peak"].weight == 16_000
    assert first.notes == {"remark": "at 16000 Hz"}
    assert summary_table(summarise([first])).startswith("| System | Speakers | Sentences | Peak ↑ |\n")


def test_a_metric_whose_needs_are_missing_is_left_out(loudness):
    scores = Scorer(["peak"]).score(TONE, 16_000, id="one")
    assert loudness == []
    assert scores.get("peak") is None
    with pytest.raises(TtsMetaError, match="one has no score peak; it has none"):
        scores["peak"]


def test_each_metric_scores_the_same_sample_once(loudness, monkeypatch, tmp_path):
    def score(scorer: Scorer, tone: np.ndarray = TONE, rate: int = 16_000, text: str = "la", **more) -> Scores:
        return scorer.score(tone, rate, id="one", text=text, cache=tmp_path / "cache", **more)

    first = score(Scorer(["peak"]))
    again = score(Scorer(["peak"]), reference=TONE)  # which it does not look at
    assert again == first and again.notes == {"remark": "at 16000 Hz"} and len(loudness) == 1
    changes: list[dict[str, Any]] = [{"tone": 2 * TONE}, {"rate": 8_000}, {"text": "lala"}]
    for changed in changes:
        before = len(loudness)
        assert score(Scorer(["peak"]), **changed).measures != {} and len(loudness) == before + 1, changed
    score(Scorer(["peak"], Settings(language="de")))
    assert len(loudness) == 5

    monkeypatch.setitem(METRICS, "constant", Metric((), lambda settings: lambda sample: {"one": Measure(1.0)}))
    both = score(Scorer(["peak", "constant"]))
    assert both.measures == {**first.measures, "one": Measure(1.0)} and len(loudness) == 5
    for path in (tmp_path / "cache").iterdir():
        path.write_text("{")
    assert score(Scorer(["peak"])) == first and len(loudness) == 6  # a damaged file is scored again


def test_a_new_version_or_model_of_a_metric_scores_the_sample_again(loudness, monkeypatch, tmp_path):
    def score() -> None:
        Scorer(["peak"]).score(TONE, 16_000, id="one", text="la", cache=tmp_path / "cache")

    score()
    score()
    assert len(loudness) == 1
    monkeypatch.setitem(METRICS, "peak", replace(METRICS["peak"], version=2))
    score()
    assert len(loudness) == 2
    monkeypatch.setitem(METRICS, "peak", replace(METRICS["peak"], model=lambda settings: "another"))
    score()
    score()
    assert len(loudness) == 3


def test_load_loads_every_model(loudness):
    Scorer(["peak"]).load()
    assert len(loudness) == 1


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_names_known_needs_and_its_own_columns(name):
    metric = METRICS[name]
    assert metric.columns
    assert set(metric.needs) <= set(Sample.__dataclass_fields__)
    assert sum(column.name in {c.name for c in metric.columns} for column in columns().values()) == len(metric.columns)


def test_column_names_are_unique():
    names = [column.name for metric in METRICS.values() for column in metric.columns]
    assert len(names) == len(set(names))


def test_an_unknown_metric_lists_the_names():
    with pytest.raises(UsageError, match="no metric vibes; the metrics are similarity, similarity_ecapa, wer"):
        Scorer(["vibes"])


def test_a_missing_package_names_the_extra_before_any_work(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "distillmos" else find(name))
    with pytest.raises(TtsMetaError, match=r"distillmos must be installed; use: pip install '\.\[eval\]'"):
        Scorer(["similarity", "distillmos"])
    Scorer(["similarity", "mcd"])


def test_a_broken_waveform_names_the_utterance():
    with pytest.raises(TtsMetaError, match=r"s1: .*NaN"):
        Scorer(["mcd"]).score(TONE * np.float32("nan"), 16_000, id="s1", reference=TONE)


def test_silence_has_similarity_zero():
    voice = np.full(256, 1 / 16, np.float32)
    scores = Scorer(["similarity", "mcd"]).score(0 * TONE, 16_000, id="s1", voice=voice, reference=TONE)
    assert scores["similarity"] == 0
    assert scores["mcd"] > 5


def test_a_summary_pools_errors_over_words_and_groups_by_the_given_fields():
    real, clone = summarise(rows())
    assert (real.group, real.utterances, real.speakers) == (("real",), 4, 2)
    assert clone.intervals["wer"].mean == pytest.approx(0.1)
    assert clone.intervals["mcd"].count == 2
    groups = [summary.group for summary in summarise(rows(), by=("system", "speaker"))]
    assert groups == [("real", "anna"), ("real", "bert"), ("clone", "anna"), ("clone", "bert")]


def test_the_table_has_one_line_per_system_and_only_measured_columns():
    table = summary_table(summarise(rows())).splitlines()
    assert table[0] == "| System | Speakers | Sentences | WER ↓ | MCD (dB) ↓ |"
    assert table[1] == "| --- | ---: | ---: | ---: | ---: |"
    assert table[2] == "| real | 2 | 4 | 0.000 [0.000, 0.000] | 5.00 [5.00, 5.00] |"
    assert table[3].startswith("| clone | 2 | 4 | 0.100 [")
    assert len(table) == 4


def test_a_bar_in_a_name_does_not_break_the_table():
    table = summary_table(summarise([Scores("1", "a", "x|y", {"wer": Measure(0.0)})]))
    assert {line.count("|") for line in table.splitlines()} == {5}


def test_systems_are_compared_on_the_sentences_that_both_have():
    scores = [*rows(), Scores("extra", "anna", "clone", {"wer": Measure(1.0, 100)})]
    difference = compare(scores, "wer", "clone", "real")
    assert (difference.mean, difference.count) == (pytest.approx(0.1), 4)
    with pytest.raises(UsageError, match="share no utterance"):
        compare(scores, "wer", "clone", "nobody")


def test_scores_are_equal_after_writing_and_reading(tmp_path):
    write_scores(tmp_path / "scores.jsonl", rows())
    assert read_scores(tmp_path / "scores.jsonl") == rows()
    assert [entry.name for entry in tmp_path.iterdir()] == ["scores.jsonl"]


def test_a_broken_score_file_names_the_line(tmp_path):
    path = tmp_path / "scores.jsonl"
    write_scores(path, rows()[:1])
    path.write_text(path.read_text() + '{"id": "x"}\n')
    with pytest.raises(TtsMetaError, match=r"scores\.jsonl, line 2 is not a line of scores"):
        read_scores(path)
    with pytest.raises(TtsMetaError, match="cannot read scores in"):
        read_scores(tmp_path / "nowhere.jsonl")
