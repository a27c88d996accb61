"""The report of a corpus: planted faults come first with the right reason, and the page is safe and complete."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from corpus_speech import RATE, SENTENCES, CorpusFolder, low_passed, noise, spoken
from report_pages import ParsedPage

from tts_meta.report.corpus import CorpusReport, write_corpus_report
from tts_meta.report.corpus.lines import choose_sample, read_lines
from tts_meta.report.corpus.rates import measure_rates, repeated_text_outliers
from tts_meta.report.corpus.text_marks import scripts_of, text_marks, weighted_letters

HTML = '<b onclick="alert(1)">Hello</b> <script>alert("x")</script> <img src=https://example.org/a.png>'
FAULTS = {
    "doubled": "rate",
    "halved": "rate",
    "clipped": "clipping",
    "silent": "unusable",
    "missing": "unusable",
    "noisy": "noise",
    "narrow": "bandwidth",
    "quiet": "level",
    "paused": "silence",
    "padded": "silence",
    "markup": "text",
    "cyrillic": "text",
    "brackets": "text",
    "repeated": "rate",
}
"""Planted recordings, and the kind of their worst reason."""
LONG_TEXT = "The committee met again on Monday to discuss the plans for a new bridge over the river near the old mill."


def plant_faults(corpus: CorpusFolder) -> None:
    """Add a recording of each fault, all of one speaker with clean recordings."""
    sentence, rest = SENTENCES[1], SENTENCES[2]
    clean = spoken(sentence, 110, 7)
    loud = np.clip(40 * clean, -0.9, 0.9)
    few = np.where(np.arange(len(clean)) % 8000 < 40, loud, clean)

    def add(name: str, text: str, samples: np.ndarray) -> None:
        corpus.add(name, "s0", text, samples.astype(np.float32), language="en")

    long = spoken(LONG_TEXT, 110, 8)
    add("doubled", f"{LONG_TEXT} {LONG_TEXT}", long)
    add("halved", LONG_TEXT.split(" to discuss")[0], long)
    add("clipped", sentence, few)
    add("silent", rest, np.zeros(2 * RATE))
    add("missing", rest, clean)
    add("noisy", sentence, 0.3 * clean + noise(len(clean) / RATE, 0.06, 3))
    add("narrow", sentence, low_passed(clean, 3400))
    add("quiet", sentence, 0.03 * clean)
    add("paused", f"{sentence} {rest}", np.concatenate([clean, np.zeros(4 * RATE), spoken(rest, 110, 9)]))
    add("padded", sentence, np.concatenate([np.zeros(3 * RATE), clean, np.zeros(3 * RATE)]))
    add("markup", HTML, spoken("Hello alert x and a few other words.", 110, 10))
    add("cyrillic", "Собака спит под столом на кухне", spoken(sentence, 110, 11))
    add("brackets", "[laughter] " + sentence, spoken("laughter " + sentence, 110, 12))
    add("repeated", SENTENCES[0], np.concatenate([spoken(SENTENCES[0], 110, 13), spoken(SENTENCES[0], 110, 14)]))
    (corpus.folder / "wavs" / "missing.wav").unlink()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> CorpusReport:
    corpus = CorpusFolder(tmp_path_factory.mktemp("corpus"))
    corpus.add_clean()
    plant_faults(corpus)
    manifest = corpus.save()
    dropped = [{"id": f"d{n}", "reason": f"/a/{n}.wav: clipped, {n}.0% of it; record it again"} for n in (1, 2)]
    (corpus.folder / "dropped.jsonl").write_text("".join(json.dumps(line) + "\n" for line in dropped))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tts_meta.report.corpus.report._MAX_IN_PROCESS", 100)
        return write_corpus_report(manifest, sample=100)


@pytest.fixture(scope="module")
def numbers(report: CorpusReport) -> dict[str, Any]:
    return json.loads(report.numbers.read_text("utf-8"))


def test_every_planted_fault_is_listed_with_its_reason_and_no_clean_recording_is(numbers: dict[str, Any]) -> None:
    found = {entry["id"]: entry["reasons"][0]["kind"] for entry in numbers["suspicious"]}
    assert found == FAULTS
    assert numbers["suspicious_recordings"] == len(FAULTS)
    severities = [entry["reasons"][0]["severity"] for entry in numbers["suspicious"]]
    assert severities == sorted(severities, reverse=True)


def test_the_reasons_state_what_was_measured(numbers: dict[str, Any]) -> None:
    messages = {entry["id"]: entry["reasons"][0]["message"] for entry in numbers["suspicious"]}
    kinds = {
        entry["id"]: {reason["kind"]: reason["message"] for reason in entry["reasons"]}
        for entry in numbers["suspicious"]
    }
    assert messages["doubled"].startswith("the transcript may have words that are not spoken (")
    assert messages["halved"].startswith("words may be missing in the transcript (")
    assert re.search(
        r"phonemes per second, usual for the speaker \d+\.\d; z \+\d+\.\d, in the corpus \+", messages["doubled"]
    )
    assert "silent throughout" in messages["silent"] and "no such file" in messages["missing"]
    assert re.search(r"no audio above 3\.\d kHz", messages["narrow"])
    assert "a pause of 4." in messages["paused"] and "s of silence before and after" in messages["padded"]
    assert "markup (<b onclick" in kinds["markup"]["text"]
    assert "cannot read" in messages["cyrillic"] and "[ U+005B" in messages["brackets"]
    assert "times as long as usual for this speaker in the 4 recordings" in kinds["repeated"]["repeated text"]


def test_the_numbers_describe_the_corpus(numbers: dict[str, Any]) -> None:
    total = 3 * len(SENTENCES) + len(FAULTS)
    assert numbers["utterances"] == total and numbers["sample"] == {"recordings": total, "seed": 0, "complete": True}
    assert [row["value"] for row in numbers["attributes"]["split"]] == ["train", None, "dev"]
    assert {row["value"]: row["speakers"] for row in numbers["attributes"]["gender"]} == {
        "F": 2,
        "M": 1,
        None: 1,
    }
    speakers = {row["speaker"]: row for row in numbers["speakers"]}
    assert speakers["s1"]["utterances"] == len(SENTENCES) == speakers["s1"]["measured"]
    assert speakers["s1"]["gender"] == "M" and speakers["s0"]["split"] == "dev"
    assert sum(row["hours"] for row in numbers["speakers"]) == pytest.approx(numbers["hours"], abs=1e-4)
    assert numbers["measures"]["sample_rate"]["median"] == RATE
    assert numbers["measures"]["bandwidth"]["median"] == pytest.approx(7600, abs=300)
    assert numbers["measures"]["phonemes_per_second"]["count"] == total - 3
    assert [(row["reason"], row["count"]) for row in numbers["dropped"]] == [("clipped, …% of it; record it again", 2)]
    if speakers["s2"]["f0_median"] is not None:
        assert speakers["s2"]["f0_median"] == pytest.approx(190, rel=0.05)


def test_the_page_has_a_player_for_each_suspicious_recording_and_no_external_address(report: CorpusReport) -> None:
    page = ParsedPage(report.page)
    sources = [player["src"] for player in page.all("audio")]
    assert {Path(source).stem for source in sources} == set(FAULTS) and len(sources) == len(FAULTS)
    existing = [source for source in sources if (report.page.parent / unquote(source)).is_file()]
    assert len(existing) == len(FAULTS) - 1
    for _, attributes in page.elements:
        for name in ("src", "href"):
            address = attributes.get(name, "#")
            assert address.startswith(("#", "data:", "wavs/")), address
    assert "viewport" in [meta.get("name") for meta in page.all("meta")]
    assert len(page.all("img")) >= 12 and all(image["alt"] for image in page.all("img"))


def test_html_in_a_text_is_shown_as_text(report: CorpusReport) -> None:
    page = ParsedPage(report.page)
    assert len(page.all("script")) == 1 and page.all("b") == []
    assert not any("onclick" in attributes for _, attributes in page.elements)
    assert any("alert(1)" in text for text in page.text["h3"])


def test_the_same_files_are_written_by_two_processes_and_for_a_sample(tmp_path: Path) -> None:
    corpus = CorpusFolder(tmp_path)
    corpus.add_clean(2)
    manifest = corpus.save()
    contents = []
    for jobs, in_process in ((1, 40), (2, 0)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tts_meta.report.corpus.report._MAX_IN_PROCESS", in_process)
            written = write_corpus_report(manifest, sample=6, jobs=jobs)
        contents.append((written.page.read_bytes(), written.numbers.read_bytes()))
    assert contents[0] == contents[1]
    numbers = json.loads(contents[0][1])
    assert numbers["sample"] == {"recordings": 6, "seed": 0, "complete": False}
    assert [row["measured"] for row in numbers["speakers"]] == [3, 3]
    assert b"a random sample of 6 of 24 recordings" in contents[0][0]


def test_a_part_of_a_long_recording_is_played_alone(tmp_path: Path) -> None:
    corpus = CorpusFolder(tmp_path)
    corpus.add("long", "a", "<i>One</i> sentence.", np.concatenate([spoken("One sentence.", 120), noise(3, 0.1)]))
    corpus.utterances = [replace(corpus.utterances[0], start=0.5, end=1.25, seconds=0.75)]
    written = write_corpus_report(corpus.save(), sample=1)
    assert [player["src"] for player in ParsedPage(written.page).all("audio")] == ["wavs/long.wav#t=0.5,1.25"]


def test_the_sample_is_spread_evenly_and_does_not_depend_on_the_order_of_the_lines(tmp_path: Path) -> None:
    corpus = CorpusFolder(tmp_path)
    for speaker, count in (("a", 12), ("b", 2), ("c", 5)):
        for number in range(count):
            corpus.add(f"{speaker}{number}", speaker, "Text.", noise(0.1, 0.1))

    def drawn(count: int, seed: int) -> set[str]:
        lines = read_lines(corpus.save(), seed)
        return {corpus.utterances[index].id for index in choose_sample(lines, count).tolist()}

    first = drawn(8, 0)
    assert sorted(name[0] for name in first) == ["a"] * 3 + ["b"] * 2 + ["c"] * 3
    assert drawn(5, 0) < first and drawn(8, 1) != first and len(drawn(100, 0)) == 19
    corpus.utterances.reverse()
    assert drawn(8, 0) == first


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("It's £3.50 – “really”, über-naïve…", None),
        ("Привет, мир!", None),
        ("A <em>word</em>.", "markup (<em>)"),
        ("Tom &amp; Ann.", "markup (&amp;)"),
        ("Tom & Ann < Bob", "unusual characters (< U+003C)"),
        ("caf\u00c3\u00a9", "characters of a wrong encoding (\u00c3\u00a9)"),
        ("broken \ufffd", "unusual characters (\ufffd U+FFFD)"),
        ("zero\u200bwidth", "unusual characters (U+200B)"),
        ("[noise] a", "unusual characters ([ U+005B ] U+005D)"),
    ],
)
def test_unusual_characters_are_named(text: str, mark: str | None) -> None:
    assert text_marks(text) == mark


def test_scripts_and_letters_of_a_text_are_counted() -> None:
    assert scripts_of("A б 漢 3") == {"LATIN", "CYRILLIC", "CJK"} and scripts_of("3!") == frozenset()
    assert weighted_letters("In 1984.") == 2 + 4 * 4 and weighted_letters("...") == 0


def test_a_rate_is_judged_relative_to_the_speaker() -> None:
    random = np.random.default_rng(0)
    speaker = np.repeat([0, 1], 50)
    units = np.full(100, 100)
    seconds = 100 / np.where(speaker == 0, 8.0, 14.0) * np.exp(0.05 * random.standard_normal(100))
    assert measure_rates(units, seconds, speaker).outliers().tolist() == []
    seconds[7] /= 2  # usual for the corpus, twice as fast as this speaker
    seconds[60] *= 2.2
    rates = measure_rates(units, seconds, speaker)
    assert rates.z_speaker[7] > 4.5 and rates.z_speaker[60] < -4.5
    assert set(np.flatnonzero(np.abs(rates.z_speaker) > 4.5).tolist()) == {7, 60}
    assert measure_rates(units[:5], seconds[:5], speaker[:5]).z_speaker.tolist() == [0.0] * 5


def test_of_two_recordings_of_one_text_the_more_unusual_one_is_reported() -> None:
    units, speaker = np.full(40, 80), np.zeros(40, np.int64)
    seconds = np.full(40, 6.0)
    seconds[3] = 12.0
    text = np.arange(40, dtype=np.uint64)
    text[9] = text[3]
    ((index, ratio, count),) = repeated_text_outliers(measure_rates(units, seconds, speaker), units, text)
    assert (index, count) == (3, 2) and ratio == pytest.approx(2.0)
