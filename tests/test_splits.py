from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_meta.corpus import Manifest, Utterance, hold_out_named, hold_out_speakers, unperturbed_name
from tts_meta.errors import UsageError


def corpus(speakers: list[str], each: int = 2) -> Manifest:
    names = [(speaker, f"{speaker}-{number}") for number in range(each) for speaker in speakers]
    return Manifest(tuple(Utterance(name, speaker, Path("/a.ogg"), 1.0, "Text.") for speaker, name in names))


SPEAKERS = st.lists(st.text("abcde", min_size=1), min_size=1, max_size=12, unique=True)


@given(SPEAKERS, st.data(), st.integers())
def test_the_two_parts_share_no_speaker_and_lose_no_utterance(
    speakers: list[str], data: st.DataObject, seed: int
) -> None:
    manifest = corpus(speakers)
    count = data.draw(st.integers(0, len(speakers) - 1))
    rest, held = hold_out_speakers(manifest, count, seed)
    assert len(held.speakers) == count
    assert not set(rest.speakers) & set(held.speakers)
    assert sorted(u.id for u in (*rest, *held)) == sorted(u.id for u in manifest)


def test_the_draw_follows_the_seed_and_not_the_order_of_the_lines() -> None:
    manifest = corpus([f"s{number}" for number in range(20)])
    mirrored = Manifest(manifest.utterances[::-1])
    draws = {hold_out_speakers(manifest, 5, seed)[1].speakers for seed in range(10)}
    assert hold_out_speakers(manifest, 5, 3)[1].speakers == hold_out_speakers(mirrored, 5, 3)[1].speakers
    assert len(draws) > 5


def test_the_draw_is_the_same_on_every_machine() -> None:
    # `printf 0/s3 | sha256sum` begins with 2a60, 0/s2 with 3164, the next, 0/s5, with 33c6.
    manifest = corpus([f"s{number}" for number in range(8)])
    assert hold_out_speakers(manifest, 2, 0)[1].speakers == ("s2", "s3")


@given(SPEAKERS.filter(lambda names: len(names) > 2), st.data(), st.integers())
def test_a_new_speaker_displaces_at_most_one_of_those_held_back(
    speakers: list[str], data: st.DataObject, seed: int
) -> None:
    count = data.draw(st.integers(0, len(speakers) - 1))
    before = set(hold_out_speakers(corpus(speakers), count, seed)[1].speakers)
    after = set(hold_out_speakers(corpus([*speakers, "new"]), count, seed)[1].speakers)
    assert len(before - after) <= 1


def test_every_speaker_is_held_back_about_equally_often() -> None:
    manifest = corpus(list("abcde"), each=1)
    times = dict.fromkeys("abcde", 0)
    for seed in range(1000):
        for name in hold_out_speakers(manifest, 2, seed)[1].speakers:
            times[name] += 1
    # Binomial(1000, 0.4): mean 400, standard deviation 15.5; five deviations.
    assert all(abs(count - 400) < 78 for count in times.values())


@pytest.mark.parametrize("count", [-1, 3, 4])
def test_at_least_one_speaker_must_remain(count: int) -> None:
    with pytest.raises(UsageError, match=f"cannot hold out {count} of 3 speakers; give 0 to 2"):
        hold_out_speakers(corpus(["a", "b", "c"]), count, 0)


def test_speakers_named_are_held_back() -> None:
    rest, held = hold_out_named(corpus(["a", "b", "c"]), ["c", "a"])
    assert (rest.speakers, held.speakers) == (("b",), ("a", "c"))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="no speaker named 'd'"):
        hold_out_named(corpus(["a", "b"]), ["d"])


def test_speed_perturbed_speakers_are_held_out_with_their_originals() -> None:
    manifest = corpus(["a", "a@0.9", "b", "b@1.1", "c"])
    rest, held = hold_out_named(manifest, ["a", "b@1.1"])
    assert (rest.speakers, held.speakers) == (("b", "c"), ("a", "a@0.9", "b@1.1"))
    assert hold_out_named(corpus(["a@0.9", "b"]), ["a"])[1].speakers == ("a@0.9",)
    for seed in range(5):
        rest, held = hold_out_speakers(manifest, 2, seed)
        assert not {unperturbed_name(name) for name in rest.speakers} & {
            unperturbed_name(name) for name in held.speakers
        }
        assert len({unperturbed_name(name) for name in held.speakers}) == 2
