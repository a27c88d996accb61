"""Features of recordings: trimming and loudness of simple signals, and the cache of log-mels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from tts_meta.audio import FeatureCache, MelSpec, prepare_waveform, read_audio, write_wav
from tts_meta.audio.cache_entry import read_entry, write_entry
from tts_meta.audio.io import Waveform
from tts_meta.audio.mel import MelConfig
from tts_meta.audio.trimming import AudioConfig
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
    torch.testing.assert_close(mel, MelSpec(CONFIG.mel)(torch.from_numpy(waveform)[None])[0], rtol=0, atol=0)
    mel.requires_grad_()  # This fails for an inference tensor.


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


@pytest.mark.parametrize("damage", [b"", b"not tensors", None])
def test_a_damaged_entry_is_computed_again(tmp_path: Path, recording: Path, damage: bytes | None) -> None:
    cache = FeatureCache(tmp_path / "cache", CONFIG)
    first = cache.mel(recording)
    entry = cache.path(recording)
    entry.write_bytes(entry.read_bytes()[:-100] if damage is None else damage)
    assert torch.equal(cache.mel(recording), first)
    assert torch.equal(FeatureCache(tmp_path / "cache", CONFIG).mel(recording), first)


def _tampered(entry: Path, change: Callable[[torch.Tensor], torch.Tensor], keep_hash: bool) -> None:
    """Replace the log-mel of an entry, and keep its hash or update it."""
    with safe_open(entry, "pt") as file:
        mel, metadata = file.get_tensor("mel"), file.metadata()
    changed = change(mel)
    if keep_hash:
        write_tensors(entry, {"mel": changed.contiguous()}, metadata)
    else:
        write_entry(entry, entry.stem, {"mel": changed})


@pytest.mark.parametrize("keep_hash", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        lambda mel: mel * float("nan"),
        lambda mel: torch.full_like(mel, float("inf")),
        lambda mel: mel[:, :40],
        lambda mel: mel[:0],
        lambda mel: mel[None],
        lambda mel: mel.double(),
        lambda mel: mel.T,
    ],
    ids=["nan", "infinite", "bands", "empty", "dimensions", "type", "transposed"],
)
def test_an_invalid_entry_is_computed_again(
    tmp_path: Path, recording: Path, change: Callable[[torch.Tensor], torch.Tensor], keep_hash: bool
) -> None:
    cache = FeatureCache(tmp_path / "cache", CONFIG)
    first = cache.mel(recording)
    _tampered(cache.path(recording), change, keep_hash)
    assert torch.equal(cache.mel(recording), first)
    entry = read_entry(cache.path(recording), cache.path(recording).stem, {"mel": torch.float32})
    assert entry is not None and torch.equal(entry["mel"], first)


def test_an_entry_with_a_wrong_hash_or_key_is_computed_again(tmp_path: Path, recording: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", CONFIG)
    first = cache.mel(recording)
    _tampered(cache.path(recording), lambda mel: mel + 1, keep_hash=True)
    assert torch.equal(cache.mel(recording), first)
    write_wav(tmp_path / "b.wav", speech_like(0.5, 0.05, seed=1), RATE)
    other = cache.mel(tmp_path / "b.wav")
    cache.path(recording).write_bytes(cache.path(tmp_path / "b.wav").read_bytes())
    assert torch.equal(cache.mel(recording), first) and not torch.equal(first, other)


def test_an_entry_without_a_hash_is_computed_again(tmp_path: Path, recording: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", CONFIG)
    first = cache.mel(recording)
    write_tensors(cache.path(recording), {"mel": first + 1})
    assert torch.equal(cache.mel(recording), first)


def test_the_error_names_a_missing_or_too_short_recording(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", CONFIG)
    with pytest.raises(TtsMetaError, match=r"none\.wav: no such file"):
        cache.mel(tmp_path / "none.wav")
    write_wav(tmp_path / "click.wav", speech_like(0.01, 0.1), RATE)
    with pytest.raises(TtsMetaError, match=r"click\.wav: too short"):
        cache.mel(tmp_path / "click.wav")
