"""Keys of cached trials of the few-shot benchmark: what the key of a voice and the key of its scores depend on."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from few_shot_recipes import config, vocoder
from helpers import tiny_source_filter

from tts_meta.adapt import adaptable_vocoder_modules
from tts_meta.corpus import Manifest
from tts_meta.evaluate.few_shot.speaker_data import SpeakerData
from tts_meta.evaluate.methods import MethodConfig
from tts_meta.evaluate.scores import Scorer
from tts_meta.evaluate.training_speakers import TrainingSpeakers
from tts_meta.meta import LEARNERS
from tts_meta.models.pretrained import Base
from tts_meta.models.saved_learner import SavedLearner
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder

KEYS = importlib.import_module("tts_meta.evaluate.few_shot.trial_keys")
VOICE_KEY = importlib.import_module("tts_meta.adapt.voice_key")
LEARNER_OF = {
    **{"prior": "sigma-imaml", "auto_stop": "sigma-imaml", "no prior": "imaml", "mean voice": "mean-voice"},
    **{name: name for name in ("maml", "fomaml", "lora", "nearest", "zero-shot")},
}
"""The learner of each method of `keys_of`."""


@pytest.fixture
def speaker_data(base: Base, long_corpus: Path, tmp_path: Path) -> SpeakerData:
    """The data of speaker ben, with one metric that needs no optional package, and the training speakers."""
    recipe = config(long_corpus, tmp_path)
    manifest = Manifest.load(recipe.manifest)
    chosen = recipe.choose(manifest)["ben"]
    sentences = chosen.adapt_on, chosen.score_on, chosen.references
    data = SpeakerData("ben", *sentences, vocoder(), Scorer(["variance"]), Mock(), 0, 800, tmp_path)
    return replace(data, training_speakers=TrainingSpeakers.of(base, manifest))


def learner_files(base: Base, learner: str) -> SavedLearner:
    """A saved learner of the base that adapts the speaker vector."""
    return SavedLearner(learner, 1, {"inner_solver": "adam"}, "acoustic", base.hash, ("speaker.mean",))


def keys_of(base: Base, data: SpeakerData) -> dict[str, str]:
    """The key of a voice by each kind of method; the base has a learned prior, except for `maml`."""
    learned = base.with_prior(ModulePrior({"speaker.mean": 1e-2}))
    trained = replace(base, learner=learner_files(base, "maml"))
    methods: dict[str, tuple[MethodConfig, Base, int | None]] = {
        "prior": (MethodConfig(), learned, 3),
        "auto_stop": (MethodConfig(auto_stop=True), learned, None),
        "no prior": (MethodConfig(variance=1.0), learned, 3),
        "maml": (MethodConfig(), trained, 3),
        "mean voice": (MethodConfig(), learned, 0),
        **{name: (MethodConfig(learner=name), learned, 3) for name in ("fomaml", "lora")},
        **{name: (MethodConfig(learner=name), learned, 0) for name in ("nearest", "zero-shot")},
    }
    return {name: KEYS.voice_key(method, used, data, 2, steps) for name, (method, used, steps) in methods.items()}


@pytest.mark.parametrize("learner", sorted(set(LEARNER_OF.values())))
def test_a_new_version_of_a_learner_changes_the_keys_of_its_voices_only(
    base: Base, speaker_data: SpeakerData, learner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, scoring = keys_of(base, speaker_data), KEYS.scoring_key(speaker_data)
    assert len(set(before.values())) == len(before) and keys_of(base, speaker_data) == before
    monkeypatch.setattr(LEARNERS[learner], "version", 99)
    monkeypatch.setattr(SavedLearner, "check_fits", lambda *arguments, **named: None)
    after = keys_of(base, speaker_data)
    assert {name for name in after if after[name] != before[name]} == {
        name for name, used in LEARNER_OF.items() if used == learner
    }
    assert KEYS.scoring_key(speaker_data) == scoring, "the way a voice is made does not change the key of its scores"


@pytest.mark.parametrize(
    ("version", "changed"),
    [
        ("CLONE_VERSION", set(LEARNER_OF)),
        ("RECORDINGS_VERSION", set(LEARNER_OF)),
        ("STOPPING_VERSION", {"auto_stop"}),
        ("TRAINING_SPEAKERS_VERSION", {"nearest", "zero-shot"}),
        ("SCORING_VERSION", set()),
        ("SPEECH_VERSION", set()),
    ],
)
def test_a_new_version_of_the_code_changes_the_keys_of_the_voices_that_it_makes(
    base: Base, speaker_data: SpeakerData, version: str, changed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, scoring = keys_of(base, speaker_data), KEYS.scoring_key(speaker_data)
    for module in (KEYS, VOICE_KEY):
        if hasattr(module, version):
            monkeypatch.setattr(module, version, 99)
    after = keys_of(base, speaker_data)
    assert {name for name in after if after[name] != before[name]} == changed
    scores = ("SCORING_VERSION", "SPEECH_VERSION", "RECORDINGS_VERSION")
    assert (KEYS.scoring_key(speaker_data) != scoring) == (version in scores)


def test_a_new_version_of_a_metric_changes_the_key_of_the_scores(speaker_data: SpeakerData) -> None:
    scoring = KEYS.scoring_key(speaker_data)
    speaker_data.scorer.metrics["variance"] = replace(speaker_data.scorer.metrics["variance"], version=99)
    assert KEYS.scoring_key(speaker_data) != scoring


def test_every_part_of_a_saved_learner_changes_the_key(base: Base, speaker_data: SpeakerData) -> None:
    def key(saved: SavedLearner) -> str:
        return KEYS.voice_key(MethodConfig(), replace(base, learner=saved), speaker_data, 2, 3)

    tensors = [torch.tensor(0.5), torch.tensor(0.25), torch.tensor(0.5, dtype=torch.float64), torch.tensor([0.5])]
    changes: list[dict[str, Any]] = [
        {},
        {"learner": "fomaml"},
        {"settings": {"inner_solver": "gd"}},
        {"settings": {"inner_solver": "adam", "inner_lr": 0.5}},
        {"modules": ("speaker.mean", "postnet.output.bias")},
        {"modules": ("postnet.output.bias",)},
        {"shared": ("postnet.output.bias",)},
        {"rank": 2},
        {"tensors": {"other": tensors[0]}},
        *({"tensors": {"step_sizes": tensor}} for tensor in tensors),
    ]
    saved = learner_files(base, "maml")
    assert len({key(replace(saved, **part)) for part in changes}) == len(changes)
    assert key(saved) == key(replace(saved, meta_steps=7, sigma_history={"speaker.mean": [1.0]}, origin={"a": 1}))


@pytest.mark.parametrize(
    "changes",
    [
        {"modules": ("speaker.*",)},
        {"learning_rate": 1e-2},
        {"variance": 0.5},
        {"rank": 1},
        {"spectral_correction": 0.5},
        {"history_mixing": 0.25},
        {"learner": "maml"},
        {"settings": {"inner_solver": "gd"}},
    ],
)
def test_every_setting_of_a_method_changes_the_key(base: Base, speaker_data: SpeakerData, changes: dict) -> None:
    def key(method: MethodConfig, data: SpeakerData = speaker_data, sentences: int = 2, steps: int | None = 3) -> str:
        return KEYS.voice_key(method, base, data, sentences, steps)

    method = MethodConfig()
    assert key(MethodConfig(**changes)) != key(method)
    assert key(method.model_copy(update={"steps": (4, 5), "sentences": (1,)})) == key(method)
    others = [key(method, sentences=1), key(method, steps=4), key(method, steps=0)]
    for changed in {"seed": 1}, {"frames_per_step": 400}, {"adapt_on": speaker_data.adapt_on[::-1]}:
        others.append(key(method, replace(speaker_data, **changed)))
    assert len({key(method), *others}) == 7


def test_the_voice_after_zero_steps_depends_on_no_setting(base: Base, speaker_data: SpeakerData) -> None:
    methods = [MethodConfig(), MethodConfig(modules=("*",), variance=0.1), MethodConfig(learner="lora")]
    assert len({KEYS.voice_key(method, base, speaker_data, 2, 0) for method in methods}) == 1


def test_voices_of_training_speakers_depend_on_the_recordings_of_these_speakers(
    base: Base, speaker_data: SpeakerData
) -> None:
    speakers = speaker_data.training_speakers
    assert speakers is not None
    fewer = replace(speakers, recordings={name: rows[1:] for name, rows in speakers.recordings.items()})
    before, after = keys_of(base, speaker_data), keys_of(base, replace(speaker_data, training_speakers=fewer))
    assert {name for name in after if after[name] != before[name]} == {"nearest", "zero-shot"}


def test_the_learner_of_the_vocoder_changes_the_keys_of_voices_that_adapt_the_vocoder(
    base: Base, speaker_data: SpeakerData
) -> None:
    def key(modules: tuple[str, ...], learner: SavedLearner | None) -> str:
        generator = tiny_source_filter()
        generator.learner = learner
        data = replace(speaker_data, vocoder=SourceFilterVocoder(generator))
        return KEYS.voice_key(MethodConfig(modules=modules), base, data, 2, 3)

    names = adaptable_vocoder_modules(SourceFilterVocoder(tiny_source_filter())).names
    prior = SavedLearner.of_prior(ModulePrior(dict.fromkeys(names, 1e-4)), "vocoder", "")
    assert key(("vocoder.*",), None) != key(("vocoder.*",), prior)
    assert key(("speaker.mean",), None) == key(("speaker.mean",), prior)
