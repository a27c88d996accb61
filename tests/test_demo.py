"""The demo: the files of its folder, the scores, the page, the log, and what it never overwrites."""

from __future__ import annotations

import html
import io
import json
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
import torch
from helpers import same_weights, tiny_config
from rich.console import Console

from tts_meta.adapt import Voice
from tts_meta.audio import read_audio
from tts_meta.demo import run
from tts_meta.demo.folder import check_replaceable, list_files
from tts_meta.demo.speaker import NEW, RECORDED, REFERENCE, HibariSpeaker
from tts_meta.demo.summary import VOICE_FILE
from tts_meta.errors import UsageError
from tts_meta.evaluate import SpeakerEncoder
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.text import HibariPhonemizer, SymbolTable

SYSTEMS = ("real", "base", "clone")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """An untrained base for English text that speaks noise of a plausible duration."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        symbols = SymbolTable.from_alphabet(HibariPhonemizer().alphabet())
        made = Base.create(tiny_config(phonemizer="hibari"), symbols, ("ann", "ben"))
    with torch.no_grad():
        made.acoustic.mel_mean.fill_(-5.0)
        made.acoustic.mel_scale.fill_(2.0)
        made.acoustic.duration.output.bias.fill_(1.6)
    folder = tmp_path_factory.mktemp("base") / "base"
    save_base(made, folder)
    return load_base(folder)


def run_demo(out: Path, base: Base) -> str:
    """Run the demo without a terminal and return its output."""
    printed = io.StringIO()
    page = run(out, steps=2, base=base, vocoder="griffin-lim", console=Console(file=printed, width=40))
    assert page == out / "index.html"
    return printed.getvalue()


@pytest.fixture(scope="module")
def demo(base: Base, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("demo") / "out"
    return out, run_demo(out, base)


def results_of(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text("utf-8"))


def test_the_demo_writes_all_files_into_one_folder(demo: tuple[Path, str]) -> None:
    out, _ = demo
    expected = {f"recordings/{n}.{kind}" for n in range(1, 6) for kind in ("wav", "txt")}
    expected |= {f"{system}/{n}.wav" for system in SYSTEMS for n in range(1, 5)}
    expected |= {f"references/{n}.wav" for n in range(1, 6)}
    expected |= {VOICE_FILE, "index.html", "results.json"}
    found = list_files(out)
    logs = [name for name in found if name.startswith("logs/")]
    assert set(found) - set(logs) == expected
    assert logs and all("events.out.tfevents" in name for name in logs)
    assert results_of(out)["files"] == found
    assert [path.name for path in out.parent.iterdir()] == ["out"]  # no temporary folder remains


def test_recordings_have_the_sample_rate_of_the_speaker_and_a_text_file_each(demo: tuple[Path, str]) -> None:
    out, _ = demo
    speaker = HibariSpeaker()
    for number, sentence in enumerate(RECORDED, start=1):
        samples, rate = soundfile.read(out / f"recordings/{number}.wav")
        assert rate == speaker.rate == 24000
        np.testing.assert_allclose(samples, speaker.speak(sentence, 0), atol=1e-4)
        assert (out / f"recordings/{number}.txt").read_text("utf-8") == f"{sentence}\n"


def test_new_sentences_are_not_cloned_from_and_the_clone_differs_from_the_base(demo: tuple[Path, str]) -> None:
    out, _ = demo
    assert len({*NEW, *RECORDED, *REFERENCE}) == len(NEW) + len(RECORDED) + len(REFERENCE)
    for number in range(1, 5):
        contents = {(out / f"{system}/{number}.wav").read_bytes() for system in SYSTEMS}
        assert len(contents) == 3


def test_the_voice_file_belongs_to_its_base_and_states_its_recordings(demo: tuple[Path, str], base: Base) -> None:
    out, _ = demo
    voice = Voice.load(out / VOICE_FILE)
    voice.apply(base)
    results = results_of(out)
    assert results["base"] == voice.base_hash == base.hash
    assert (voice.steps, voice.scores["sentences"]) == (2, 5)
    assert "synthetic" in voice.consent
    assert results["voice"]["bytes"] == (out / VOICE_FILE).stat().st_size


def test_similarities_are_measured_on_the_written_files(demo: tuple[Path, str]) -> None:
    out, printed = demo
    results, encoder = results_of(out), SpeakerEncoder.load()

    def embed(name: str) -> np.ndarray:
        return encoder.embed(read_audio(out / name, 22050), 22050)

    voice = np.mean([embed(f"references/{n}.wav") for n in range(1, 6)], axis=0)
    voice /= np.linalg.norm(voice)
    for system in SYSTEMS:
        values = [float(embed(f"{system}/{n}.wav") @ voice) for n in range(1, 5)]
        stated = [sentence[system]["similarity"] for sentence in results["sentences"]]
        np.testing.assert_allclose(stated, values, atol=1e-4)
        assert results["similarity"][system] == pytest.approx(np.mean(values), abs=1e-4)
        assert f"{np.mean(values):.3f}" in printed
        for sentence in results["sentences"]:
            info = soundfile.info(out / sentence[system]["file"])
            assert sentence[system]["seconds"] == pytest.approx(info.frames / info.samplerate, abs=1e-3)
    assert results["similarity"]["real"] > 0.8


def test_every_link_of_the_page_is_a_file_of_the_folder(demo: tuple[Path, str]) -> None:
    out, _ = demo
    page = (out / "index.html").read_text("utf-8")
    linked = {unquote(source) for source in re.findall(r'<audio[^>]* src="([^"]+)"', page)}
    assert linked == {name for name in list_files(out) if name.endswith(".wav")}
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)  # no external resources
    assert page.count('class="mel"') == len(linked)
    for sentence in NEW:
        assert f"<h3>{sentence}</h3>" in html.unescape(page)
    assert str(out.parent) not in page and ".tmp" not in page
    assert "metallic" not in page  # Griffin-Lim was requested, so there is no notice


def test_logs_contain_the_loss_the_audio_and_the_images(demo: tuple[Path, str]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out, _ = demo
    events = EventAccumulator(str(out / "logs"))
    events.Reload()
    tags = events.Tags()
    assert "cloning/loss" in tags["scalars"] and "cloning/held_out" not in tags["scalars"]
    assert len(events.Scalars("cloning/loss")) == 2
    clips = {f"sentence_{n}/{name}" for n in range(1, 5) for name in ("1_real", "2_base", "3_clone")}
    support = {f"audio/support/{n}" for n in range(1, 6)}
    assert set(tags["audio"]) == {f"audio/{clip}" for clip in clips} | support
    assert set(tags["images"]) == {f"mel/{clip}" for clip in clips} | {"figure/similarity"}
    similarity = results_of(out)["similarity"]
    for system in SYSTEMS:
        assert events.Scalars(f"similarity/{system}")[0].value == pytest.approx(similarity[system], abs=1e-4)


def test_the_output_lists_files_and_commands_on_separate_lines(demo: tuple[Path, str]) -> None:
    out, printed = demo
    lines = printed.splitlines()
    assert f'Speak:  tts-meta speak {out}/demo.voice.safetensors "Any other words." -o words.wav' in "\n".join(lines)
    assert any(line.endswith(f"tensorboard --logdir {out}/logs") for line in lines)
    assert f"Listen: open {out}/index.html in a browser." in lines
    assert ".tmp" not in printed
    stages = next(line for line in lines if line.startswith("Seconds: "))
    for stage in ("load", "record", "clone", "speak", "score", "report"):
        assert f"{stage} " in stages


def test_a_second_run_replaces_the_first_with_the_same_audio(demo: tuple[Path, str], base: Base) -> None:
    out, _ = demo
    before = {name: (out / name).read_bytes() for name in list_files(out)}
    voice = Voice.load(out / VOICE_FILE)
    (out / ".DS_Store").touch()
    run_demo(out, base)
    after = {name: (out / name).read_bytes() for name in list_files(out)}
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    # The seconds differ, and the order of entries in a safetensors header varies.
    assert {name for name in changed if not name.startswith("logs/")} <= {"results.json", VOICE_FILE}
    second_voice = Voice.load(out / VOICE_FILE)
    assert same_weights(voice.deltas, second_voice.deltas) and voice.scores == second_voice.scores
    first, second = json.loads(before["results.json"]), json.loads(after["results.json"])
    for key in first.keys() - {"seconds", "real_time_factor", "files"}:
        assert first[key] == second[key], key
    assert len([name for name in after if name.startswith("logs/")]) == 1


def test_a_folder_with_other_files_is_refused_and_not_changed(tmp_path: Path, base: Base) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"thesis\.txt.*--output"):
        run_demo(tmp_path, base)
    assert list_files(tmp_path) == ["thesis.txt"]


@pytest.mark.parametrize("content", ["", "[]", '{"files": ["index.html"]}', '{"kind": "tts_meta demo"}'])
def test_file_names_alone_do_not_make_a_folder_an_earlier_demo(tmp_path: Path, content: str) -> None:
    (tmp_path / "index.html").write_text("mine")
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(UsageError, match="contains other files"):
        check_replaceable(tmp_path)


def test_a_file_added_to_an_earlier_demo_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"kind": "tts_meta demo", "files": ["results.json", "base/1.wav"]}')
    (tmp_path / "base").mkdir()
    (tmp_path / "base/1.wav").touch()
    check_replaceable(tmp_path)
    (tmp_path / "base/mine.wav").touch()
    with pytest.raises(UsageError, match=r"base/mine\.wav"):
        check_replaceable(tmp_path)


def test_a_folder_that_cannot_be_replaced_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_replaceable(tmp_path / "new")
    check_replaceable(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        check_replaceable(tmp_path / "file")
    inside = tmp_path / "empty" / "inside"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    for folder in (Path("."), Path(".."), tmp_path / "empty"):
        with pytest.raises(UsageError, match="inside it"):
            check_replaceable(folder)


def test_a_failed_demo_leaves_the_earlier_one_unchanged(
    demo: tuple[Path, str], base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = demo
    before = {name: (out / name).read_bytes() for name in list_files(out)}

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tts_meta.demo.pipeline.clone", stop)
    with pytest.raises(KeyboardInterrupt):
        run_demo(out, base)
    assert {name: (out / name).read_bytes() for name in list_files(out)} == before
    assert [path.name for path in out.parent.iterdir()] == ["out"]
