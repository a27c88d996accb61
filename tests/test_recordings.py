from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from commands import write_recordings
from helpers import RATE, tiny_base, tone_sentence, tone_speech

from tts_meta.adapt import Recording, find_transcripts, prepare_recordings
from tts_meta.adapt.recordings import MIN_SECONDS, load_recording
from tts_meta.audio import MelSpec, prepare_waveform, write_wav
from tts_meta.audio.clipping import clipped_fraction
from tts_meta.audio.io import Waveform, decode_audio, read_audio, to_mono
from tts_meta.audio.trimming import AudioConfig
from tts_meta.corpus import Example, collate
from tts_meta.errors import TtsMetaError
from tts_meta.models.pretrained import Base
from tts_meta.train.aligner_loss import aligner_loss, symbol_log_prior

CONFIG = AudioConfig()


def noise_speech(seed: int, seconds: float = 1.5, rate: int = RATE, low_pass: float | None = None) -> Waveform:
    """Noise with a syllable-like envelope and no energy above `low_pass` Hz."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    spectrum = np.fft.rfft(random.standard_normal(len(time)))
    if low_pass is not None:
        spectrum[np.fft.rfftfreq(len(time), 1 / rate) > low_pass] = 0
    return (0.05 * np.fft.irfft(spectrum, len(time)) * (1.1 + np.sin(2 * np.pi * 3 * time))).astype(np.float32)


@pytest.mark.parametrize("level", [1.0, 0.5, 0.12])
def test_clipping_is_detected_at_any_level_of_the_file(level: float) -> None:
    loud = np.clip(12 * noise_speech(0), -1, 1)
    quantised = np.round(level * loud * 32767) / 32768
    stuck = clipped_fraction(quantised[:, None].astype(np.float32))
    assert stuck == pytest.approx(np.mean(np.abs(loud) == 1), rel=0.05) and stuck > 0.01


def test_speech_that_reaches_full_scale_a_few_times_is_not_clipped() -> None:
    normalised = noise_speech(0) / np.abs(noise_speech(0)).max()
    quiet = np.round(0.001 * normalised * 32767) / 32768
    silence = np.zeros((RATE, 1), np.float32)
    assert clipped_fraction(normalised[:, None]) < 2e-4
    assert clipped_fraction(quiet[:, None].astype(np.float32)) == clipped_fraction(silence) == 0


def test_one_clipped_channel_of_many_is_enough() -> None:
    channels = np.stack([noise_speech(seed) for seed in range(8)], axis=1)
    channels[:, 5] = np.clip(12 * channels[:, 5], -1, 1)
    assert clipped_fraction(channels) == clipped_fraction(channels[:, 5:6]) > 0.01


def test_real_speech_is_neither_clipped_nor_without_high_frequencies(shared_corpus: Path) -> None:
    lines = (shared_corpus / "manifest.tsv").read_text().splitlines()[1:]
    files = [shared_corpus / line.split("\t")[5] for line in lines[::400]]
    warnings: list[str] = []
    base = tiny_base()
    prepare_recordings([Recording(file, "abc") for file in files], base, "them", warnings.append)
    assert len(files) > 3 and not [line for line in warnings if "clipped" in line or "no audio above" in line]


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_the_number_of_channels_does_not_change_the_waveform(tmp_path: Path, channels: int) -> None:
    speech = noise_speech(0)
    soundfile.write(tmp_path / "a.wav", np.repeat(speech[:, None], channels, axis=1), RATE, subtype="FLOAT")
    expected = prepare_waveform(speech, CONFIG)
    np.testing.assert_allclose(load_recording(tmp_path / "a.wav", CONFIG), expected, atol=1e-5)


def test_of_channels_that_cancel_each_other_one_is_used() -> None:
    speech = noise_speech(0)
    np.testing.assert_array_equal(to_mono(np.stack([speech, -speech], axis=1), RATE, RATE), speech)


def test_one_active_channel_of_eight_is_enough() -> None:
    channels = np.zeros((RATE, 8), np.float32)
    channels[:, 3] = noise_speech(0)[:RATE]
    np.testing.assert_allclose(
        prepare_waveform(to_mono(channels, RATE, RATE), CONFIG)[500:5000],
        prepare_waveform(noise_speech(0)[:RATE], CONFIG)[500:5000],
        atol=1e-4,
    )


def test_a_constant_offset_is_silence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(RATE, 0.3), RATE)
    with pytest.raises(TtsMetaError, match="silent throughout"):
        load_recording(tmp_path / "a.wav", CONFIG)


def test_a_sample_rate_next_to_a_common_one_needs_little_memory(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise_speech(0, rate=44101), 44101)
    assert len(read_audio(tmp_path / "a.wav", RATE)) == pytest.approx(1.5 * RATE, abs=2)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, suffix: str, part: float) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise_speech(0, 4.0), RATE)
    assert len(decode_audio(path)[0]) > 3.9 * RATE
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(TtsMetaError, match=r"a\.\w+: (truncated|not readable as audio)"):
        decode_audio(path)


def bandwidth_warnings(folder: Path, samples: Waveform, rate: int) -> list[str]:
    soundfile.write(folder / "a.wav", samples, rate)
    warnings: list[str] = []
    prepare_recordings([Recording(folder / "a.wav", "abc")], tiny_base(), "them", warnings.append)
    return warnings


@pytest.mark.parametrize(("rate", "low_pass"), [(8000, None), (8000, 3400), (16000, 3900), (44100, 3900)])
def test_a_recording_without_high_frequencies_gives_a_warning_at_any_rate(
    tmp_path: Path, rate: int, low_pass: float
) -> None:
    (warning,) = bandwidth_warnings(tmp_path, noise_speech(0, rate=rate, low_pass=low_pass), rate)
    assert warning.startswith(f"{tmp_path / 'a.wav'}: no audio above 4 kHz") and "will sound dull" in warning


@pytest.mark.parametrize(("rate", "low_pass"), [(16000, None), (22050, 7000), (44100, None)])
def test_a_recording_with_high_frequencies_gives_no_warning(tmp_path: Path, rate: int, low_pass: float) -> None:
    assert bandwidth_warnings(tmp_path, noise_speech(0, rate=rate, low_pass=low_pass), rate) == []


def test_several_dull_recordings_give_one_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    for number in range(3):
        soundfile.write(tmp_path / f"{number}.wav", noise_speech(number, rate=8000), 8000)
    recordings = [Recording(tmp_path / f"{number}.wav", "abc") for number in range(3)]
    prepare_recordings(recordings, tiny_base(), "them", warnings.append)
    assert len(warnings) == 1 and "0.wav and 2 more" in warnings[0]


def test_every_recording_is_read_before_the_first_is_aligned(tmp_path: Path, monkeypatch) -> None:
    audio = write_recordings(tmp_path, 2)
    (tmp_path / "say1.wav").write_bytes(b"not audio")
    base = tiny_base()
    monkeypatch.setattr(base.aligner, "align", lambda *arguments: pytest.fail("aligned"))
    with pytest.raises(TtsMetaError, match=r"say1\.wav: not readable as audio"):
        prepare_recordings(find_transcripts(audio), base, "them", pytest.fail)


def test_silence_at_the_ends_does_not_count_as_speech(tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros(3 * RATE), noise_speech(0, 0.6 * MIN_SECONDS), np.zeros(3 * RATE)])
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    with pytest.raises(TtsMetaError, match=r"0\.\d s of speech in total, but cloning needs at least 1 s"):
        prepare_recordings([Recording(tmp_path / "a.wav", "abc")], tiny_base(), "them", pytest.fail)


def test_transcripts_are_found_by_path_name_or_stem(tmp_path: Path) -> None:
    audio = write_recordings(tmp_path, 3)
    lines = f"{audio[0]}|a\nsay1.wav|b, again\n\nsay2|c\n"
    (tmp_path / "list.txt").write_text("\ufeff" + lines, encoding="utf-8")
    found = find_transcripts(audio, tmp_path / "list.txt")
    assert [(recording.audio, recording.text) for recording in found] == list(
        zip(audio, ["a", "b, again", "c"], strict=True)
    )


def test_a_text_file_next_to_the_recording_takes_precedence_over_transcribe(tmp_path: Path) -> None:
    audio = write_recordings(tmp_path, 2)
    audio[1].with_suffix(".txt").unlink()
    texts = [
        recording.text for recording in find_transcripts(audio, transcribe=lambda path: f"transcribed {path.stem}")
    ]
    assert texts == [tone_sentence(0), "transcribed say1"]


def test_a_line_without_a_bar_is_named(tmp_path: Path) -> None:
    audio = write_recordings(tmp_path, 1)
    (tmp_path / "list.txt").write_text("say0|a\nsay1 b\n")
    with pytest.raises(TtsMetaError, match=r"list.txt, line 2: no '\|'"):
        find_transcripts(audio, tmp_path / "list.txt")


@pytest.fixture(scope="module")
def aligned_base() -> Base:
    """A base whose aligner is trained on tones with known durations and whose score range is measured."""
    base = tiny_base()
    mel_spec, frame = MelSpec(CONFIG.mel), CONFIG.mel.frame_seconds
    examples = []
    for number in range(40):
        text = tone_sentence(100 + number)
        samples, seconds = tone_speech(text, 100 + number)
        mel = mel_spec(torch.from_numpy(samples)[None])[0]
        edges = np.round(np.cumsum(seconds) / frame).astype(int)
        edges[-1] = len(mel)
        durations = torch.from_numpy(np.diff(edges, prepend=0))
        examples.append(Example(str(number), "ann", base.encode(text), durations, mel))
    assert all(len(example.durations) == len(example.tokens) for example in examples)
    aligner = base.aligner.train().requires_grad_(True)
    aligner.log_prior.copy_(symbol_log_prior([(e.tokens, e.durations) for e in examples], len(base.symbols)))
    batch = collate(examples, {"ann": 0})
    optimiser = torch.optim.Adam(aligner.parameters(), 0.02)
    for _ in range(60):
        optimiser.zero_grad()
        aligner_loss(aligner, batch).backward()
        optimiser.step()
    aligner.eval().requires_grad_(False)
    scores = [aligner.align(e.mel, e.tokens, base.kinds).score for e in examples]
    aligner.score_range.copy_(torch.tensor([min(scores), float(np.median(scores))]))
    return base


def test_a_wrong_transcript_gives_a_warning_with_the_name_of_the_file(tmp_path: Path, aligned_base) -> None:
    recordings, wrong = [], []
    for number in range(8):
        text = tone_sentence(number)
        write_wav(tmp_path / f"{number}.wav", tone_speech(text, number)[0], RATE)
        # The same length and letters in another order.
        transcript = text if number % 2 else "".join(reversed(text)).translate(str.maketrans("abcdefgh", "efghabcd"))
        recordings.append(Recording(tmp_path / f"{number}.wav", transcript))
        if transcript != text:
            wrong.append(f'the speech does not seem to match the transcript "{transcript}"; correct it')
    warnings: list[str] = []
    prepare_recordings(recordings, aligned_base, "them", warnings.append)
    assert [line.split(": ")[0] for line in warnings] == [str(tmp_path / f"{number}.wav") for number in (0, 2, 4, 6)]
    assert sum(line.endswith(message) for line, message in zip(warnings, wrong, strict=True)) >= 3
