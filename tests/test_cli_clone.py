"""`tts-meta clone`: the voice, the printed summary, vocoder modules, transcripts and the log."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from commands import Result, write_base, write_recordings
from helpers import RATE

from tts_meta.adapt import CloneSettings, Voice
from tts_meta.adapt import clone as clone_voice
from tts_meta.models.pretrained import load_base
from tts_meta.synth import speak as speak_in

GRIFFIN_LIM = ("--vocoder", "griffin-lim")
QUICK = ("--steps", 3, "--learning-rate", 0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny base and five recordings."""
    folder = tmp_path_factory.mktemp("clone")
    write_base(folder / "base")
    write_recordings(folder, 5)
    return folder


def clone(run_cli, folder: Path, out: Path, *options: object) -> Result:
    """Run `tts-meta clone` on all recordings of the folder."""
    audio = sorted(folder.glob("say*.wav"))
    return run_cli("clone", *audio, "-o", out, "--base", folder / "base", *QUICK, *options)


def test_a_cloned_voice_can_be_inspected_and_speaks(run_cli, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "ann.voice.safetensors"
    cloned = clone(run_cli, folder, out, "--consent", "Ann, today", "--json")
    assert cloned.status == 0 and cloned.err == ""
    assert cloned.json["bytes"] == out.stat().st_size and cloned.json["sentences"] == 5
    assert "held_out_after" not in cloned.json

    inspected = run_cli("inspect", out, "--json").json
    assert inspected["consent"] == "Ann, today" and inspected["steps"] == 3
    assert inspected["base"] == load_base(folder / "base").hash and inspected["modules"] == cloned.json["modules"]

    command = ("speak", out, "abc de.", "--base", folder / "base", *GRIFFIN_LIM, "-o")
    assert run_cli(*command, tmp_path / "a.wav").status == 0
    samples, rate = soundfile.read(tmp_path / "a.wav")
    assert rate == RATE and len(samples) > 1000
    expected = speak_in(out, "abc de.", base=folder / "base", vocoder="griffin-lim")
    np.testing.assert_allclose(samples, np.clip(expected.samples, -1, 1), atol=1e-4)


def test_the_command_and_the_library_clone_the_same_voice(run_cli, folder: Path, tmp_path: Path) -> None:
    clone(run_cli, folder, tmp_path / "a.voice.safetensors", "--modules", "decoder.*", "--variance", 0.5, "--seed", 7)
    settings = CloneSettings(("decoder.*",), steps=3, learning_rate=0.01, variance=0.5, seed=7)
    clone_voice(sorted(folder.glob("say*.wav")), base=folder / "base", settings=settings).save(
        tmp_path / "b.voice.safetensors"
    )
    by_command, by_library = (Voice.load(tmp_path / f"{name}.voice.safetensors") for name in "ab")
    assert by_command.modules == by_library.modules
    assert all(name.startswith("decoder.") for name in by_command.modules)
    assert all(torch.equal(delta, by_library.deltas[name]) for name, delta in by_command.deltas.items())


def test_clone_prints_the_file_the_loss_and_the_next_command(run_cli, folder, tmp_path) -> None:
    out = tmp_path / "a.voice.safetensors"
    printed = clone(run_cli, folder, out).out
    assert printed.startswith(f"{out}: ") and "5 sentences" in printed and "held-out" not in printed
    assert f"tts-meta speak {out} " in printed.splitlines()[-1]
    with_held_out = clone(run_cli, folder, out, "--force", "--hold-out", 2).out
    assert re.search(r"adapted to 3 sentences, [\d.]+ s of speech, in 3 steps\n", with_held_out)
    assert re.search(r"NLL per frame of the held-out sentences: -?[\d.]+ nats before, -?[\d.]+ after\n", with_held_out)
    refused = clone(run_cli, folder, out, "--force", "--hold-out", 5)
    assert refused.failed(2, "5 of 5 sentences cannot be held out; hold out 0 to 4")


def test_clone_adapts_the_given_modules_of_the_vocoder(run_cli, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.voice.safetensors"
    modules = ("--modules", "speaker.mean", "--modules", "vocoder.net.output", "--vocoder-steps", 2)
    result = clone(run_cli, folder, out, *modules, "--log", tmp_path / "log")
    assert result.status == 0 and "vocoder adapted in 2 steps\n" in result.out
    printed = clone(run_cli, folder, out, *modules, "--hold-out", 1, "--force").out
    assert "\nspectral distance of the held-out sentences: " in printed
    assert clone(run_cli, folder, out, *modules, "--force").status == 0
    voice = Voice.load(out)
    assert voice.modules == ("speaker.mean", "vocoder.net.output.weight", "vocoder.net.output.bias")
    assert voice.scores["vocoder_steps"] == 2
    command = ("speak", out, "abc de.", "--base", folder / "base", "-o")
    assert run_cli(*command, tmp_path / "a.wav").err == ""
    expected = speak_in(voice, "abc de.", base=folder / "base").samples
    np.testing.assert_allclose(soundfile.read(tmp_path / "a.wav")[0], np.clip(expected, -1, 1), atol=1e-4)
    other = run_cli(*command, tmp_path / "b.wav", *GRIFFIN_LIM)
    assert other.status == 0 and "is another one and is used without adaptation" in other.err
    assert clone(run_cli, folder, out, *modules, "--force", *GRIFFIN_LIM).failed(
        2, "only the light vocoder has modules"
    )


def test_clone_reads_transcripts_from_a_file(run_cli, folder: Path, tmp_path: Path) -> None:
    audio = sorted(folder.glob("say*.wav"))[0]
    copy = tmp_path / "copy.wav"
    copy.write_bytes(audio.read_bytes())
    (tmp_path / "list.txt").write_text(f"copy|{audio.with_suffix('.txt').read_text()}\n")
    out = tmp_path / "a.voice.safetensors"
    options = ("-o", out, "--base", folder / "base", "--steps", 1, "--transcripts", tmp_path / "list.txt", "--json")
    assert run_cli("clone", copy, *options).json["sentences"] == 1


def test_the_log_of_a_clone_holds_losses_and_audio_of_the_recording_base_and_clone(run_cli, folder, tmp_path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):  # The second log replaces the first.
        options = ("--log", tmp_path / "log", *GRIFFIN_LIM, "--force", "--hold-out", 1)
        clone(run_cli, folder, tmp_path / "a.voice.safetensors", *options)
    assert len(list((tmp_path / "log").iterdir())) == 1
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    tags = events.Tags()
    samples = {f"sentence_{n}/{name}" for n in (1, 2, 3) for name in ("1_real", "2_base", "3_clone")}
    assert [event.step for event in events.Scalars("clone/loss")] == [1, 2, 3]
    assert "clone/held_out_loss" in tags["scalars"] and set(tags["audio"]) == {f"audio/{name}" for name in samples}
    assert set(tags["images"]) == {f"mel/{name}" for name in samples}


def test_a_log_folder_that_is_not_empty_is_refused_without_force(run_cli, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "mine.txt").touch()
    result = clone(run_cli, folder, tmp_path / "a.voice.safetensors", "--log", tmp_path / "log")
    assert result.failed(2, "not empty", "--force")
