"""A base and a vocoder with different mels are refused by every function, in one line that names both values."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from commands import write_recordings
from helpers import TINY_HIFIGAN, tiny_base, tiny_source_filter
from rich.console import Console

from tts_meta import demo
from tts_meta.adapt import CloneSettings, clone_examples
from tts_meta.adapt.vocoder_task import require_adaptable_vocoder
from tts_meta.audio.mel import MelConfig
from tts_meta.config import parse_config
from tts_meta.corpus import Utterance
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate import Scorer
from tts_meta.evaluate.cloning import CloningBenchmark, run_cloning
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark, run_few_shot
from tts_meta.evaluate.voice import score_voices
from tts_meta.models.pretrained import Base, save_base
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.models.vocoders.hifigan import HifiGan, HifiGanConfig, HifiGanGenerator
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.vocoder import OTHER_MELS_NOTICE, Vocoder, check_mels, load_vocoder
from tts_meta.synth import Synthesizer, speak, speak_text, stream_text

OTHER = MelConfig(sample_rate=24000)
MESSAGE = "takes mels with sample_rate 22050, and the base has sample_rate 24000; use a vocoder trained on the mels"


def with_mels(base: Base, mel: MelConfig) -> Base:
    """The same base, with other mel settings in its configuration."""
    audio = base.config.audio.model_copy(update={"mel": mel})
    return replace(base, config=base.config.model_copy(update={"audio": audio}))


@pytest.fixture
def other() -> Base:
    return with_mels(tiny_base(), OTHER)


def recipe(kind: type, **changes: object):
    settings = {"manifest": "none.jsonl", "output": "none", "metrics": ["variance"]} | changes
    return parse_config(settings, kind, "test")


CALLS: dict[str, Callable[[Base, Vocoder], object]] = {
    "speak_text": lambda base, vocoder: speak_text(base, base.acoustic, vocoder, "abc."),
    "stream_text": lambda base, vocoder: stream_text(base, base.acoustic, vocoder, "abc."),
    "speak": lambda base, vocoder: speak("base", "abc.", base=base, vocoder=vocoder),
    "Synthesizer": lambda base, vocoder: Synthesizer("base", base=base, vocoder=vocoder),
    "score_voices": lambda base, vocoder: score_voices(
        base, {}, vocoder, [Utterance("a", "ann", Path("a.wav"), 1.0, "abc.")], Scorer(["variance"]), []
    ),
    "a clone's vocoder": lambda base, vocoder: clone_examples(
        base, [Mock()], CloneSettings(("vocoder.*",), vocoder_steps=1), vocoder=vocoder
    ),
    "adaptation": lambda base, vocoder: require_adaptable_vocoder(vocoder, base),
    "benchmark": lambda base, vocoder: run_cloning(recipe(CloningBenchmark), base, vocoder, pytest.fail),
    "few-shot benchmark": lambda base, vocoder: run_few_shot(
        recipe(FewShotBenchmark, learners={"one": {}}), base, vocoder, pytest.fail
    ),
}


@pytest.mark.parametrize("where", CALLS)
def test_every_function_refuses_a_base_and_a_vocoder_with_different_mels(other: Base, where: str) -> None:
    with pytest.raises(TtsMetaError, match=f"vocoder 'light' {MESSAGE}"):
        CALLS[where](other, SourceFilterVocoder(tiny_source_filter()))


def test_the_demo_refuses_a_base_and_a_vocoder_with_different_mels(other: Base, tmp_path: Path) -> None:
    with pytest.raises(TtsMetaError, match=MESSAGE):
        demo.run(
            tmp_path / "out",
            base=other,
            vocoder=SourceFilterVocoder(tiny_source_filter()),
            console=Console(file=StringIO()),
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", MelConfig.model_fields)
def test_a_difference_in_any_mel_setting_is_refused(name: str) -> None:
    config, vocoder = MelConfig(), GriffinLim(iterations=1)
    check_mels(vocoder, config)
    changed = config.model_copy(update={name: getattr(config, name) * 2 + 1})
    with pytest.raises(TtsMetaError, match=f"with {name} {getattr(config, name)}, and the base has {name} "):
        check_mels(vocoder, changed)


@pytest.mark.parametrize("vocoder", ["light", "a folder of HiFi-GAN weights"])
def test_every_verb_refuses_them_before_any_work(run_cli, other: Base, tmp_path: Path, vocoder: str) -> None:
    save_base(other, tmp_path / "base")
    if vocoder != "light":
        vocoder = str(_hifigan(tmp_path, TINY_HIFIGAN))
    audio, out = write_recordings(tmp_path, 2), tmp_path / "a.voice.safetensors"
    options = ("--base", tmp_path / "base", "--vocoder", vocoder)
    manifest = tmp_path / "manifest.jsonl"
    rows = [{"id": path.stem, "speaker": "ann", "audio": path.name, "seconds": 1.0, "text": "abc"} for path in audio]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(
        json.dumps({"manifest": str(manifest), "base": str(tmp_path / "base"), "vocoder": vocoder, "output": "x"})
    )
    for arguments in (
        ("speak", "base", "abc.", "-o", tmp_path / "a.wav", *options),
        ("clone", *audio, "-o", out, "--log", tmp_path / "log", *options),
        ("evaluate", "base", manifest, "--metric", "variance", *options),
        ("benchmark", tmp_path / "recipe.yaml"),
    ):
        result = run_cli(*arguments)
        assert result.failed(1, "takes mels with ", "and the base has "), arguments
    assert not out.exists() and not (tmp_path / "a.wav").exists()


def test_the_default_vocoder_is_one_that_takes_the_mels_of_the_base(other: Base) -> None:
    speech = speak("base", "abc.", base=other)
    assert speech.rate == 24000 and speech.notice == OTHER_MELS_NOTICE
    assert speak("base", "abc.", base=other, vocoder="griffin-lim").rate == 24000
    assert load_vocoder(mel=MelConfig()).name == load_vocoder().name == "light"
    assert load_vocoder("griffin-lim").mel_config == MelConfig()


def test_a_hifigan_takes_the_mels_of_its_config(tmp_path: Path) -> None:
    changes = {"sampling_rate": 24000, "n_fft": 512, "fmin": 20, "fmax": None, "num_mels": 6}
    config = HifiGanConfig(**(TINY_HIFIGAN.model_dump() | changes))
    mel = MelConfig(sample_rate=24000, n_fft=512, hop=8, n_mels=6, f_min=20.0, f_max=12000.0)
    assert HifiGan(HifiGanGenerator(config)).mel_config == mel
    assert HifiGanConfig().mel_config == MelConfig(), "the published models take the default mels"
    path = _hifigan(tmp_path, config)
    assert load_vocoder(path, mel=mel).sample_rate == 24000
    with pytest.raises(TtsMetaError, match="takes mels with n_fft 512, and the base has n_fft 1024"):
        load_vocoder(path, mel=mel.model_copy(update={"n_fft": 1024}))


def _hifigan(folder: Path, config: HifiGanConfig) -> Path:
    """A folder of random HiFi-GAN weights with its public config."""
    folder = folder / "hifigan"
    folder.mkdir()
    torch.save({"generator": HifiGanGenerator(config).state_dict()}, folder / "generator")
    (folder / "config.json").write_text(config.model_dump_json())
    return folder / "generator"
