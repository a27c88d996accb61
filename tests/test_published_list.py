"""Published test lists: Seed-TTS, LibriSpeech-PC and LibriTTS pairs, with planted faults, and a benchmark on one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from commands import run, write_base
from few_shot_recipes import vocoder
from helpers import RATE, tone_sentence, tone_speech

from tts_meta.audio import write_wav
from tts_meta.config import load_config, parse_config
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.cloning import CLONE, MEAN, CloningBenchmark
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark, run_few_shot
from tts_meta.evaluate.published_list import prompts_and_targets
from tts_meta.evaluate.voice import COPY, REAL
from tts_meta.models.pretrained import load_base
from tts_meta.report.few_shot import write_few_shot_report


def tone(path: Path, number: int) -> Path:
    """Write a recording of a sentence of tones, two seconds or more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, tone_speech(tone_sentence(number, 8), number)[0], RATE)
    return path


def seed_tts(folder: Path) -> Path:
    """Three lines of a Seed-TTS list: two targets of one prompt, and one without a recording of the target."""
    for number in range(2):
        tone(folder / "prompt-wavs" / f"p{number}.wav", number)
    tone(folder / "wavs" / "p0-a.wav", 2)
    lines = [
        f"p0-a|{tone_sentence(0, 8)}|prompt-wavs/p0.wav|{tone_sentence(2, 8)}",
        f"p0-b|{tone_sentence(0, 8)}|prompt-wavs/p0.wav|{tone_sentence(3, 8)}",
        f"p1-a|{tone_sentence(1, 8)}|prompt-wavs/p1.wav|{tone_sentence(2, 8)}",
    ]
    path = folder / "meta.lst"
    path.write_text("\n".join(lines) + "\n")
    return path


def librispeech(folder: Path) -> Path:
    """Two lines of the list of F5-TTS, with two prompts of one speaker, and their recordings."""
    for number, name in enumerate(("4992-41806-0009", "4992-23283-0000", "4992-23283-0001")):
        speaker, chapter, _ = name.split("-")
        tone(folder / "LibriSpeech" / "test-clean" / speaker / chapter / f"{name}.wav", number)
    path = folder / "cross_sentence.lst"
    path.write_text(
        "4992-41806-0009\t4.355\tabc de.\t4992-23283-0000\t6.645\tgab fe.\n"
        "4992-23283-0000\t6.645\tgab fe.\t4992-23283-0001\t2.71\tbad cab.\n"
    )
    return path


def libritts(folder: Path) -> Path:
    """Two lines of LibriTTS ids, and their recordings with normalised texts."""
    for number, name in enumerate(("1089_134686_000002_000000", "1089_134686_000003_000001", "61_70968_000000_000000")):
        speaker, chapter, *_ = name.split("_")
        audio = tone(folder / "test-clean" / speaker / chapter / f"{name}.wav", number)
        audio.with_suffix(".normalized.txt").write_text(tone_sentence(number, 8) + "\n")
    path = folder / "pairs.tsv"
    path.write_text("1089_134686_000002_000000\t1089_134686_000003_000001\n")
    return path


def test_targets_of_a_seed_tts_list_are_grouped_by_prompt(tmp_path: Path) -> None:
    voices = prompts_and_targets(seed_tts(tmp_path))
    assert {name: [target.id for target in targets] for name, (_, targets) in voices.items()} == {
        "prompt-wavs/p0": ["p0-a", "p0-b"],
        "prompt-wavs/p1": ["p1-a"],
    }
    prompt, targets = voices["prompt-wavs/p0"]
    assert prompt.audio == tmp_path / "prompt-wavs" / "p0.wav" and prompt.text == tone_sentence(0, 8)
    assert targets[0].audio == tmp_path / "wavs" / "p0-a.wav" and targets[0].has_audio
    assert not targets[1].has_audio and targets[1].text == tone_sentence(3, 8)


def test_a_seed_tts_list_may_name_the_recording_of_the_target(tmp_path: Path) -> None:
    path = seed_tts(tmp_path)
    tone(tmp_path / "real" / "x.wav", 3)
    path.write_text(path.read_text().replace("p0-b|", "p0-b|", 1) + "p1-b|" + tone_sentence(1, 8))
    path.write_text(path.read_text() + f"|prompt-wavs/p1.wav|{tone_sentence(3, 8)}|real/x.wav\n")
    assert prompts_and_targets(path)["prompt-wavs/p1"][1][1].audio == tmp_path / "real" / "x.wav"


def test_speakers_of_librispeech_ids_have_several_prompts(tmp_path: Path) -> None:
    voices = prompts_and_targets(librispeech(tmp_path))
    assert list(voices) == ["4992-41806-0009", "4992-23283-0000"]
    prompt, (target,) = voices["4992-41806-0009"]
    assert (prompt.speaker, prompt.text, target.speaker, target.text) == ("4992", "abc de.", "4992", "gab fe.")
    assert target.audio.name == "4992-23283-0000.wav"
    moved = shutil.move(tmp_path / "LibriSpeech" / "test-clean", tmp_path / "elsewhere")
    assert prompts_and_targets(tmp_path / "cross_sentence.lst", Path(moved)).keys() == voices.keys()


def test_texts_of_libritts_ids_are_read_from_the_corpus(tmp_path: Path) -> None:
    ((prompt, (target,)),) = prompts_and_targets(libritts(tmp_path)).values()
    assert (prompt.text, target.text) == (tone_sentence(0, 8), tone_sentence(1, 8))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("p9|text", "line 4: 2 fields in place of 4 or 5"),
        ("p9|text|prompt-wavs/p1.wav|", "line 4: field 4 is empty"),
        ("p9|text|prompt-wavs/none.wav|text", "line 4: there is no recording"),
        ("p9|text|prompt-wavs/p1.wav|text", "line 4: the prompt prompt-wavs/p1 has another text"),
        ("p0-a|A|prompt-wavs/q.wav|text", "line 4: p0-a is repeated, first seen in line 1"),
        ("p9|A|prompt-wavs/q.wav|text|wavs/none.wav", "line 4: there is no recording"),
        ("p9|A|prompt-wavs/q.wav|text|prompt-wavs/q.wav", "line 4: prompt and target are the same recording"),
        ("p\x1b9|A|prompt-wavs/q.wav|text", r"line 4: id contains the control character U\+001B"),
        ("p9\tA", "line 4: 2 fields in place of 4 or 5"),
    ],
)
def test_a_faulty_line_of_a_seed_tts_list_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = seed_tts(tmp_path)
    shutil.copy(tmp_path / "prompt-wavs" / "p1.wav", tmp_path / "prompt-wavs" / "q.wav")
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(TtsMetaError, match=f"meta.lst, {reason}.*; correct the list"):
        prompts_and_targets(path)
    path.write_text(path.read_text() + "p10|text\n")
    with pytest.raises(TtsMetaError, match=rf"{reason}.* \(2 faulty lines\)"):
        prompts_and_targets(path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1089_134686_000002_000000\t61_70968_000000_000009", "line 2: there is no recording 61/70968/61_70968"),
        ("1089_134686_000002_000000\tnone", "line 2: 'none' is no id of LibriTTS or LibriSpeech"),
        ("1089_134686_000002_000000\t../../1_2_3", "line 2: '../../1_2_3' is no id"),
        ("1089_134686_000002_000000\t61_70968_000000_000000", "line 2: there is no text"),
    ],
)
def test_a_faulty_line_of_ids_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = libritts(tmp_path)
    (tmp_path / "test-clean/61/70968/61_70968_000000_000000.normalized.txt").unlink()
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(TtsMetaError, match=f"pairs.tsv, {reason}"):
        prompts_and_targets(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\n\n", "has no lines"),
        (b"a|b|c\n", "line 1: 3 fields; a line is one of: UTT|PROMPT_TEXT"),
        (b"a|\xff|c|d\n", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "meta.lst"
    path.write_bytes(content)
    with pytest.raises(TtsMetaError) as raised:
        prompts_and_targets(path)
    assert "meta.lst" in str(raised.value) and reason in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_list": None}, "manifest is missing; give a manifest, or a published list as test_list"),
        ({"test_list": None, "manifest": "m.jsonl", "test_audio": "a"}, "give test_list too"),
        ({"split": "dev"}, "leave out split"),
        ({"score_on": 3}, "leave out score_on"),
    ],
)
def test_settings_that_a_test_list_does_not_use_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    settings = {"test_list": "meta.lst", "output": tmp_path, "learners": {"all": {}}} | changes
    with pytest.raises(TtsMetaError, match=message):
        parse_config({k: v for k, v in settings.items() if v is not None}, FewShotBenchmark, "test")


def test_each_voice_of_a_test_list_adapts_on_its_prompt_alone(tmp_path: Path) -> None:
    settings = {"test_list": seed_tts(tmp_path), "output": tmp_path / "run", "steps": [0, 1]}
    settings |= {"learners": {"all": {"modules": ["*"]}}, "metrics": ["similarity", "variance"]}
    recipe = parse_config(settings, FewShotBenchmark, "test")
    assert recipe.sentences == (1,)
    with pytest.raises(UsageError, match="adapted on its prompt alone"):
        recipe.model_copy(update={"sentences": (1, 2)}).choose(None)
    base = load_base(write_base(tmp_path / "base"))
    results = run_few_shot(recipe, base, vocoder(), lambda line: None)
    trials = results.trials
    assert [(trial.speaker, trial.steps, len(trial.scores)) for trial in trials] == [
        ("prompt-wavs/p0", 0, 2),
        ("prompt-wavs/p0", 1, 2),
        ("prompt-wavs/p1", 0, 1),
        ("prompt-wavs/p1", 1, 1),
    ]
    rows = [(row.system, row.id) for row in results.scores() if row.system in (REAL, COPY)]
    assert rows == [(REAL, "p0-a"), (COPY, "p0-a")], "the other targets have no recording"
    first, second = trials[1].scores
    assert {"nll", "variance"} <= set(first.measures) and set(second.measures) == {"similarity"}
    assert results.error_rates() == {}
    table = write_few_shot_report(tmp_path / "run", results, base.config.audio.mel)
    assert table.startswith("3 unseen sentences of 2 speakers")
    page = (tmp_path / "run" / "index.html").read_text()
    assert page.count("<audio") == 1 + 3


def test_the_command_scores_clones_of_a_test_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = write_base(tmp_path / "base")
    lines = [f"output: {tmp_path / 'run'}", f"test_list: {librispeech(tmp_path)}", f"base: {base}"]
    lines += ["vocoder: griffin-lim", "steps: 1", "metrics: [similarity]"]
    (tmp_path / "recipe.yaml").write_text("\n".join(lines))
    assert load_config(tmp_path / "recipe.yaml", CloningBenchmark).adapt_on == 1
    result = run(capsys, "benchmark", tmp_path / "recipe.yaml")
    assert result.status == 0, result.err
    table = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:3] for line in result.out.splitlines()[2:]}
    assert table == {system: ["1", "2"] for system in (REAL, COPY, MEAN, CLONE)}, "intervals over speakers"
    assert "Cloned from 1 sentence<" in (tmp_path / "run" / "index.html").read_text()
