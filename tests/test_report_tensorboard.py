from __future__ import annotations

import html
import io
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import markdown
import numpy as np
import pytest
import soundfile
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tts_meta.audio.mel import MelConfig
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.report import Log, NullLog, TensorBoardLog, draw_mel
from tts_meta.report.run_info import RunInfo, markdown_table


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "audio": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


def use(log: Log, mel: np.ndarray, sound: np.ndarray) -> None:
    log.scalar("loss/train", 2.5, 1)
    log.scalar("loss/train", torch.tensor(1.5), 2)
    log.histogram("histogram/x", torch.arange(3.0), 2)
    log.audio("audio/cloned", sound, 22050, 2, "words")
    log.mel("mel/cloned", torch.from_numpy(mel), 2, "words")
    log.image("figure/align", np.zeros((4, 6, 3), dtype=np.uint8), 2)
    log.text("text/note", "two *words*", 2)
    log.hparams({"rate": 0.1})
    log.flush()


def test_what_is_logged_is_what_tensorboard_reads(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mel, sound = rng.normal(-5, 2, (40, 80)).astype(np.float32), rng.uniform(-1, 1, 2205).astype(np.float32)
    with TensorBoardLog(tmp_path / "run") as log:
        use(log, mel, sound)
    events = read(tmp_path / "run")
    assert [(event.step, event.value) for event in events.Scalars("loss/train")] == [(1, 2.5), (2, 1.5)]
    (clip,) = events.Audio("audio/cloned")
    samples, rate = soundfile.read(io.BytesIO(clip.encoded_audio_string), dtype="float32")
    assert (rate, clip.step) == (22050, 2)
    np.testing.assert_allclose(samples, sound, atol=2 / 32768)
    (picture,) = events.Images("mel/cloned")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture.encoded_image_string))), draw_mel(mel))
    assert events.Images("figure/align")[0].width == 6
    assert events.Tensors("text/note")[0].tensor_proto.string_val[0] == b"two *words*"


def test_a_mel_config_gives_the_shape_of_mels(tmp_path: Path) -> None:
    with TensorBoardLog(tmp_path, MelConfig(n_mels=20)) as log:
        log.mel("mel/small", np.zeros((9, 20), dtype=np.float32), 0)
    assert len(read(tmp_path).Images("mel/small")) == 1


def test_audio_that_is_out_of_range_or_not_finite_does_not_stop_a_run(tmp_path: Path) -> None:
    with TensorBoardLog(tmp_path) as log:
        log.audio("audio/broken", torch.tensor([0.0, 3.0, -3.0, torch.nan, torch.inf]), 8000, 0)
    (clip,) = read(tmp_path).Audio("audio/broken")
    samples, _ = soundfile.read(io.BytesIO(clip.encoded_audio_string))
    np.testing.assert_allclose(samples, [0, 1, -1, 0, 1], atol=1e-3)


def test_a_resumed_run_hides_entries_that_the_stopped_run_logged_after_its_checkpoint(tmp_path: Path) -> None:
    with TensorBoardLog(tmp_path) as log:
        for step in (1, 2, 3):
            log.scalar("loss", 10.0 + step, step)
    with TensorBoardLog(tmp_path, resume_step=2) as log:
        log.scalar("loss", 2.0, 2)
    assert [(event.step, event.value) for event in read(tmp_path).Scalars("loss")] == [(1, 11.0), (2, 2.0)]


def test_a_run_that_fails_still_has_its_log_on_disk(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), TensorBoardLog(tmp_path) as log:
        log.scalar("loss", 1.0, 1)
        raise KeyboardInterrupt
    assert len(read(tmp_path).Scalars("loss")) == 1


def test_a_null_log_takes_the_same_calls_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with NullLog() as log:
        use(log, np.zeros((4, 80), dtype=np.float32), np.zeros(10, dtype=np.float32))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_created_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(TtsMetaError, match=r"cannot write logs to .*taken.*choose another"):
        TensorBoardLog(tmp_path / "taken" / "run")


def _kinds(log: Log, tag: str) -> dict[str, Callable[[], None]]:
    """An entry of each kind under the tag."""
    return {
        "scalar": lambda: log.scalar(tag, 1.0, 0),
        "histogram": lambda: log.histogram(tag, np.arange(3.0), 0),
        "audio": lambda: log.audio(tag, np.ones(10, np.float32), 8000, 0),
        "mel": lambda: log.mel(tag, np.zeros((4, 80), np.float32), 0),
        "figure": lambda: log.image(tag, np.zeros((4, 6, 3), np.uint8), 0),
        "text": lambda: log.text(tag, "words", 0),
    }


@pytest.mark.parametrize("first", ["scalar", "histogram", "audio", "mel", "figure", "text"])
def test_a_tag_with_entries_of_one_kind_takes_no_other_kind(tmp_path: Path, first: str) -> None:
    with TensorBoardLog(tmp_path) as log:
        _kinds(log, "x/y")[first]()
        _kinds(log, "x/y")[first]()
        for kind, write in _kinds(log, "x/y").items():
            if kind != first:
                with pytest.raises(
                    UsageError, match=rf"^tag 'x/y' already has entries of kind {first}, .*'{kind}/x/y'$"
                ):
                    write()
    tags = {name: found for name, found in read(tmp_path).Tags().items() if name != "distributions"}  # of histograms
    assert sum(len(found) for found in tags.values() if isinstance(found, list)) == 1


@pytest.mark.parametrize("prefix", ["histogram", "audio", "mel", "figure", "text"])
def test_tags_that_begin_with_a_kind_take_only_that_kind(tmp_path: Path, prefix: str) -> None:
    with TensorBoardLog(tmp_path) as log:
        for kind, write in _kinds(log, f"{prefix}/y").items():
            if kind != prefix:
                with pytest.raises(
                    UsageError, match=f"^tag '{prefix}/y' cannot be of kind {kind}: tags of kind {prefix}"
                ):
                    write()
        _kinds(log, f"{prefix}/y")[prefix]()


def test_audio_of_one_sample_is_logged_and_audio_without_samples_is_refused(tmp_path: Path) -> None:
    with TensorBoardLog(tmp_path) as log:
        log.audio("audio/short", np.ones(1, np.float32), 8000, 0)
        with pytest.raises(UsageError, match="'audio/none': audio without samples"):
            log.audio("audio/none", np.zeros(0, np.float32), 8000, 0)
    assert read(tmp_path).Tags()["audio"] == ["audio/short"]


def test_names_that_cannot_be_encoded_do_not_stop_a_run(tmp_path: Path) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    with TensorBoardLog(tmp_path) as log:
        log.audio(f"audio/{name}", np.ones(9, np.float32), 8000, 0, name)
        log.text("text/name", name, 0)
        log.hparams({"name": name})
    assert read(tmp_path).Tags()["audio"] == ["audio/caf?"]


def test_a_histogram_omits_values_that_are_not_finite(tmp_path: Path) -> None:
    with TensorBoardLog(tmp_path) as log:
        log.histogram("histogram/x", np.array([1.0, np.nan, np.inf, 3.0]), 0)
        log.histogram("histogram/none", torch.tensor([torch.nan]), 0)
    events = EventAccumulator(str(tmp_path), size_guidance={"histograms": 0})
    events.Reload()
    assert events.Tags()["histograms"] == ["histogram/x"]
    found = events.Histograms("histogram/x")[0].histogram_value
    assert (found.num, found.min, found.max) == (2, 1, 3)


def test_replace_removes_the_event_files_in_the_folder_and_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    for value in (1.0, 2.0):
        with TensorBoardLog(tmp_path, replace=True) as log:
            log.scalar("loss", value, 1)
    assert [event.value for event in read(tmp_path).Scalars("loss")] == [2.0]
    assert len(list(tmp_path.iterdir())) == 2


def test_command_data_and_settings_of_a_run_are_texts_in_the_form_of_a_recipe() -> None:
    log = Mock(spec=TensorBoardLog)
    settings = {"steps": 3, "modules": [], "inner": {"rate": 0.5, "names": ["a", "b"]}, "base": None}
    RunInfo("tts-meta x 'a b'", {"speakers": ["<b>"]}, settings).log(log, 7)
    texts = {call.args[0]: call.args[1:] for call in log.text.call_args_list}
    assert texts["text/command"][0].splitlines()[0] == "    tts-meta x 'a b'" and texts["text/command"][1] == 7
    assert texts["text/data"][0].splitlines() == ["    speakers:", "    - <b>"]
    lines = [line.removeprefix("    ") for line in texts["text/settings"][0].splitlines()]
    assert yaml.safe_load("\n".join(lines)) == settings
    log.hparams.assert_called_once_with({"steps": 3, "inner.rate": 0.5, "inner.names": "a, b"})


def test_cells_of_a_markdown_table_are_escaped() -> None:
    table = markdown_table(("Sound", "Text"), [("a_b", "1 | 2\n*3* <b>`&`</b> [x](y) \\ ~~z~~")])
    page = markdown.markdown(table, extensions=["markdown.extensions.tables"])  # as TensorBoard does
    (text,) = re.findall("<td>(.*)</td>", page.split("<tr>")[2])[1:]
    assert html.unescape(text) == "1 | 2 *3* <b>`&`</b> [x](y) \\ ~~z~~" and "<b>" not in page


def test_a_long_command_is_wrapped_into_lines_that_a_shell_joins() -> None:
    log, words = Mock(spec=TensorBoardLog), ["tts-meta", "clone", *(f"a folder/{n}.wav" for n in range(20)), "-o", "x"]
    RunInfo(shlex.join(words), {}, {}).log(log)
    block = next(call.args[1] for call in log.text.call_args_list if call.args[0] == "text/command").split("\n\n")[0]
    lines = block.splitlines()
    assert len(lines) > 3 and max(map(len, lines)) < 110 and all(line.startswith("    ") for line in lines)
    assert shlex.split(block.replace("\\\n", " ")) == words
    RunInfo("it's mine", {}, {}).log(log)
    assert log.text.call_args_list[3].args[1].startswith("    it's mine\n")
