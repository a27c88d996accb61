"""Every container reads to the samples that are in it, whatever its header says; what is cut off is refused."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import (
    BY_LIBAV,
    CONTAINERS,
    EXACT,
    RATE,
    encode,
    video_without_sound,
    voice,
    whole,
    with_bytes,
    with_data_length,
)
from cases import case_folder

from data_prep import Recording, prepare
from data_prep.recording import to_utterance
from tts_meta.adapt.recordings import load_recording
from tts_meta.audio import FeatureCache, load_speech
from tts_meta.audio.decoding.common import scale_floats
from tts_meta.audio.io import Waveform, decode_audio, read_audio
from tts_meta.audio.speech import clipped_fraction
from tts_meta.config import AudioConfig
from tts_meta.errors import TtsMetaError

CONFIG = AudioConfig()
LONGEST = 19200  # samples of `voice()`


def decode(folder: Path, content: bytes, name: str = "a.wav") -> tuple[Waveform, int]:
    (folder / name).write_bytes(content)
    return decode_audio(folder / name)


def refusal(folder: Path, content: bytes, name: str = "a.wav") -> str:
    with pytest.raises(TtsMetaError) as error:
        decode(folder, content, name)
    assert str(error.value).startswith(f"{folder / name}: ") and "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{folder / name}: ")


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_is_read_by_its_content_whatever_its_name(tmp_path: Path, container: str) -> None:
    samples, rate = decode(tmp_path, whole(container), "a.txt")
    assert samples.dtype == np.float32 and samples.shape[1] == 1
    # Codecs without a length of their own keep the padding of their first and last frames.
    extra = {"adts": 1280, "asf": 1536, "avi": 1536, "wav_mp3": 1110, "wav_adpcm": 130}.get(container, 0)
    assert 0 <= len(samples) / rate * RATE - LONGEST <= extra
    if container in EXACT:
        np.testing.assert_allclose(samples[:, 0], voice(), atol=EXACT[container])
    elif not extra:
        heard, real = (loudness_of_parts(x, at) for x, at in ((samples[:, 0], rate), (voice(), RATE)))
        assert np.corrcoef(heard, real)[0, 1] > 0.95 and heard.mean() == pytest.approx(real.mean(), rel=0.15)


def loudness_of_parts(samples: Waveform, rate: int) -> Waveform:
    """Root mean square of each tenth of the first 1.2 s."""
    return np.array([np.sqrt(np.mean(part**2)) for part in np.split(samples[: round(1.2 * rate)], 10)])


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("part", [0.02, 0.3, 0.77, 0.98])
def test_every_container_that_is_cut_off_is_refused(tmp_path: Path, container: str, part: float) -> None:
    content = whole(container)
    refusal(tmp_path, content[: int(part * len(content))])


WAV_LENGTHS = [0, 1, LONGEST, 2 * LONGEST - 2, 2 * LONGEST + 1, 2 * LONGEST + 8, 2 * LONGEST + 36, 2 * LONGEST + 44,
               0x7FFFFF00, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0x7FFFEFDC, 0xFFFFFFFF, 0xFFFFFFD3]  # fmt: skip


@pytest.mark.parametrize("length", WAV_LENGTHS)
@pytest.mark.parametrize("behind", [b"", b"LIST\x04\0\0\0INFO"], ids=["alone", "with metadata behind"])
def test_a_wav_of_any_length_in_its_header_is_read_to_its_end(tmp_path: Path, length: int, behind: bytes) -> None:
    samples, _ = decode(tmp_path, with_data_length(whole("wav"), length) + behind)
    np.testing.assert_array_equal(samples[:, 0], decode(tmp_path, whole("wav"))[0][:, 0])


@pytest.mark.parametrize(("subtype", "missing"), [("IMA_ADPCM", 60), ("MS_ADPCM", 60), ("GSM610", 40)])
def test_a_block_of_a_codec_that_is_cut_off_is_refused(tmp_path: Path, subtype: str, missing: int) -> None:
    """A part of a block decodes to noise, even where so few bytes are missing that the header may count itself."""
    content = io.BytesIO()
    soundfile.write(content, voice(), RATE, format="WAV", subtype=subtype)
    with pytest.raises(TtsMetaError, match="truncated"):
        decode(tmp_path, content.getvalue()[:-missing])


def test_a_wav_of_an_unknown_codec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TtsMetaError, match="sound of an unknown codec"):
        decode(tmp_path, with_bytes(whole("wav"), 20, (0x4242).to_bytes(2, "little")))


@pytest.mark.parametrize("length", [2 * LONGEST + 1000, 4 * LONGEST, 0x12345678, 0x90000000])
def test_a_wav_that_promises_more_in_both_its_lengths_is_cut_off(tmp_path: Path, length: int) -> None:
    content = with_bytes(with_data_length(whole("wav"), length), 4, (length + 36).to_bytes(4, "little"))
    assert refusal(tmp_path, content).startswith("truncated, its header promises more than the file holds")


def test_a_wav_whose_outer_length_is_that_of_the_file_is_whole(tmp_path: Path) -> None:
    samples, _ = decode(tmp_path, with_data_length(whole("wav"), 0x12345678))
    assert len(samples) == LONGEST


def test_a_wav_with_metadata_before_and_no_samples_is_empty(tmp_path: Path) -> None:
    content = encode(voice(0.0), "wav") + b"LIST\x04\0\0\0INFO"
    assert refusal(tmp_path, content).startswith("holds no samples")


def test_aiff_is_read_to_its_end_too(tmp_path: Path) -> None:
    content = encode(voice(), "aiff")
    place = content.index(b"SSND") + 4
    for length in (0, 1000, 0x7FFFF000, 0xFFFFFFFF):
        samples, _ = decode(tmp_path, with_bytes(content, place, length.to_bytes(4, "big")))
        np.testing.assert_allclose(samples[:, 0], voice(), atol=1e-4)


@pytest.mark.parametrize("total", [0, 1, LONGEST - 1, LONGEST + 5_000_000_000, 2**36 - 1])
@pytest.mark.parametrize("digest", [True, False], ids=["with MD5", "without MD5"])
def test_a_flac_whose_length_is_unknown_or_wrong_is_read_to_its_end(tmp_path: Path, total: int, digest: bool) -> None:
    content = bytearray(whole("flac"))
    content[21] = content[21] & 0xF0 | total >> 32
    content[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    if not digest:
        content[26:42] = bytes(16)
    samples, rate = decode(tmp_path, bytes(content), "a.flac")
    assert rate == RATE
    np.testing.assert_allclose(samples[:, 0], voice(), atol=1e-4)


@pytest.mark.parametrize("total", [0, LONGEST])
def test_a_flac_with_a_wrong_byte_anywhere_in_its_sound_is_refused(tmp_path: Path, total: int) -> None:
    content = bytearray(whole("flac"))
    content[22:26] = total.to_bytes(4, "big")
    content[26:42] = bytes(16)
    for part in (0.5, 0.6, 0.99):
        broken = with_bytes(bytes(content), int(part * len(content)), b"\x55\xaa")
        assert refusal(tmp_path, broken).startswith("trunc")


@pytest.mark.parametrize("container", ["wav", "flac", "ogg", "mp3", "opus"])
def test_recordings_joined_in_one_file_are_all_read(tmp_path: Path, container: str) -> None:
    one = decode(tmp_path, whole(container))[0]
    joined = decode(tmp_path, whole(container) * 3)[0]
    np.testing.assert_array_equal(joined, np.concatenate([one] * 3))


def test_recordings_of_two_rates_joined_in_one_file_are_refused(tmp_path: Path) -> None:
    assert "unlike formats" in refusal(tmp_path, whole("wav") + encode(voice(rate=8000), "wav", 8000))


def mp3_frames(content: bytes) -> bytes:
    """MP3 without its first frame, which holds the number of the others."""
    from tts_meta.audio.decoding.mpeg import mp3_frame

    first = mp3_frame(content, 0)
    assert first is not None and (b"Xing" in content[:60] or b"Info" in content[:60])
    return content[first.length :]


def test_mp3_without_a_length_of_its_own_is_read_to_its_end(tmp_path: Path) -> None:
    samples, _ = decode(tmp_path, mp3_frames(whole("mp3", 6.0)), "a.mp3")
    assert 6.0 * RATE <= len(samples) <= 6.2 * RATE


def test_mp3_tags_at_both_ends_are_no_damage(tmp_path: Path) -> None:
    tags = b"ID3\x04\0\0\0\0\x01\x00" + bytes(128)
    samples, _ = decode(tmp_path, tags + whole("mp3") + b"TAG" + bytes(125), "a.mp3")
    assert len(samples) == LONGEST


def test_an_mp3_with_a_hole_is_refused(tmp_path: Path) -> None:
    content = whole("mp3", 4.0)
    assert refusal(tmp_path, content[:5000] + content[5300:]).startswith("truncated or damaged (no MP3 frame at byte")


@pytest.mark.parametrize("damage", ["byte", "page"])
def test_an_ogg_with_a_wrong_byte_or_a_page_missing_is_refused(tmp_path: Path, damage: str) -> None:
    content = whole("ogg", 6.0)
    pages = [place for place in range(len(content)) if content[place : place + 4] == b"OggS"]
    if damage == "byte":
        broken = with_bytes(content, len(content) - 500, bytes([content[-500] ^ 1]))
    else:
        broken = content[: pages[-2]] + content[pages[-1] :]
    assert refusal(tmp_path, broken).startswith("truncated or damaged")


@pytest.mark.parametrize("factor", [1.0001, 2.5, 30.0, 32768.0, 2.0**23, 2.0**31, 1e37, 1e38])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_of_any_scale_are_the_same_speech(tmp_path: Path, factor: float, subtype: str) -> None:
    speech = voice() / np.abs(voice()).max()
    soundfile.write(tmp_path / "a.wav", speech * factor, RATE, subtype=subtype)
    loaded = load_speech(tmp_path / "a.wav", CONFIG).waveform
    soundfile.write(tmp_path / "b.wav", speech, RATE, subtype=subtype)
    np.testing.assert_allclose(loaded, load_speech(tmp_path / "b.wav", CONFIG).waveform, atol=1e-5)


def test_doubles_beyond_single_precision_are_scaled_before_they_are_cast(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", voice().astype(np.float64) * 1e200, RATE, subtype="DOUBLE")
    np.testing.assert_allclose(
        decode_audio(tmp_path / "a.wav")[0][:, 0], voice() / np.abs(voice()).max(), rtol=1e-4, atol=1e-6
    )


def test_floats_within_full_scale_stay_as_they_are() -> None:
    np.testing.assert_array_equal(scale_floats(np.array([-1.0, 0.5])), np.array([-1.0, 0.5], np.float32))


@pytest.mark.parametrize("form", ["MP3", "OGG"])
def test_clipped_speech_is_seen_through_codecs_and_loud_speech_is_not_called_so(tmp_path: Path, form: str) -> None:
    loud = voice(3.0) / np.abs(voice(3.0)).max() * 2.5
    for name, samples in (("hot", loud), ("flat", np.clip(loud, -1, 1))):
        soundfile.write(tmp_path / name, samples, RATE, format=form)
    assert clipped_fraction(decode_audio(tmp_path / "hot")[0]) == 0
    assert clipped_fraction(decode_audio(tmp_path / "flat")[0]) > 0.01


def test_a_pure_tone_at_full_scale_is_not_clipped() -> None:
    for frequency in (100, 200, 440):
        tone = np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE)
        assert clipped_fraction((np.round(tone * 32767) / 32768)[:, None].astype(np.float32)) == 0


def resource(kind: str) -> bytes:
    """Something that is no recording."""
    return {
        "web page": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "MIDI": b"MThd\0\0\0\x06\0\1\0\1\0\x60MTrk" + bytes(50),
        "video": video_without_sound(),
        "zip": b"PK\x03\x04" + bytes(range(200)),
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(range(200)),
        "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(range(200)),
        "playlist": b"#EXTM3U\nhttp://example.com/a.ts\n",
        "LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 1\n",
        "text": "Être ou ne pas être.\n".encode() * 300,
        "JSON": b'{"a": [1, 2]}',
        "zeros": bytes(5000),
        "macOS": b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(100),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("web page", "a web page (HTML)"),
        ("MIDI", "a MIDI file, which holds notes but no sound"),
        ("video", "a video without sound"),
        ("zip", "a ZIP archive"),
        ("picture", "a picture (PNG)"),
        ("JPEG", "a picture (JPEG)"),
        ("playlist", "a playlist"),
        ("LFS", "a Git LFS pointer"),
        ("text", "a text file"),
        ("JSON", "a JSON document"),
        ("zeros", "nothing but zeros"),
        ("macOS", "a macOS resource file"),
    ],
)
def test_what_is_no_recording_is_called_what_it_is(tmp_path: Path, kind: str, said: str, capfd) -> None:
    assert said in refusal(tmp_path, resource(kind))
    assert capfd.readouterr() == ("", "")


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "real.wav").write_bytes(whole("wav"))
    for content in (b"ffconcat version 1.0\nfile real.wav\n", b"#EXTM3U\n#EXTINF:1,\nreal.wav\n"):
        refusal(tmp_path, content)


@pytest.mark.parametrize("container", ["mp3", "flac", "ogg", "m4a", "adts", "webm"])
def test_no_library_writes_to_the_terminal(tmp_path: Path, container: str, capfd) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for content in (whole(container), whole(container)[:-700], with_bytes(whole(container), 3000, bytes(300))):
            try:
                decode(tmp_path, content)
            except TtsMetaError:
                continue
    assert capfd.readouterr() == ("", "")


def test_a_small_file_of_many_hours_is_refused_in_little_time_and_memory(tmp_path: Path) -> None:
    import time
    import tracemalloc

    bomb = io.BytesIO()
    with soundfile.SoundFile(bomb, "w", RATE, 1, format="FLAC") as handle:
        for _ in range(40):
            handle.write(np.zeros(60 * RATE, np.int16))
    content = bytearray(bomb.getvalue())
    content[21], content[22:26], content[26:42] = content[21] & 0xF0, bytes(4), bytes(16)
    tracemalloc.start()
    began = time.process_time()
    assert "2400 s long, at most 60 s" in refusal(tmp_path, bomb.getvalue())
    assert "longer than 60 s" in refusal(tmp_path, bytes(content))
    assert tracemalloc.get_traced_memory()[1] < 100e6 and time.process_time() - began < 5
    tracemalloc.stop()


CASES = {
    "audio_flac_piped": {"piped.flac": 46160, "piped2.flac": 46160},
    "audio_float_hot": {"hot.wav": 46160, "int16asfloat.wav": 46160},
    "audio_m4a": {"m4a_named.wav": 46160, "voice.m4a": 46160, "voice2.webm": 138688},
    "audio_wav_header_plus": {f"plus{extra}.wav": 46160 for extra in (1, 8, 16, 44)},
    "audio_wav_piped": {"arecord.wav": 46160, "espeak.wav": 62758, "sox.wav": 46160, "x80000000.wav": 46160},
    "audio_wav_short_header": {"short.wav": 46160},
    "audio_wav_zero_length": {"zero.wav": 46160},
    "fuzz": {"gsm.wav": 59280},
}


@pytest.mark.parametrize("case", CASES)
def test_cases_are_read_whole_by_prepare_training_and_clone(tmp_path: Path, case: str) -> None:
    for name, length in CASES[case].items():
        path = case_folder(case) / name
        samples, rate = decode_audio(path)
        assert len(samples) == length
        utterance = to_utterance(Recording("a", "ann", path, "Some text."))
        assert not isinstance(utterance, str) and utterance.seconds == pytest.approx(length / rate)
        assert len(load_recording(path, CONFIG)) // 256 + 1 >= len(FeatureCache(tmp_path, CONFIG).mel(path)) > 100


def test_the_two_hot_files_are_the_same_speech_as_the_plain_one() -> None:
    plain = load_speech(case_folder("audio_wav_header_plus") / "plus1.wav", CONFIG).waveform
    for name in ("hot.wav", "int16asfloat.wav"):
        heard = load_speech(case_folder("audio_float_hot") / name, CONFIG).waveform
        np.testing.assert_allclose(heard, plain, atol=2e-4)


def test_what_prepare_accepts_training_reads(tmp_path: Path) -> None:
    manifest = prepare("folder", case_folder("prepare_accepts_train_refuses") / "corpus", tmp_path / "out")
    cache = FeatureCache(tmp_path / "cache", CONFIG)
    assert len(manifest) == 6 and all(len(cache.mel(one.audio)) > 100 for one in manifest)


def test_prepare_training_and_clone_take_the_same_damaged_files(tmp_path: Path) -> None:
    """The rule is one function; the fuzz target `audio agreement` tries many more."""
    random = np.random.default_rng(0)
    taken = refused = 0
    for container in ("wav", "wav_float", "flac", "ogg", "mp3", "m4a", "webm"):
        content = whole(container, 0.6)
        for place in random.integers(0, len(content), 12):
            kind = place % 3
            damaged = bytearray(content[:place] if kind == 0 else content)
            if kind:
                damaged[place % 64 if kind == 1 else place] ^= 1 + int(random.integers(255))
            path = tmp_path / "a.wav"
            path.write_bytes(damaged)
            outcomes = []
            for attempt in (
                FeatureCache(tmp_path / "cache", CONFIG).compute,
                lambda path: load_recording(path, CONFIG),
            ):
                try:
                    attempt(path)
                    outcomes.append(None)
                except TtsMetaError as error:
                    outcomes.append(str(error))
            prepared = to_utterance(Recording("a", "ann", path, "Some text."))
            outcomes.append(
                f"{path}: {prepared.removeprefix('unusable audio: ')}" if isinstance(prepared, str) else None
            )
            assert len(set(outcomes)) == 1, outcomes
            taken, refused = taken + (outcomes[0] is None), refused + (outcomes[0] is not None)
    assert taken > 5 and refused > 20


def test_libav_is_asked_for_what_libsndfile_does_not_read() -> None:
    for container in ("m4a", "webm", "adts", "asf"):
        assert container in BY_LIBAV
        with pytest.raises(soundfile.LibsndfileError):
            soundfile.SoundFile(io.BytesIO(whole(container)))


def test_reading_at_another_rate_is_of_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(whole("m4a"))
    assert len(read_audio(tmp_path / "a.m4a", 22050)) == pytest.approx(1.2 * 22050, abs=1)
