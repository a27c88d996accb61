from __future__ import annotations

import io
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from commands import Result, write_base, write_recordings
from helpers import RATE, tiny_base, tone_corpus

from tts_meta.adapt import CloneSettings, Voice, chosen_modules
from tts_meta.adapt import clone as clone_voice
from tts_meta.cli import main
from tts_meta.cli.app import VERBS
from tts_meta.cli.console import table
from tts_meta.cli.progress import StageTimer
from tts_meta.corpus import Manifest
from tts_meta.models.pretrained import load_base
from tts_meta.synth import speak as speak_in

QUICK = ("--steps", 3, "--learning-rate", 0.01)
LAST_RESORT = ("--vocoder", "griffin-lim")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny base, five recordings and a voice cloned from them."""
    folder = tmp_path_factory.mktemp("cli")
    base, audio = write_base(folder / "base"), write_recordings(folder, 5)
    clone_voice(audio, base=base, settings=CloneSettings(steps=3, learning_rate=0.1)).save(
        folder / "ann.voice.safetensors"
    )
    return folder


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_the_help_of_every_verb_is_one_line_each_and_an_example(run_cli, verb) -> None:
    name = verb.__name__.replace("_", "-")
    result = run_cli(name, "--help")
    assert result.status == 0 and result.err == ""
    assert f"\n  Examples:\n    tts-meta {name}" in result.out
    assert max(map(len, result.out.splitlines())) <= 110


def test_the_program_without_a_verb_shows_all_of_them(run_cli) -> None:
    result = run_cli()
    assert result.status == 0 and all(f"\n  {verb.__name__.replace('_', '-')} " in result.out for verb in VERBS)
    assert "..." not in result.out.partition("Commands:")[2], "a summary is cut off"


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys; from tts_meta.cli import main; status = [main([]), main(['--version']), main(['clone', '-h'])]\n"
    )
    code += "print(status, [n for n in ('torch', 'numpy', 'soundfile', 'safetensors', 'rich') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[0, 0, 0] []" and done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sing"], "No such command 'sing'"),
        (["speak", "base", "a", "-o", "a.wav", "--loud"], "No such option: --loud"),
        (["speak", "base", "a"], "no output; give one with -o OUT.wav, or --stream"),
        (["speak", "base", "a", "--stream", "-o", "a.wav"], "without -o"),
        (["clone", "-o", "a.voice.safetensors"], "Missing argument 'AUDIO"),
        (["clone", "a.wav", "-o", "a.safetensors"], "must be named NAME.voice.safetensors"),
        (["clone", "a.wav", "-o", "a.voice.safetensors", "--steps", "-1"], "--steps"),
        (["clone", "a.wav", "-o", "a.voice.safetensors", "--learning-rate", "0"], "must be above 0"),
        (["clone", "a.wav", "-o", "a.voice.safetensors", "--variance", "-2"], "must be above 0"),
        (["clone", "a.wav", "-o", "a.voice.safetensors", "--prior-scale", "0"], "must be above 0"),
        (["clone", "a.wav", "-o", "a.voice.safetensors", "--consent", "a\nb"], "one line"),
        (["speak", "base", "a", "-o", "a.aac"], "must be one of .wav, .flac, .ogg, .mp3, .opus"),
        (["speak", "base", "a", "-o", "a.wav", "--speed", "9"], "--speed"),
        (["speak", "base", "-o", "a.wav"], "no text"),
        (["speak", "base", "a", "--file", "a.txt", "-o", "a.wav"], "one of them"),
        (["speak", "a.voice.safetensors", "a", "-o", "a.wav", "--speaker", "ann"], "use it with VOICE `base`"),
        (["speak", "base", "a", "-o", "-", "--json"], "without --json"),
        (["prepare", "no-such", ".", "out"], "the corpora are: folder"),
    ],
)
def test_a_wrong_call_is_one_line_and_status_2(run_cli, arguments: list[str], said: str) -> None:
    assert run_cli(*arguments).failed(2, said)


def clone(run_cli, place: Path, out: Path, *options: object) -> Result:
    audio = sorted(place.glob("say*.wav"))
    return run_cli("clone", *audio, "-o", out, "--base", place / "base", *QUICK, *options)


def test_clone_inspect_speak(run_cli, place: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "ann.voice.safetensors"
    cloned = clone(run_cli, place, out, "--consent", "Ann, today", "--json")
    assert cloned.status == 0 and cloned.err == ""
    assert cloned.json["bytes"] == out.stat().st_size and cloned.json["sentences"] == 5
    assert "held_out_after" not in cloned.json

    inspected = run_cli("inspect", out, "--json").json
    assert inspected["consent"] == "Ann, today" and inspected["steps"] == 3
    assert inspected["base"] == load_base(place / "base").hash and inspected["modules"] == cloned.json["modules"]

    said = ("speak", out, "abc de.", "--base", place / "base", *LAST_RESORT, "-o")
    assert run_cli(*said, tmp_path / "a.wav").status == 0
    samples, rate = soundfile.read(tmp_path / "a.wav")
    assert rate == RATE and len(samples) > 1000
    expected = speak_in(out, "abc de.", base=place / "base", vocoder="griffin-lim")
    np.testing.assert_allclose(samples, np.clip(expected.samples, -1, 1), atol=1e-4)


def test_the_command_clones_what_the_library_clones(run_cli, place: Path, tmp_path: Path) -> None:
    clone(run_cli, place, tmp_path / "a.voice.safetensors", "--modules", "decoder.*", "--variance", 0.5, "--seed", 7)
    settings = CloneSettings(("decoder.*",), steps=3, learning_rate=0.01, variance=0.5, seed=7)
    clone_voice(sorted(place.glob("say*.wav")), base=place / "base", settings=settings).save(
        tmp_path / "b.voice.safetensors"
    )
    one, two = (Voice.load(tmp_path / f"{name}.voice.safetensors") for name in "ab")
    assert one.modules == two.modules and all(name.startswith("decoder.") for name in one.modules)
    assert all(torch.equal(delta, two.deltas[name]) for name, delta in one.deltas.items())


def test_what_clone_prints_for_people_holds_the_file_the_loss_and_the_next_command(run_cli, place, tmp_path) -> None:
    out = tmp_path / "a.voice.safetensors"
    printed = clone(run_cli, place, out).out
    assert printed.startswith(f"{out}: ") and "5 sentences" in printed and "held-out" not in printed
    assert f"tts-meta speak {out} " in printed.splitlines()[-1]
    held = clone(run_cli, place, out, "--force", "--hold-out", 2).out
    assert re.search(r"adapted to 3 sentences, [\d.]+ s of speech, in 3 steps\n", held)
    assert re.search(r"NLL per frame of the held-out sentences: -?[\d.]+ nats before, -?[\d.]+ after\n", held)
    refused = clone(run_cli, place, out, "--force", "--hold-out", 5)
    assert refused.failed(2, "5 of 5 sentences cannot be held out; hold out 0 to 4")


def test_clone_adapts_modules_of_the_vocoder_by_name(run_cli, place: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.voice.safetensors"
    modules = ("--modules", "speaker.mean", "--modules", "vocoder.net.output", "--vocoder-steps", 2)
    result = clone(run_cli, place, out, *modules, "--log", tmp_path / "log")
    assert result.status == 0 and "vocoder adapted in 2 steps\n" in result.out
    held = clone(run_cli, place, out, *modules, "--hold-out", 1, "--force").out
    assert "\nspectral distance of the held-out sentences: " in held
    assert clone(run_cli, place, out, *modules, "--force").status == 0
    voice = Voice.load(out)
    assert voice.modules == ("speaker.mean", "vocoder.net.output.weight", "vocoder.net.output.bias")
    assert voice.scores["vocoder_steps"] == 2
    said = ("speak", out, "abc de.", "--base", place / "base", "-o")
    assert run_cli(*said, tmp_path / "a.wav").err == ""
    expected = speak_in(voice, "abc de.", base=place / "base").samples
    np.testing.assert_allclose(spoken(tmp_path / "a.wav"), np.clip(expected, -1, 1), atol=1e-4)
    other = run_cli(*said, tmp_path / "b.wav", *LAST_RESORT)
    assert other.status == 0 and "is another one and is used without adaptation" in other.err
    assert clone(run_cli, place, out, *modules, "--force", *LAST_RESORT).failed(2, "only the light vocoder has modules")


def test_clone_takes_transcripts_from_a_file(run_cli, place: Path, tmp_path: Path) -> None:
    audio = sorted(place.glob("say*.wav"))[0]
    copy = tmp_path / "copy.wav"
    copy.write_bytes(audio.read_bytes())
    (tmp_path / "list.txt").write_text(f"copy|{audio.with_suffix('.txt').read_text()}\n")
    out = tmp_path / "a.voice.safetensors"
    options = ("-o", out, "--base", place / "base", "--steps", 1, "--transcripts", tmp_path / "list.txt", "--json")
    assert run_cli("clone", copy, *options).json["sentences"] == 1


def test_clone_asks_whisper_only_for_what_has_no_transcript(run_cli, place, tmp_path, monkeypatch) -> None:
    heard: list[int] = []

    class Ear:
        def __init__(self, model: str | None) -> None:
            assert model == "small"

        def __call__(self, samples: np.ndarray, rate: int) -> str:
            heard.append(rate)
            return "abc"

    monkeypatch.setattr("tts_meta.evaluate.wer.Transcriber", Ear)
    with_text, without = sorted(place.glob("say*.wav"))[0], tmp_path / "silent_partner.wav"
    without.write_bytes(with_text.read_bytes())
    out = tmp_path / "a.voice.safetensors"
    result = run_cli(
        "clone", with_text, without, "-o", out, "--base", place / "base", "--steps", 0, "--whisper", "small"
    )
    assert result.status == 0 and heard == [RATE]
    assert result.err == f'tts-meta: {without}: transcribed as "abc"\n'


def test_the_log_of_a_clone_holds_losses_and_samples_before_after_and_real(run_cli, place, tmp_path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):  # the second time in place of the first
        clone(
            run_cli,
            place,
            tmp_path / "a.voice.safetensors",
            "--log",
            tmp_path / "log",
            *LAST_RESORT,
            "--force",
            "--hold-out",
            1,
        )
    assert len(list((tmp_path / "log").iterdir())) == 1
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    tags = events.Tags()
    samples = {f"sentence_{n}/{name}" for n in (1, 2, 3) for name in ("1_real", "2_base", "3_clone")}
    assert [event.step for event in events.Scalars("clone/loss")] == [1, 2, 3]
    assert "clone/held_out_loss" in tags["scalars"] and set(tags["audio"]) == {f"audio/{name}" for name in samples}
    assert set(tags["images"]) == {f"mel/{name}" for name in samples}


def test_a_log_folder_in_use_is_refused_without_force(run_cli, place: Path, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "mine.txt").touch()
    result = clone(run_cli, place, tmp_path / "a.voice.safetensors", "--log", tmp_path / "log")
    assert result.failed(2, "not empty", "--force")


def test_inspect_lists_every_parameter_of_the_base_and_what_clone_adapts(run_cli, place: Path) -> None:
    base = tiny_base()
    data = run_cli("inspect", place / "base", *LAST_RESORT, "--json").json
    assert sum(m["parameters"] for m in data["modules"]) == sum(p.numel() for p in base.acoustic.parameters())
    adapted = {m["module"] for m in data["modules"] if m["clone"] == "yes"}
    assert adapted == set(chosen_modules(base, CloneSettings()).names)
    lines = run_cli("inspect", place / "base", *LAST_RESORT).out.splitlines()
    assert [line.split()[0] for line in lines[2 : 2 + len(data["modules"])]] == [m["module"] for m in data["modules"]]


def test_inspect_lists_the_vocoder_too(run_cli, place: Path) -> None:
    data = run_cli("inspect", place / "base", "--vocoder", "hifigan", "--json").json
    assert data["vocoder"] == "hifigan" and data["totals"]["vocoder"] == 13_926_017
    assert any(m["module"] == "vocoder.ups.0.weight" and m["kind"] == "Upsample" for m in data["modules"])
    data = run_cli("inspect", place / "base", "--json").json
    assert data["vocoder"] == "light" and data["totals"]["vocoder"] == 7_043_595
    assert any(m["module"] == "vocoder.net.blocks.0.widen.weight" and m["kind"] == "Linear" for m in data["modules"])
    can = {m["module"] for m in data["modules"] if m["model"] == "vocoder" and m["clone"] == "can"}
    assert can == {m["module"] for m in data["modules"] if m["module"].startswith("vocoder.net.")}


def spoken(path: Path) -> np.ndarray:
    return soundfile.read(path)[0]


def test_text_comes_from_arguments_a_file_or_stdin(run_cli, place: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "text.txt").write_text("abc de. fgh.\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abc de. fgh.\n")))
    options = ("--base", place / "base", *LAST_RESORT, "-o")
    for number, text in enumerate((["abc de.", "fgh."], ["--file", tmp_path / "text.txt"], ["-"])):
        assert run_cli("speak", "base", *text, *options, tmp_path / f"{number}.wav").status == 0
    assert len(spoken(tmp_path / "0.wav")) > 1000
    assert (tmp_path / "0.wav").read_bytes() == (tmp_path / "1.wav").read_bytes() == (tmp_path / "2.wav").read_bytes()


def test_a_dash_writes_the_wav_to_stdout(capfdbinary, place: Path) -> None:
    arguments = ["speak", "base", "abc.", "--base", str(place / "base"), "--vocoder", "griffin-lim", "-o", "-"]
    assert main(arguments) == 0
    captured = capfdbinary.readouterr()
    samples, rate = soundfile.read(io.BytesIO(captured.out))
    assert rate == RATE and len(samples) > 500 and captured.err == b""


def test_a_stream_is_the_same_samples_without_a_header(capfdbinary, place: Path) -> None:
    arguments = ["speak", "base", "abc. de.", "--base", str(place / "base"), "--vocoder", "griffin-lim"]
    assert main([*arguments, "-o", "-"]) == 0
    samples, _ = soundfile.read(io.BytesIO(capfdbinary.readouterr().out), dtype="int16")
    assert main([*arguments, "--stream"]) == 0
    captured = capfdbinary.readouterr()
    streamed = np.frombuffer(captured.out, "<i2")
    assert captured.err == b"" and len(streamed) == len(samples)
    assert np.abs(streamed.astype(int) - samples).max() <= 1


def test_a_stream_names_the_characters_that_are_not_spoken(capfdbinary) -> None:
    assert main(["speak", "base", "Yes 🎉.", "--vocoder", "griffin-lim", "--stream"]) == 0
    captured = capfdbinary.readouterr()
    assert len(captured.out) > 500
    assert captured.err.decode() == "tts-meta: emoji are not spoken: 🎉\n"


def test_phonemes_pace_and_speaker_change_what_is_spoken(run_cli, place: Path, tmp_path: Path) -> None:
    lengths = {}
    for name, options in {
        "plain": ("abc def gh",),
        "phonemes": ("abc def gh", "--phonemes"),
        "fast": ("abc def gh", "--speed", 2),
        "ben": ("abc def gh", "--speaker", "ben"),
    }.items():
        out = tmp_path / f"{name}.wav"
        assert run_cli("speak", "base", *options, "--base", place / "base", *LAST_RESORT, "-o", out).status == 0
        lengths[name] = len(spoken(out))
    assert lengths["fast"] < 0.6 * lengths["plain"] and lengths["phonemes"] == lengths["plain"]
    assert (tmp_path / "ben.wav").read_bytes() != (tmp_path / "plain.wav").read_bytes()


def test_an_unknown_training_speaker_is_refused_with_names_that_exist(run_cli, place: Path, tmp_path: Path) -> None:
    options = ("--base", place / "base", "--speaker", "bob", "-o", tmp_path / "a.wav")
    assert run_cli("speak", "base", "abc", *options).failed(2, "no speaker 'bob'", "ann, ben")


def test_timings_name_every_stage_and_add_up(run_cli, place: Path, tmp_path: Path) -> None:
    command = ("speak", "base", "abc.", "--base", place / "base", *LAST_RESORT, "-o", tmp_path / "a.wav", "--profile")
    printed = run_cli(*command).err
    seconds = {line.rpartition("  ")[0].strip(): line.split()[-1] for line in printed.splitlines()[2:-2]}
    stages = ["start", "load base", "load voice", "load vocoder", "load phonemizer", "text", "acoustic model"]
    assert list(seconds) == [*stages, "vocoder", "write", "total"]
    assert "real-time factor" in printed

    data = run_cli(*command, "--json", "--force").json
    length = len(spoken(tmp_path / "a.wav")) / RATE
    synthesis = sum(data["timings"][name] for name in ("text", "acoustic model", "vocoder"))
    assert data["seconds"] == pytest.approx(length, abs=1e-3)
    assert data["real_time_factor"]["synthesis"] == pytest.approx(synthesis / length, abs=2e-3)


def test_evaluate_scores_the_voice_beside_the_real_recordings_and_their_copies(run_cli, place, tmp_path) -> None:
    tone_corpus(tmp_path, utterances=16)
    command = ("evaluate", place / "ann.voice.safetensors", tmp_path / "manifest.jsonl", "--base", place / "base")
    assert run_cli(*command).failed(2, "2 speakers", "--speaker")
    options = ("--speaker", "ann", "--metric", "similarity", "--sentences", 2, *LAST_RESORT)
    data = run_cli(*command, *options, "--json", "--scores", tmp_path / "scores.jsonl").json
    assert list(data["systems"]) == ["real recording", "copy-synthesis", "voice"]
    means = {system: scores["similarity"]["mean"] for system, scores in data["systems"].items()}
    assert min(means["real recording"], means["copy-synthesis"]) > means["voice"] + 0.1
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert len(rows) == 6 and {row["speaker"] for row in rows} == {"ann"}
    markdown = run_cli(*command, *options).out
    assert markdown.startswith("| System |") and "| voice | 1 | 2 |" in markdown


def test_evaluate_leaves_out_what_the_voice_was_adapted_on(run_cli, place: Path, tmp_path: Path) -> None:
    manifest = tone_corpus(tmp_path, utterances=16)
    own = [one for one in Manifest.load(manifest) if one.speaker == "ann"]
    (tmp_path / "list.txt").write_text("".join(f"{one.audio.name}|{one.text}\n" for one in own))
    out = tmp_path / "ann.voice.safetensors"

    def clone_from(count: int) -> None:
        given = ("-o", out, "--base", place / "base", "--transcripts", tmp_path / "list.txt", *QUICK, "--force")
        assert run_cli("clone", *(one.audio for one in own[:count]), *given).status == 0

    clone_from(3)
    told = ("evaluate", out, manifest, "--base", place / "base", "--speaker", "ann", "--metric", "similarity")
    result = run_cli(*told, "--sentences", 2, *LAST_RESORT, "--json", "--scores", tmp_path / "scores.jsonl")
    assert f"{out} was adapted on 3 of 8 sentences of {manifest}; these are not used" in result.err
    assert "2 sentences are scored; similarity is measured to 3 others" in result.err
    scored = {json.loads(line)["id"] for line in (tmp_path / "scores.jsonl").read_text().splitlines()}
    assert scored == {one.id for one in own[3:5]} and result.json["references"] == [one.id for one in own[5:]]
    assert "recordings: 3, stored as fingerprints" in run_cli("inspect", out).out
    clone_from(8)
    assert run_cli(*told, *LAST_RESORT).failed(2, f"adapted on all 8 of 8 sentences of {manifest}", "other recordings")


def test_demo_hands_its_options_on(run_cli, tmp_path: Path, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr("tts_meta.demo.run", lambda out, console, **options: seen.append((out, options)))
    assert run_cli("demo", "-o", tmp_path / "out", "--steps", 5, "--open").status == 0
    out = tmp_path / "out"
    command = f"tts-meta demo -o {out} --steps 5 --open"
    assert seen == [(out, {"steps": 5, "base": None, "open_page": True, "command": command})]


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "stopped; nothing was written"),
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 TB"), 1, "out of memory"),
        (OSError(28, "No space left on device", "a.wav"), 1, "a.wav: No space left on device; free some space"),
        (KeyError("no\nsuch"), 1, "internal error (KeyError:"),
    ],
)
def test_whatever_happens_is_one_line(run_cli, tmp_path: Path, monkeypatch, error, status: int, said: str) -> None:
    def fails(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("tts_meta.models.pretrained.load_base", fails)
    assert run_cli("speak", "base", "abc", "-o", tmp_path / "a.wav").failed(status, said)


def test_a_script_of_a_recipe_says_what_is_wrong_in_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    script = Path(__file__).parents[1] / "recipes" / "few_shot" / "prune.py"
    monkeypatch.setattr(sys, "argv", [script.name, str(tmp_path / "absent.yaml")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    out, err = capsys.readouterr()
    assert ended.value.code == 1 and out == ""
    assert err.startswith("tts-meta: ") and "absent.yaml" in err and err.count("\n") == 1


def test_the_trace_is_shown_when_asked_for(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TTS_META_DEBUG", "1")
    monkeypatch.setattr("tts_meta.models.pretrained.load_base", lambda folder: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["speak", "base", "abc", "-o", str(tmp_path / "a.wav")])


def test_a_reader_that_goes_away_is_no_error_to_speak_of() -> None:
    command = [sys.executable, "-c", "import sys; from tts_meta.cli import main; sys.exit(main(['--help']))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 1)


def test_a_table_is_as_wide_as_what_it_holds() -> None:
    assert table(("name", "size"), [("a", "1,000"), ("longer", "2")], right=(1,)).splitlines() == [
        "name     size",
        "------  -----",
        "a       1,000",
        "longer      2",
    ]


def test_a_stopwatch_adds_up_what_happens_twice() -> None:
    watch = StageTimer(0.0)
    watch.add("one", 1.0)
    watch.add("two", 0.5)
    watch.add("one", 2.0)
    assert watch.stages == {"one": 3.0, "two": 0.5}
