"""`tts-meta split`: which speakers and utterances are in train, dev and test."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import pytest
from commands import run

from tts_meta.corpus import Manifest, Utterance, unperturbed_name
from tts_meta.corpus.speaker_splits import Amount
from tts_meta.corpus.split_manifest import SplitRule, split_manifest
from tts_meta.errors import TtsMetaError, UsageError

NONE = Amount(count=0)


def utterance(
    speaker: str, number: int, speed: str = "", gender: str | None = None, split: str | None = None
) -> Utterance:
    name, audio = f"{speaker}-{number}{speed}", Path(f"/audio/{speaker}-{number}.wav")
    return Utterance(name, speaker + speed, audio, 1800.0, "Text.", gender=gender, split=split)


def corpus(speakers: int = 8, each: int = 2, **fields: str) -> list[Utterance]:
    return [utterance(f"s{speaker}", number, **fields) for speaker in range(speakers) for number in range(each)]


def speakers_of(folder: Path, utterances: list[Utterance], rule: SplitRule) -> dict[str | None, set[str]]:
    """Split a manifest; return the speakers of each split, after a check that no utterance is lost or changed."""
    Manifest(tuple(utterances)).save(folder / "manifest.jsonl")
    split_manifest(folder / "manifest.jsonl", folder / "split.jsonl", rule)
    written = Manifest.load(folder / "split.jsonl").utterances
    assert [(item.id, item.audio, item.gender) for item in written] == [
        (item.id, item.audio, item.gender) for item in utterances
    ]
    speakers: dict[str | None, set[str]] = defaultdict(set)
    for item in written:
        speakers[item.split].add(item.speaker)
    return dict(speakers)


def test_speakers_are_drawn_by_the_hash_of_seed_and_name_whatever_their_order(tmp_path: Path) -> None:
    # `printf 0/s3 | sha256sum` begins with 2a60, 0/s2 with 3164, 0/s5 with 33c6; the others are higher.
    utterances, rule = corpus(), SplitRule(Amount(count=2), Amount(count=1))
    expected = {"train": {"s0", "s1", "s4", "s6", "s7"}, "dev": {"s3", "s2"}, "test": {"s5"}}
    assert speakers_of(tmp_path, utterances, rule) == expected
    random.Random(0).shuffle(utterances)
    assert speakers_of(tmp_path, utterances, rule) == expected
    assert speakers_of(tmp_path, utterances, SplitRule(Amount(count=2), Amount(count=1), seed=1)) != expected


@pytest.mark.parametrize(
    ("dev", "speakers"),
    [("0.05", 2), ("5%", 2), ("0.01", 1), ("0.0", 0), ("0", 0), ("7", 7), ("3h", 3), ("2.5h", 3), ("0h", 0)],
)
def test_a_split_takes_a_share_a_number_or_hours(tmp_path: Path, dev: str, speakers: int) -> None:
    split = speakers_of(tmp_path, corpus(40), SplitRule(Amount.parse(dev), NONE))
    assert len(split.get("dev", set())) == speakers and len(split["train"]) == 40 - speakers


def test_a_file_lists_the_speakers_of_a_split_and_the_other_split_is_drawn_from_the_rest(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("# of the paper\ns3\n\ns7\ns3\n")
    rule = SplitRule(Amount(count=1), Amount.parse(str(tmp_path / "names.txt")))
    split = speakers_of(tmp_path, corpus(), rule)
    assert split["test"] == {"s3", "s7"} and split["dev"] == {"s2"}


@pytest.mark.parametrize(
    ("dev", "test", "fault"),
    [
        (Amount(names=("s9",)), NONE, "no speaker named 's9'; the manifest has 8 others"),
        (Amount(names=("s1",)), Amount(names=("s1", "s2")), "speaker 's1' is listed for dev and for test"),
        (Amount(count=5), Amount(count=3), "dev and test take all 8 speakers and leave none for train"),
        (Amount(count=99), NONE, "leave none for train"),
        (Amount(hours=99), NONE, "leave none for train"),
        (NONE, Amount(share=1.0), "leave none for train"),
    ],
)
def test_impossible_amounts_are_refused_and_nothing_is_written(
    tmp_path: Path, dev: Amount, test: Amount, fault: str
) -> None:
    with pytest.raises(UsageError, match=fault):
        speakers_of(tmp_path, corpus(), SplitRule(dev, test))
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.jsonl"]


def test_speakers_of_meta_are_in_no_other_split_and_do_not_change_dev_and_test(tmp_path: Path) -> None:
    utterances = [*corpus(12), *(utterance(f"s{number}", 0, "@0.9") for number in range(12))]
    without = speakers_of(tmp_path, utterances, SplitRule(Amount(count=2), Amount(count=1)))
    split = speakers_of(tmp_path, utterances, SplitRule(Amount(count=2), Amount(count=1), meta=Amount(share=0.25)))
    assert (split["dev"], split["test"]) == (without["dev"], without["test"])
    assert len(split["meta"]) == 3 and split["meta"] | split["train"] == without["train"]
    assert {unperturbed_name(speaker) for speaker in split["meta_perturbed"]} == split["meta"]
    with pytest.raises(UsageError, match="dev, test and meta take all 12 speakers and leave none for train"):
        speakers_of(tmp_path, utterances, SplitRule(Amount(count=2), Amount(count=1), meta=Amount(count=9)))
    with pytest.raises(UsageError, match="leave out --meta or --within-speakers"):
        speakers_of(tmp_path, utterances, SplitRule(NONE, NONE, within_speakers=True, meta=Amount(count=1)))


@pytest.mark.parametrize("text", ["many", "-1", "1.5", "200%", "nan", ""])
def test_a_text_that_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Amount.parse(text)


def test_genders_take_turns_in_dev_and_test(tmp_path: Path) -> None:
    utterances = [utterance(f"s{number}", 0, gender="F" if number < 6 else "M") for number in range(40)]
    women = {f"s{number}" for number in range(6)}
    for seed in range(4):
        split = speakers_of(tmp_path, utterances, SplitRule(Amount(count=4), Amount(count=6), seed))
        assert (len(split["dev"] & women), len(split["test"] & women)) == (2, 3)
    free = [
        len(speakers_of(tmp_path, utterances, SplitRule(Amount(count=10), NONE, seed, balance=False))["dev"] & women)
        for seed in range(8)
    ]
    assert sum(free) / 8 < 3  # 1.5 expected, 5 if balanced


def test_copies_at_other_speeds_stay_with_their_speaker(tmp_path: Path) -> None:
    utterances = [*corpus(6), *(utterance(f"s{number}", 0, speed) for speed in ("@0.9", "@1.1") for number in range(6))]
    split = speakers_of(tmp_path, utterances, SplitRule(Amount(count=2), Amount(count=1)))
    assert {"train", "dev", "test", "train_perturbed", "dev_perturbed", "test_perturbed"} == set(split)
    for name in ("train", "dev", "test"):
        assert {unperturbed_name(speaker) for speaker in split[f"{name}_perturbed"]} == split[name]


def test_a_split_within_speakers_divides_the_utterances_of_each_and_keeps_copies_with_them(tmp_path: Path) -> None:
    utterances = [*corpus(3, each=20), utterance("few", 0), *(utterance("s0", number, "@0.9") for number in range(20))]
    Manifest(tuple(utterances)).save(tmp_path / "manifest.jsonl")
    rule = SplitRule(Amount(share=0.1), Amount(count=3), within_speakers=True)
    split_manifest(tmp_path / "manifest.jsonl", tmp_path / "split.jsonl", rule)
    split_of = {item.id: item.split for item in Manifest.load(tmp_path / "split.jsonl")}
    for speaker in ("s0", "s1", "s2"):
        splits = [split_of[f"{speaker}-{number}"] for number in range(20)]
        assert [splits.count(name) for name in ("train", "dev", "test")] == [15, 2, 3]
    assert split_of["few-0"] == "train"
    for number in range(20):
        assert split_of[f"s0-{number}@0.9"] == f"{split_of[f's0-{number}']}_perturbed"
    with pytest.raises(UsageError, match="a share or a number of utterances of each speaker"):
        split_manifest(
            tmp_path / "manifest.jsonl", tmp_path / "b.jsonl", SplitRule(Amount(hours=1), NONE, within_speakers=True)
        )


def test_published_splits_are_kept_unless_new_ones_are_asked_for(tmp_path: Path) -> None:
    published = [*corpus(6, split="train-clean-100"), utterance("x", 0, split="dev-clean")]
    rule = SplitRule(Amount(count=2), Amount(count=1))
    assert set(speakers_of(tmp_path, published, rule)) == {"train-clean-100", "dev-clean"}
    replaced = speakers_of(tmp_path, published, SplitRule(rule.dev, rule.test, replace=True))
    assert {name: len(speakers) for name, speakers in replaced.items()} == {"train": 4, "dev": 2, "test": 1}
    with pytest.raises(UsageError, match=r"1 lines of .*manifest\.jsonl have no split, and others are in dev-clean"):
        speakers_of(tmp_path, [*published, utterance("y", 0)], rule)


def test_the_command_writes_the_manifest_that_a_recipe_reads(tmp_path: Path, capsys) -> None:
    Manifest(tuple(corpus(20, gender="F"))).save(tmp_path / "manifest.jsonl")
    out = tmp_path / "sub" / "split.jsonl"
    result = run(
        capsys, "split", tmp_path / "manifest.jsonl", out, "--dev", "2", "--test", "10%", "--meta", "4", "--json"
    ).json
    assert result["splits"]["dev"] == {"utterances": 4, "speakers": 2, "seconds": 7200.0, "genders": {"F": 2}}
    assert len(Manifest.load(out).of_split("train").speakers) == 12
    assert len(Manifest.load(out).of_split("meta").speakers) == 4
    again = run(capsys, "split", tmp_path / "manifest.jsonl", out, "--dev", "2", "--test", "10%")
    assert again.failed(2, "exists already")
    kept = run(capsys, "split", out, out, "--dev", "5", "--force")
    assert kept.status == 0 and "are kept" in kept.err and len(Manifest.load(out).of_split("dev").speakers) == 2
    assert kept.out.split("\n")[1].split() == ["train", "12", "24", "12.00", "12", "F"]


def test_faults_of_the_manifest_give_one_line(tmp_path: Path, capsys) -> None:
    assert run(capsys, "split", tmp_path / "no.jsonl", tmp_path / "o.jsonl").failed(2, "no.jsonl is not a file")
    Manifest(tuple(corpus(4))).save(tmp_path / "m.jsonl")
    assert run(capsys, "split", tmp_path / "m.jsonl", tmp_path / "o.txt").failed(2, "must be named NAME.jsonl")
    (tmp_path / "m.jsonl").write_text((tmp_path / "m.jsonl").read_text() * 2)
    assert run(capsys, "split", tmp_path / "m.jsonl", tmp_path / "o.jsonl").failed(1, "line 9", "duplicate id")
    (tmp_path / "m.jsonl").write_text("")
    with pytest.raises(TtsMetaError, match="lists no utterance"):
        split_manifest(tmp_path / "m.jsonl", tmp_path / "o.jsonl", SplitRule(NONE, NONE))
    assert not (tmp_path / "o.jsonl").exists()
