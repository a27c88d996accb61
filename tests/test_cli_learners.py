"""Learners on the command line: `clone --learner`, `inspect` of a learner and of all learners, and refused learners."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from commands import Result, clone_in, write_recordings
from helpers import same_weights, tiny_base

from tts_meta.adapt import CloneSettings, Voice, adaptable_modules
from tts_meta.adapt import clone as clone_voice
from tts_meta.adapt.acoustic_domain import acoustic_domain
from tts_meta.adapt.learner_files import saved_learner
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import LEARNERS, create_learner
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.models.saved_learner import SavedLearner

GRIFFIN_LIM = ("--vocoder", "griffin-lim")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three recordings."""
    folder = tmp_path_factory.mktemp("recordings")
    write_recordings(folder, 3)
    return folder


def meta_sgd(base: Base) -> SavedLearner:
    """A learner of the base with one step size for each parameter of the decoder's output."""
    modules = adaptable_modules(base).select(["decoder.output"])
    settings = {"inner_solver": "adam", "inner_lr": 1e-3}
    learner = create_learner("meta-sgd", acoustic_domain(base, modules), settings)
    return replace(saved_learner(learner, "acoustic", meta_steps=7), weights_hash=base.hash)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a base with a meta-trained learner; it is another base than `base_folder`."""
    base = tiny_base(seed=1)
    folder = tmp_path_factory.mktemp("trained") / "base"
    save_base(base, folder)
    base.learner = meta_sgd(base)
    save_base(base, folder)
    return folder


def clone(run_cli, recordings: Path, out: Path, *options: object) -> Result:
    """Run `tts-meta clone` on all recordings."""
    return run_cli("clone", *sorted(recordings.glob("*.wav")), "-o", out, *options)


def test_clone_adapts_with_the_learner_of_a_name(run_cli, recordings: Path, base_folder: Path, tmp_path: Path) -> None:
    for name, modules in {"maml": None, "anil": 4, "cavia": 1, "mean-voice": 0}.items():
        out = tmp_path / f"{name}.voice.safetensors"
        steps = ("--steps", 2) if LEARNERS[name].iterative else ()
        assert clone(run_cli, recordings, out, "--base", base_folder, "--learner", name, *steps).status == 0
        voice = Voice.load(out)
        assert modules is None or len(voice.modules) == modules, name
        assert bool(voice.deltas) == (name != "mean-voice") and voice.steps == (2 if steps else 0)
        speak = ("speak", out, "abc.", "--base", base_folder, *GRIFFIN_LIM, "-o", tmp_path / f"{name}.wav")
        assert run_cli(*speak).status == 0


def test_the_learner_in_a_base_folder_brings_its_base(run_cli, recordings: Path, trained: Path, tmp_path: Path) -> None:
    outs = [tmp_path / f"{name}.voice.safetensors" for name in "abcd"]
    steps = ("--steps", 2)
    assert clone(run_cli, recordings, outs[0], "--base", trained, *steps).status == 0
    assert clone(run_cli, recordings, outs[1], "--learner", trained, *steps).status == 0
    assert clone(run_cli, recordings, outs[2], "--learner", trained / "learner.json", *steps).status == 0
    assert clone(run_cli, recordings, outs[3], "--learner", trained, "--base", trained, *steps).status == 0
    settings = CloneSettings(steps=2, learner=trained)
    by_library = clone_voice(sorted(recordings.glob("*.wav")), settings=settings)
    assert by_library.base_hash == load_base(trained).hash
    assert by_library.modules == ("decoder.output.weight", "decoder.output.bias")
    for voice in map(Voice.load, outs):
        assert same_weights(voice.deltas, by_library.deltas) and voice.base_hash == by_library.base_hash


def test_a_learner_outside_a_base_folder_adapts_its_base(
    run_cli, recordings: Path, trained: Path, tmp_path: Path
) -> None:
    learner = load_base(trained).learner
    assert learner is not None
    learner.save(tmp_path / "learner")
    out = tmp_path / "a.voice.safetensors"
    options = ("--learner", tmp_path / "learner", "--base", trained, "--steps", 2)
    assert clone(run_cli, recordings, out, *options).status == 0
    assert Voice.load(out).modules == ("decoder.output.weight", "decoder.output.bias")


def with_learner(folder: Path, base: Base, **changes: object) -> Path:
    """Write the learner of `meta_sgd` with other fields into a folder."""
    replace(meta_sgd(base), **changes).save(folder)  # type: ignore[arg-type]
    return folder


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--learner", "nothing"), 2, "no learner 'nothing': neither a folder with learner.json nor one of the names"),
        (("--learner", "{empty}"), 2, "empty: the folder has no learner (learner.json); meta-train one, or give a na"),
        (("--learner", "{trained}"), 1, "the learner 'meta-sgd' belongs to other weights than those of"),
        (("--learner", "{partition}"), 1, "the learner 'meta-sgd' has the module 'decoder.other', which"),
        (("--learner", "{version}"), 1, "the learner 'meta-sgd' was saved by version 9 of its class, and this is ver"),
        (("--learner", "{unknown}"), 2, "the learner 'other' is unknown; import the file that registers it first"),
        (("--learner", "{sgd}", "--learning-rate", 0.1), 2, "learner 'meta-sgd' does not use learning_rate"),
        (("--learner", "nearest"), 2, "learner 'nearest' needs recordings of the training speakers of the base; use"),
        (("--learner", "zero-shot"), 2, "learner 'zero-shot' needs recordings of the training speakers of the base"),
        (("--learner", "mean-voice", "--steps", 5), 2, "learner 'mean-voice' does not use steps; leave out steps"),
        (("--learner", "mean-voice", "--modules", "*"), 2, "learner 'mean-voice' does not use modules"),
        (("--learner", "maml", "--variance", 0.1), 2, "learner 'maml' does not use variance; leave out variance"),
        (("--learner", "maml", "--prior-scale", 2), 2, "leave out prior_scale"),
        (("--learner", "lora", "--rank", 2), 2, "learner 'lora' does not use rank"),
        (("--steps", 0), 2, "a budget of 0 steps does not adapt; give 1 or more steps; the learner mean-voice makes"),
    ],
)
def test_a_learner_that_cannot_adapt_is_refused_in_one_line(
    run_cli,
    recordings: Path,
    base_folder: Path,
    trained: Path,
    tmp_path: Path,
    options: tuple[object, ...],
    status: int,
    message: str,
) -> None:
    base = load_base(base_folder)
    (tmp_path / "empty").mkdir()
    folders = {"empty": tmp_path / "empty", "trained": trained, "sgd": with_learner(tmp_path / "sgd", base)}
    folders["version"] = with_learner(tmp_path / "version", base, version=9)
    folders["unknown"] = with_learner(tmp_path / "unknown", base, learner="other")
    folders["partition"] = with_learner(tmp_path / "partition", base, shared=("decoder.other",))
    arguments = [str(option).format(**folders) for option in options]
    out = tmp_path / "a.voice.safetensors"
    result = clone(run_cli, recordings, out, "--base", base_folder, *arguments)
    assert result.failed(status, message) and not out.exists()


def test_the_library_refuses_what_the_command_refuses(recordings: Path, trained: Path, base_folder: Path) -> None:
    audio = sorted(recordings.glob("*.wav"))
    with pytest.raises(TtsMetaError, match="belongs to other weights"):
        clone_voice(audio, base=base_folder, settings=CloneSettings(learner=trained))
    with pytest.raises(UsageError, match="needs recordings of the training speakers"):
        clone_voice(audio, base=base_folder, settings=CloneSettings(learner="nearest"))
    with pytest.raises(UsageError, match="learner 'mean-voice' does not use steps"):
        clone_voice(audio, base=base_folder, settings=CloneSettings(learner="mean-voice", steps=3))
    with pytest.raises(UsageError, match="learner must be a path, not int"):
        clone_voice(audio, base=base_folder, settings=CloneSettings(learner=3))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="learner_settings must be a mapping of settings"):
        clone_voice(audio, base=base_folder, settings=CloneSettings(learner_settings=[1]))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="learner 'maml': unknown key 'rank'"):
        clone_voice(audio, base=base_folder, settings=CloneSettings(learner="maml", learner_settings={"rank": 1}))


def test_a_demo_of_no_steps_is_refused_before_any_work(run_cli, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tts_meta.demo.pipeline.as_base", lambda *arguments: pytest.fail("work"))
    assert run_cli("demo", "-o", tmp_path / "demo", "--steps", 0).failed(2, "a budget of 0 steps does not adapt")


def test_inspect_shows_the_learner_of_a_base(run_cli, trained: Path) -> None:
    data = run_cli("inspect", trained, *GRIFFIN_LIM, "--json").json["learner"]
    size = sum(module.size for module in adaptable_modules(load_base(trained)).select(["decoder.output"]).modules)
    assert data["learner"] == "meta-sgd" and data["source"] == "Li et al. 2017" and data["meta_steps"] == 7
    assert data["tensors"] == {"step_sizes": [size]} and data["settings"]["inner_lr"] == 1e-3
    assert data["adapts"] == ["decoder.output.weight", "decoder.output.bias"]
    lines = run_cli("inspect", trained, *GRIFFIN_LIM).out.splitlines()
    assert "learner: meta-sgd (Li et al. 2017), version 1, 7 meta-steps, rank 0, one module per matrix" in lines
    assert f"tensors: step_sizes ({size},)" in lines
    assert any(line.startswith('settings: inner_solver "adam", ') and "inner_lr 0.001" in line for line in lines)


def test_inspect_shows_the_files_of_a_learner(run_cli, trained: Path, tmp_path: Path) -> None:
    base = load_base(trained)
    folder = with_learner(tmp_path / "learner", base, version=9, origin={"learner": "maml", "settings": {"a": 1}})
    for target in (folder, folder / "learner.json"):
        data = run_cli("inspect", target, "--json").json
        assert data["kind"] == "learner" and data["weights_hash"] == base.hash and data["version"] == 9
        assert data["origin"] == {"learner": "maml", "settings": {"a": 1}}
    result = run_cli("inspect", folder)
    assert (
        "version 9 (this program has version 1), 7 meta-steps" in result.out and "origin: learner maml\n" in result.out
    )
    assert "modules that adapt: decoder.output.weight, decoder.output.bias\n" in result.out
    shown = run_cli("inspect", with_learner(tmp_path / "other", base, learner="other"))
    assert "learner: other (not registered), version 1" in shown.out
    assert run_cli("inspect", folder, "--picture", tmp_path / "a.png").failed(2, "--picture shows what a base learned")
    (folder / "learner.json").write_text("{")
    assert run_cli("inspect", folder).failed(1, "learner.json")


def test_a_control_character_in_a_learner_does_not_reach_the_terminal(run_cli, trained: Path, tmp_path: Path) -> None:
    folder = with_learner(tmp_path / "learner", load_base(trained))
    header = json.loads((folder / "learner.json").read_text())
    for key in ("learner", "settings", "origin"):
        text = "\x1b]0;title\x07"
        damaged = header | {key: text if key == "learner" else {"inner_solver": text}}
        (folder / "learner.json").write_text(json.dumps(damaged))
        result = run_cli("inspect", folder)
        assert result.failed(1, "control character") and "\x1b" not in result.err


def test_inspect_lists_all_learners_with_their_sources(run_cli) -> None:
    data = run_cli("inspect", "--learners", "--json").json["learners"]
    assert {row["learner"]: row["source"] for row in data} == {name: cls.source for name, cls in LEARNERS.items()}
    by_name = {row["learner"]: row for row in data}
    assert by_name["nearest"]["needs"] == ["trained_tasks"] and not by_name["nearest"]["inner_steps"]
    assert by_name["lora"]["settings"] == ["inner_lr", "rank"] and not by_name["lora"]["meta_trained"]
    lines = run_cli("inspect", "--learners").out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(LEARNERS)
    assert next(line for line in lines if line.startswith("maml ")).split("  ")[-1] == "Finn, Abbeel, Levine 2017"


def test_inspect_refuses_a_list_of_learners_with_other_arguments(run_cli, trained: Path, tmp_path: Path) -> None:
    for options in ((trained,), GRIFFIN_LIM, ("--picture", tmp_path / "a.png")):
        assert run_cli("inspect", "--learners", *options).failed(
            2, "--learners lists all learners; leave out the other"
        )
    assert run_cli("inspect").failed(2, "name what to inspect: a voice, a base, a learner")


def test_every_learner_of_the_list_can_be_chosen_by_its_name(run_cli, recordings, base_folder: Path, tmp_path) -> None:
    """A name that `inspect --learners` prints is never unknown to `clone`."""
    for name in json.loads(run_cli("inspect", "--learners", "--json").out)["learners"]:
        result = clone_in(run_cli, recordings, base_folder, "--learner", name["learner"], "--hold-out", 99)
        assert "no learner" not in result.err and result.status == 2
