"""The cloning benchmark end to end, on tones: systems, sentences, scores and refused recipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import tiny_base, tiny_source_filter

from tts_meta.audio.mel import MelConfig
from tts_meta.config import parse_config
from tts_meta.corpus import Utterance
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.cloning import CLONE, MEAN, CloningBenchmark, run_cloning
from tts_meta.evaluate.voice import COPY, REAL, TRAINING, split_references
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder


@pytest.fixture
def base() -> Base:
    base = tiny_base()
    base.speakers = ("ann", "cyd")
    base.hash = "a base"
    return base


def config(long_corpus: Path, output: Path, **changes: object) -> CloningBenchmark:
    settings = {"split": "train", "metrics": ("similarity", "variance"), "score_on": 2} | changes
    settings |= {"manifest": long_corpus / "manifest.jsonl", "output": output}
    return parse_config(settings, CloningBenchmark, "test")


def vocoder() -> GriffinLim:
    return GriffinLim(MelConfig(), iterations=2)


def test_training_speakers_speak_sentences_of_other_readers(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    spoken = run_cloning(config(long_corpus, tmp_path, training_speakers=1), base, vocoder(), messages.append)
    assert [(clip.system, clip.utterance.speaker, clip.scores.speaker) for clip in spoken] == [
        (REAL, "ben", "ben"),
        (COPY, "ben", "ben"),
        (REAL, "ben", "ben"),
        (COPY, "ben", "ben"),
        (TRAINING, "ann", "ann"),
        (TRAINING, "ann", "ann"),
    ]
    assert [clip.utterance.id for clip in spoken[4:]] == [clip.utterance.id for clip in spoken[:4:2]]
    assert all("similarity" in clip.scores.measures for clip in spoken)
    # There is no recording of a training speaker's sentences, so metrics that need one are left out.
    assert [clip.system for clip in spoken if "variance" in clip.scores.measures] == [COPY, COPY]
    assert messages == ["2 recordings scored", "ann: 2 sentences scored"]


def test_each_training_speaker_speaks_all_texts(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    texts = {"short": "Abc.", "long": "Abc de fg. Gab ec, fad."}
    spoken = run_cloning(
        config(long_corpus, tmp_path, training_speakers=2, texts=texts), base, vocoder(), lambda line: None
    )
    assert [(c.system, c.utterance.speaker, c.scores.id) for c in spoken] == [
        (TRAINING, speaker, name) for speaker in base.speakers for name in texts
    ]
    assert len(spoken[1].samples) > len(spoken[0].samples)


def test_training_speakers_are_chosen_by_name_too(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    recipe = config(long_corpus, tmp_path, training_speakers=["cyd", "ann"], texts={"short": "Abc."})
    spoken = run_cloning(recipe, base, vocoder(), lambda line: None)
    assert [clip.utterance.speaker for clip in spoken] == ["cyd", "ann"]
    alone = base.acoustic.generate(base.encode("Abc."), base.speakers.index("cyd"))
    np.testing.assert_allclose(spoken[0].samples, vocoder()(alone[None])[0].numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training_speakers": 3}, "the base has 2 speakers, not 3"),
        ({"training_speakers": ["ann", "bob"]}, "the base has no speaker 'bob'; it has ann, cyd"),
        ({"training_speakers": 2, "score_on": 9}, "18 are needed"),
        ({"texts": {"a": "Abc."}}, "set training_speakers to their number"),
    ],
)
def test_an_error_names_too_few_speakers_or_sentences(
    base: Base, long_corpus: Path, tmp_path: Path, changes, message
) -> None:
    with pytest.raises((TtsMetaError, UsageError), match=message):
        run_cloning(config(long_corpus, tmp_path, **changes), base, vocoder(), pytest.fail)


def test_the_postfilter_setting_applies_to_synthesised_speech_only(
    base: Base, long_corpus: Path, tmp_path: Path
) -> None:
    base.acoustic.postfilter.gain.fill_(1.5)
    base.acoustic.postfilter.gain[0] = 1.0
    samples = {}
    for postfilter in (0.0, 1.0):
        quick = config(
            long_corpus,
            tmp_path,
            speakers=("ben",),
            adapt_on=2,
            steps=1,
            score_on=1,
            postfilter=postfilter,
        )
        spoken = run_cloning(quick, base, vocoder(), lambda line: None)
        assert [clip.system for clip in spoken] == [REAL, COPY, MEAN, CLONE]
        samples[postfilter] = [clip.samples for clip in spoken]
    for system, same in ((0, True), (1, True), (2, False), (3, False)):
        assert np.allclose(samples[0.0][system], samples[1.0][system], atol=1e-3) == same


@pytest.mark.parametrize(
    ("sentences", "count", "scored", "references"),
    [(20, 10, 10, 5), (14, 10, 9, 5), (10, 10, 5, 5), (12, 6, 6, 5), (4, 10, 2, 2), (3, 1, 1, 2), (1, 10, 1, 0)],
)
def test_references_are_not_scored(sentences: int, count: int, scored: int, references: int) -> None:
    utterances = [Utterance(str(n), "ann", Path(f"{n}.wav"), 1.0, "Abc.") for n in range(sentences)]
    to_score, to_compare = split_references(utterances, count)
    assert (len(to_score), len(to_compare)) == (scored, references)
    assert to_score + to_compare == utterances[: scored + references]


def test_a_clone_uses_its_adapted_vocoder(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    light, samples = SourceFilterVocoder(tiny_source_filter()), {}
    for modules in (("speaker.mean",), ("speaker.mean", "vocoder.net.output")):
        changes = {"modules": modules, "vocoder_steps": 2, "steps": 1}
        quick = config(long_corpus, tmp_path, speakers=("ben",), adapt_on=2, score_on=1, **changes)
        samples[len(modules)] = [clip.samples for clip in run_cloning(quick, base, light, lambda line: None)]
    same = [np.array_equal(a, b) for a, b in zip(samples[1], samples[2], strict=True)]
    assert same == [True, True, True, False], "recording, copy-synthesis, mean voice, clone"
