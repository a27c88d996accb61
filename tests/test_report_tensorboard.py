from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tts_meta.config import MelConfig
from tts_meta.errors import TtsMetaError
from tts_meta.report import Log, NullLog, RunLog, mel_picture


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "audio": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


def use(log: Log, mel: np.ndarray, sound: np.ndarray) -> None:
    log.scalar("loss/train", 2.5, 1)
    log.scalar("loss/train", torch.tensor(1.5), 2)
    log.audio("speech/cloned", sound, 22050, 2)
    log.mel("mel/cloned", torch.from_numpy(mel), 2)
    log.picture("align/cloned", np.zeros((4, 6, 3), dtype=np.uint8), 2)
    log.text("text/note", "two *words*", 2)
    log.flush()


def test_what_is_logged_is_what_tensorboard_reads(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mel, sound = rng.normal(-5, 2, (40, 80)).astype(np.float32), rng.uniform(-1, 1, 2205).astype(np.float32)
    with RunLog(tmp_path / "run") as log:
        use(log, mel, sound)
    events = read(tmp_path / "run")
    assert [(event.step, event.value) for event in events.Scalars("loss/train")] == [(1, 2.5), (2, 1.5)]
    (clip,) = events.Audio("speech/cloned")
    samples, rate = soundfile.read(io.BytesIO(clip.encoded_audio_string), dtype="float32")
    assert (rate, clip.step) == (22050, 2)
    np.testing.assert_allclose(samples, sound, atol=2 / 32768)
    (picture,) = events.Images("mel/cloned")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture.encoded_image_string))), mel_picture(mel))
    assert events.Images("align/cloned")[0].width == 6
    assert events.Tensors("text/note/text_summary")[0].tensor_proto.string_val[0] == b"two *words*"


def test_mels_of_another_shape_are_drawn_by_their_own_config(tmp_path: Path) -> None:
    with RunLog(tmp_path, MelConfig(n_mels=20)) as log:
        log.mel("mel/small", np.zeros((9, 20), dtype=np.float32), 0)
    assert len(read(tmp_path).Images("mel/small")) == 1


def test_a_sound_out_of_range_or_not_a_number_does_not_stop_a_run(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.audio("speech/broken", torch.tensor([0.0, 3.0, -3.0, torch.nan, torch.inf]), 8000, 0)
    (clip,) = read(tmp_path).Audio("speech/broken")
    samples, _ = soundfile.read(io.BytesIO(clip.encoded_audio_string))
    np.testing.assert_allclose(samples, [0, 1, -1, 0, 1], atol=1e-3)


def test_a_resumed_run_hides_what_the_killed_one_logged_after_its_checkpoint(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        for step in (1, 2, 3):
            log.scalar("loss", 10.0 + step, step)
    with RunLog(tmp_path, resume_step=2) as log:
        log.scalar("loss", 2.0, 2)
    assert [(event.step, event.value) for event in read(tmp_path).Scalars("loss")] == [(1, 11.0), (2, 2.0)]


def test_a_run_that_fails_still_has_its_log_on_disk(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), RunLog(tmp_path) as log:
        log.scalar("loss", 1.0, 1)
        raise KeyboardInterrupt
    assert len(read(tmp_path).Scalars("loss")) == 1


def test_a_log_for_nobody_takes_the_same_calls_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with NullLog() as log:
        use(log, np.zeros((4, 80), dtype=np.float32), np.zeros(10, dtype=np.float32))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(TtsMetaError, match=r"cannot write logs to .*taken.*choose another"):
        RunLog(tmp_path / "taken" / "run")
