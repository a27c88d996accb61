"""Features of recordings: trimming and loudness of simple signals, and the cache of log-mels."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_meta.audio import FeatureCache, MelSpec, prepare_waveform, read_audio, write_wav
from tts_meta.audio.io import Waveform
from tts_meta.audio.mel import MelConfig
from tts_meta.audio.trimming import AudioConfig
from tts_meta.config import dump_config
from tts_meta.errors import TtsMetaError
from tts_meta.files import write_tensors

CONFIG = AudioConfig()
RATE = CONFIG.mel.sample_rate


def speech_like(seconds: float, level: float, seed: int = 0) -> Waveform:
    """Return noise of constant level."""
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def between_silences(before: float, speech: Waveform, after: float) -> Waveform:
    return np.concatenate([np.zeros(round(before * RATE)), speech, np.zeros(round(after * RATE))]).astype(np.float32)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
@settings(max_examples=20)
def test_trimming_cuts_silence_at_both_ends_but_no_speech(before: float, after: float) -> None:
    speech = speech_like(0.7, 0.05)
    prepared = prepare_waveform(between_silences(before, speech, after), CONFIG)
    kept = len(prepared) / RATE - 0.7
    # Trimming keeps the padding and part of an analysis frame, or all of the silence if it is shorter.
    assert -1e-6 <= kept <= 2 * (CONFIG.trim_pad + 1024 / RATE)
    assert kept <= before + after + 1e-3


@pytest.mark.parametrize("level", [1e-3, 0.02, 0.2])
def test_prepared_speech_has_the_same_loudness_for_every_recording_level(level: float) -> None:
    prepared = prepare_waveform(between_silences(0.3, speech_like(1.0, level), 0.3), CONFIG)
    middle = prepared[len(prepared) // 4 : 3 * len(prepared) // 4]
    assert 10 * np.log10(np.mean(middle**2)) == pytest.approx(CONFIG.loudness, abs=0.3)
    assert prepared.dtype == np.float32


def test_pauses_within_speech_do_not_change_its_level() -> None:
    speech = speech_like(0.5, 0.05)
    with_pause = np.concatenate([speech, np.zeros(RATE, np.float32), speech])
    expected = float(prepare_waveform(speech, CONFIG)[:8000].std())
    assert float(prepare_waveform(with_pause, CONFIG)[:8000].std()) == pytest.approx(expected, rel=0.03)


def test_a_single_high_peak_stays_within_full_scale() -> None:
    speech = speech_like(1.0, 0.01)
    speech[10_000] = 1.0
    assert np.abs(prepare_waveform(speech, CONFIG)).max() <= 1.0


@pytest.mark.parametrize("samples", [np.zeros(RATE, np.float32), speech_like(1.0, 1e-5), np.zeros(10, np.float32)])
def test_the_error_for_a_silent_recording_names_it(samples: Waveform) -> None:
    with pytest.raises(TtsMetaError, match=r"^mine\.wav: silent throughout"):
        prepare_waveform(samples, CONFIG, "mine.wav")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    write_wav(tmp_path / "a.wav", between_silences(0.2, speech_like(0.5, 0.05), 0.2), RATE)
    return tmp_path / "a.wav"


def fail_on_compute(self: FeatureCache, audio: str | Path) -> torch.Tensor:
    raise AssertionError("computed again")


def test_features_are_the_log_mel_of_the_prepared_waveform(tmp_path: Path, recording: Path) -> None:
    waveform = prepare_waveform(read_audio(recording, RATE), CONFIG)
    mel = FeatureCache(tmp_path / "cache", CONFIG).mel(recording)
    expected = MelSpec(CONFIG.mel)(torch.from_numpy(waveform)[None])[0]
    torch.testing.assert_close(mel, expected.half().float(), rtol=0, atol=0)


def test_the_second_run_reads_the_features_that_the_first_computed(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = FeatureCache(tmp_path / "cache", CONFIG).mel(recording)
    monkeypatch.setattr(FeatureCache, "compute", fail_on_compute)
    assert torch.equal(FeatureCache(tmp_path / "cache", CONFIG).mel(recording), first)
    copy = tmp_path / "copy.wav"
    copy.write_bytes(recording.read_bytes())
    assert torch.equal(FeatureCache(tmp_path / "cache", CONFIG).mel(copy), first), (
        "the key depends on the content, not on the name"
    )


def test_changed_content_is_computed_again(tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FeatureCache(tmp_path / "cache", CONFIG)
    first = cache.mel(recording)
    write_wav(recording, speech_like(0.4, 0.05, seed=1), RATE)
    assert cache.mel(recording).shape != first.shape
    write_wav(recording, speech_like(0.3, 0.05, seed=2), RATE)
    monkeypatch.setattr(FeatureCache, "compute", fail_on_compute)
    with pytest.raises(AssertionError, match="computed again"):
        cache.mel(recording)


@pytest.mark.parametrize(
    "other",
    [
        AudioConfig(trim_db=30.0),
        AudioConfig(loudness=-20.0),
        AudioConfig(trim_pad=0.0),
        AudioConfig(mel=MelConfig(hop=300)),
    ],
    ids=["trim_db", "loudness", "trim_pad", "hop"],
)
def test_features_are_computed_again_for_another_configuration(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch, other: AudioConfig
) -> None:
    FeatureCache(tmp_path / "cache", CONFIG).mel(recording)
    monkeypatch.setattr(FeatureCache, "compute", fail_on_compute)
    with pytest.raises(AssertionError, match="computed again"):
        FeatureCache(tmp_path / "cache", other).mel(recording)


def shard_of(cache: FeatureCache) -> Path:
    """The only data file of a cache."""
    (path,) = cache.store.folder.glob("*.data")
    return path


@pytest.mark.parametrize("damage", [b"", b"not mels", None])
def test_a_damaged_log_mel_is_computed_again(tmp_path: Path, recording: Path, damage: bytes | None) -> None:
    cache = FeatureCache(tmp_path / "cache", CONFIG)
    first = cache.mel(recording)
    shard = shard_of(cache)
    shard.write_bytes(shard.read_bytes()[:-100] if damage is None else damage)
    for _ in range(2):
        assert torch.equal(FeatureCache(tmp_path / "cache", CONFIG).mel(recording), first)
    assert len(FeatureCache(tmp_path / "cache", CONFIG).store) <= 2


def test_log_mels_are_stored_once_in_half_precision(tmp_path: Path, recording: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", CONFIG)
    first, computed = cache.mel(recording), cache.compute(recording)
    assert torch.equal(first, computed.half().float()) and first.dtype == torch.float32
    assert torch.equal(cache.mel(recording), first)
    assert shard_of(cache).stat().st_size == 2 * first.numel()
    cache.add(recording, prepare_waveform(read_audio(recording, RATE), CONFIG))
    assert shard_of(cache).stat().st_size == 2 * first.numel()
    first.requires_grad_()  # This fails for an inference tensor.


def _older_entry(cache: FeatureCache, recording: Path) -> Path:
    """Write the log-mel of a recording, plus 1, as older versions did: a file of its own, in single precision."""
    settings = hashlib.sha256(dump_config(CONFIG).encode()).hexdigest()
    key = hashlib.sha256(f"{cache.key(recording).hex()} {settings} 3".encode()).hexdigest()
    mel = cache.compute(recording) + 1
    digest = hashlib.sha256(f"{key} {tuple(mel.shape)} ".encode() + mel.numpy().tobytes()).hexdigest()
    path = cache.folder / key[:2] / f"{key}.safetensors"
    path.parent.mkdir(parents=True)
    write_tensors(path, {"mel": mel}, {"sha256": digest})
    return path


def test_the_log_mel_of_an_older_version_is_moved_into_the_store(tmp_path: Path, recording: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", CONFIG)
    _older_entry(cache, recording)
    expected = (cache.compute(recording) + 1).half().float()
    assert torch.equal(cache.mel(recording), expected)
    assert torch.equal(FeatureCache(tmp_path / "cache", CONFIG).mel(recording), expected)
    assert shard_of(cache).stat().st_size == 2 * expected.numel()


@pytest.mark.parametrize("damage", ["content", "key", "empty", "shape"])
def test_a_damaged_log_mel_of_an_older_version_is_computed_again(tmp_path: Path, recording: Path, damage: str) -> None:
    cache = FeatureCache(tmp_path / "cache", CONFIG)
    path = _older_entry(cache, recording)
    if damage == "content":
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "key":
        write_tensors(path, {"mel": cache.compute(recording)}, {"sha256": "0" * 64})
    else:
        write_tensors(path, {"mel": torch.zeros(3, 7)}, {"sha256": "0" * 64})
    assert torch.equal(cache.mel(recording), cache.compute(recording).half().float())


def test_the_error_names_a_missing_or_too_short_recording(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", CONFIG)
    with pytest.raises(TtsMetaError, match=r"none\.wav: no such file"):
        cache.mel(tmp_path / "none.wav")
    write_wav(tmp_path / "click.wav", speech_like(0.01, 0.1), RATE)
    with pytest.raises(TtsMetaError, match=r"click\.wav: too short"):
        cache.mel(tmp_path / "click.wav")
