from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from cases import case_folder
from corpora import dropped, kept, prepared, write_audio, write_files
from faults import error_line

from data_prep import prepare
from tts_meta.errors import UsageError

OZ = "I'm afraid I don't know much about the Land of Oz."
NFC, NFD = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")


def test_the_list_of_the_case_is_read_with_its_speakers(tmp_path: Path) -> None:
    manifest = prepare("folder", case_folder("prepare_f5_coqui") / "corpus", tmp_path / "out")
    assert kept(manifest) == {"wavs/a": ("alice", "a.wav", OZ), "wavs/b": ("bob", "b.wav", OZ)}
    assert dropped(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("case", "expected"), [("list_empty_third", OZ), ("list_nfd_name", OZ), ("list_u2028", "Line one line two.")]
)
def test_the_lists_of_the_cases_are_read_as_clone_reads_them(tmp_path: Path, case: str, expected: str) -> None:
    manifest = prepare("folder", case_folder(case), tmp_path / "out")
    assert [utterance.text for utterance in manifest] == [expected] and dropped(tmp_path / "out") == {}
    assert manifest.utterances[0].id == (NFC if case == "list_nfd_name" else "a")


def test_a_line_without_its_speaker_is_given_to_no_other(tmp_path: Path) -> None:
    write_files(tmp_path / "c", {"metadata.csv": "audio_file|text|speaker_name\na|One.|anna\nb|Two.|\n"})
    write_files(tmp_path / "c", {"a.wav": "", "b.wav": ""})
    used, left_out = prepared("folder", tmp_path / "c")
    assert used == {"a": ("anna", "a.wav", "One.")}
    assert left_out == {"b": "empty speaker: line 3 of metadata.csv"}


def test_two_text_files_of_one_name_must_say_the_same(tmp_path: Path) -> None:
    write_files(
        tmp_path / "c", {"a.wav": "", "a.txt": "One.", "a.TXT": "Two.", "b.wav": "", "b.txt": "B.", "b.TXT": "B."}
    )
    used, left_out = prepared("folder", tmp_path / "c")
    assert used == {"b": ("c", "b.wav", "B.")}
    assert left_out == {"a": "ambiguous: different texts in a.TXT and a.txt"}


def test_a_file_name_that_is_no_text_is_dropped(tmp_path: Path) -> None:
    write_files(tmp_path / "c", {"b.wav": "", "b.txt": "Two.", "metadata.csv": "b|Two.\n"})
    name = os.fsencode(tmp_path / "c") + b"/\xff"
    os.link(tmp_path / "c" / "b.wav", name + b".wav")
    used, left_out = prepared("folder", tmp_path / "c")
    assert used == {"b": ("c", "b.wav", "Two.")} and list(left_out.values()) == ["no transcript: not in metadata.csv"]
    (tmp_path / "c" / "metadata.csv").unlink()
    os.link(tmp_path / "c" / "b.txt", name + b".txt")
    used, left_out = prepared("folder", tmp_path / "c")
    assert used == {"b": ("c", "b.wav", "Two.")} and len(left_out) == 1


def test_every_recording_and_entry_that_is_not_used_is_listed_with_its_reason(tmp_path: Path) -> None:
    corpus = tmp_path / "anna"
    write_files(
        corpus,
        {
            "metadata.csv": "a|One.\na.wav|One.\ngone|Two.\nempty|\ntwice|Three.\n",
            **dict.fromkeys(["wavs/a.wav", "a.flac", "wavs/empty.wav", "x/twice.wav", "y/twice.wav", "wavs/b.wav"], ""),
        },
    )
    (corpus / "wavs" / "b.txt").write_text("A text file is no entry of the list.")
    used, left_out = prepared("folder", corpus)
    assert used == {"a": ("anna", "a.wav", "One.")}
    assert left_out == {
        "a": "listed twice: line 1 of metadata.csv repeats line 2",
        "gone": "missing audio",
        "empty": "empty text",
        "twice": "ambiguous: line 5 of metadata.csv matches x/twice.wav and y/twice.wav",
        "a.flac": "no transcript: not in metadata.csv",
        "wavs/b.wav": "no transcript: not in metadata.csv",
        "x/twice.wav": "no transcript: not in metadata.csv",
        "y/twice.wav": "no transcript: not in metadata.csv",
    }


def test_another_format_of_a_recording_is_listed_as_such(tmp_path: Path) -> None:
    write_files(tmp_path / "c", {"metadata.csv": "a|One.\n", "a.mp3": "", "a.wav": ""})
    assert prepared("folder", tmp_path / "c") == (
        {"a": ("c", "a.wav", "One.")},
        {"a.mp3": "duplicate of a.wav, which is used"},
    )


@pytest.mark.parametrize("listed", ["1|One.\n", "anna/1.wav|One.\n", "/home/me/data/anna/1.wav|One.\n"])
def test_subfolders_are_speakers_of_a_list_without_speakers(tmp_path: Path, listed: str) -> None:
    write_files(tmp_path / "c", {"metadata.csv": listed, "wavs/anna/1.wav": ""})
    used, _ = prepared("folder", tmp_path / "c")
    ((speaker, audio, text),) = used.values()
    assert (speaker, audio, text) == ("anna", "1.wav", "One.")


def test_each_subfolder_may_have_its_own_list(tmp_path: Path) -> None:
    files = {f"{name}/metadata.csv": f"1|I am {name}.\n" for name in ("anna", "bob")}
    write_files(tmp_path / "c", {**files, "anna/wavs/1.wav": "", "bob/1.wav": "", "eve/1.wav": "", "eve/1.txt": "Eve."})
    assert prepared("folder", tmp_path / "c") == (
        {
            "anna/1": ("anna", "1.wav", "I am anna."),
            "bob/1": ("bob", "1.wav", "I am bob."),
            "eve/1": ("eve", "1.wav", "Eve."),
        },
        {},
    )


def test_a_list_elsewhere_is_given_by_name_and_may_lie_anywhere(tmp_path: Path) -> None:
    write_files(tmp_path / "c", {"x/a.wav": "", "metadata.csv": "a|Wrong.\n"})
    write_files(
        tmp_path, {"lists/mine.txt": f"../c/x/a.wav|One.\n{tmp_path}/elsewhere.wav|Two.\n", "elsewhere.wav": ""}
    )
    used, left_out = prepared("folder", tmp_path / "c", transcripts=tmp_path / "lists" / "mine.txt")
    assert used == {"x/a": ("x", "a.wav", "One."), "elsewhere": ("c", "elsewhere.wav", "Two.")}
    assert left_out == {}


@pytest.mark.parametrize("name", ["metadata.tsv", "transcripts.txt", "train_list.txt", "mine.csv", "anna.list"])
def test_a_list_of_another_name_is_found(tmp_path: Path, name: str) -> None:
    write_files(
        tmp_path / "c", {name: "audio_file|text\na.wav|One.\n", "a.wav": "", "speakers.csv": "name,age\nanna,3\n"}
    )
    assert prepared("folder", tmp_path / "c")[0] == {"a": ("c", "a.wav", "One.")}


def test_several_lists_are_not_guessed_from(tmp_path: Path) -> None:
    write_files(tmp_path / "c", {"dev.tsv": "path\ttext\na\tOne.\n", "train.tsv": "path\ttext\na\tOne.\n", "a.wav": ""})
    line = error_line(lambda: prepared("folder", tmp_path / "c"), UsageError)
    assert "several transcript lists (dev.tsv, train.tsv); choose one with --transcripts" in line


def test_a_table_of_something_else_is_no_list(tmp_path: Path) -> None:
    write_files(tmp_path / "c", {"notes.csv": "just, notes\n", "a.wav": "", "a.txt": "One."})
    assert prepared("folder", tmp_path / "c") == ({"a": ("c", "a.wav", "One.")}, {})


def test_a_contradiction_is_an_error_that_names_both_lines_and_nothing_is_written(tmp_path: Path) -> None:
    write_files(tmp_path / "c", {"metadata.csv": "a|One.\nb|Two.\na|Three.\n", "a.wav": "", "b.wav": ""})
    assert "lines 1 and 3: different texts for" in error_line(lambda: prepared("folder", tmp_path / "c"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("audio", "text"), [(NFC, NFD), (NFD, NFC)])
def test_decomposed_names_are_composed(tmp_path: Path, audio: str, text: str) -> None:
    write_files(
        tmp_path / "c", {f"{audio}/{audio}.wav": "", f"{audio}/{text}.txt": "One.", "x.wav": "", "x.txt": "Two."}
    )
    if audio != text:
        (tmp_path / "c" / text).mkdir(exist_ok=True)
        os.rename(tmp_path / "c" / audio / f"{text}.txt", tmp_path / "c" / text / f"{text}.txt")
    used, left_out = prepared("folder", tmp_path / "c")
    assert used[f"{NFC}/{NFC}"][::2] == (NFC, "One.") and len(used) == 2 and left_out == {}


def test_folders_behind_links_are_read_once_and_loops_end(tmp_path: Path) -> None:
    write_files(tmp_path / "elsewhere", {"1.wav": "", "1.txt": "One."})
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "anna").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "c")
    assert prepared("folder", tmp_path / "c") == ({"anna/1": ("anna", "1.wav", "One.")}, {})


def test_speed_perturbed_copies_of_an_earlier_run_are_not_read(tmp_path: Path) -> None:
    corpus = tmp_path / "c"
    write_files(corpus, {"1.wav": "", "1.txt": "One."})
    first = prepare("folder", corpus, corpus, [0.9])
    again = prepare("folder", corpus, corpus, [0.9])
    assert again.utterances == first.utterances and len(first) == 2
    assert dropped(corpus) == {}


def test_a_name_that_ends_with_a_speed_is_dropped(tmp_path: Path) -> None:
    write_files(
        tmp_path / "c", {"anna@0.9/1.wav": "", "anna@0.9/1.txt": "One.", "bob@home/1.wav": "", "bob@home/1.txt": "Hi."}
    )
    used, left_out = prepared("folder", tmp_path / "c")
    assert used == {"bob@home/1": ("bob@home", "1.wav", "Hi.")}
    assert left_out == {
        "anna@0.9/1": "the id or speaker ends with a speed such as @0.9, which marks speed-perturbed copies"
    }


def test_control_characters_are_dropped_with_their_reason(tmp_path: Path) -> None:
    write_files(tmp_path / "c", {"a.wav": "", "a.txt": "red \x1b[31m", "b.wav": "", "b.txt": "One\u2028two\x85three."})
    used, left_out = prepared("folder", tmp_path / "c")
    assert used == {"b": ("c", "b.wav", "One two three.")}
    assert left_out == {"a": "text contains the control character U+001B"}


@pytest.mark.parametrize(
    ("out", "fault"),
    [
        ("taken", "manifest.jsonl: it is a folder"),
        ("occupied", "speed_perturbed is not a folder"),
        ("file", "file is not a folder"),
        ("file/below", "file is not a folder"),
        ("n" * 300, "File name too long"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_recordings_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, fault: str
) -> None:
    (tmp_path / "file").write_text("Mine.")
    (tmp_path / "taken" / "manifest.jsonl").mkdir(parents=True)
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "speed_perturbed").touch()
    write_files(tmp_path / "c", {"a.wav": "", "a.txt": "One."})
    monkeypatch.setattr("data_prep.pipeline.work.run_job", pytest.fail)
    assert fault in error_line(lambda: prepare("folder", tmp_path / "c", tmp_path / out, [0.9]))
    assert (tmp_path / "file").read_text() == "Mine."


def test_a_broken_link_is_a_missing_recording(tmp_path: Path) -> None:
    write_audio(tmp_path / "c" / "b.wav")
    write_files(tmp_path / "c", {"a.txt": "One.", "b.txt": "Two."})
    (tmp_path / "c" / "a.wav").symlink_to(tmp_path / "gone.wav")
    assert prepared("folder", tmp_path / "c") == ({"b": ("c", "b.wav", "Two.")}, {"a": "missing audio"})
