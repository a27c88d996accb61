from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from cases import case_folder
from faults import error_line

from tts_meta.adapt import find_transcripts
from tts_meta.corpus import Transcript, match_transcripts, read_transcripts

OZ = "I'm afraid I don't know much about the Land of Oz."
NFC, NFD = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")


def entries(folder: Path, content: str | bytes, name: str = "list.txt") -> list[Transcript]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_transcripts(path)


def rows(folder: Path, content: str | bytes, name: str = "list.txt") -> list[tuple[str, str, str | None]]:
    return [(entry.name, entry.text, entry.speaker) for entry in entries(folder, content, name)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a.wav|Hello there.\n\nb|Yes.", [("a.wav", "Hello there.", None), ("b", "Yes.", None)]),
        ("a|It was 1846.|It was eighteen forty-six.\n", [("a", "It was eighteen forty-six.", None)]),
        ("a|Dr. No|Doctor No\nb|Raw only|\nc|Two columns\nd||\n", None),
        ("a|Hello there, you.|\n", [("a", "Hello there, you.", None)]),
        ("a|1846|eighteen forty-six\nb|Hello.|Hello.\n", [("a", "eighteen forty-six", None), ("b", "Hello.", None)]),
        ("p/a.wav|Hello there, you.|12\n", [("p/a.wav", "Hello there, you.", "12")]),
        ("a.wav|hɛlˈoʊ ðˈɛɹ, jˈuː.|anna\n", [("a.wav", "hɛlˈoʊ ðˈɛɹ, jˈuː.", "anna")]),
        ("a|anna|Hello there, you.\n", [("a", "Hello there, you.", "anna")]),
        ("a|0|Yes\nb|1|No\n", [("a", "Yes", "0"), ("b", "No", "1")]),
        ("a|anna|Yes\nb|anna|No\n", [("a", "Yes", "anna"), ("b", "No", "anna")]),
        ("a|an|An answer, and another.\nb|an|Can anyone?\n", None),
        ("d/a.wav|anna|en|Hello there.\n", [("d/a.wav", "Hello there.", "anna")]),
        ("audio_file|text\nwavs/a.wav|Hello.\n", [("wavs/a.wav", "Hello.", None)]),
        ("audio_file|text|speaker_name\na.wav|Hello.|anna\n", [("a.wav", "Hello.", "anna")]),
        ("Speaker Name|Audio File|Normalised-Text|text\nanna|a|Ten.|10\nbob|b||Hi.\n", None),
        ("a.wav\tHe said | she said.\n", [("a.wav", "He said | she said.", None)]),
        (
            'client_id\tpath\tsentence\tage\nx1\ta.mp3\t"No," he said, "no"\t\n',
            [("a.mp3", '"No," he said, "no"', "x1")],
        ),
        ('path\tsentence\na.mp3\t"He said ""no""."\n', [("a.mp3", 'He said "no".', None)]),
        ('file,text\na.wav,"Hello, you | there"\nb.wav,Yes\n', None),
        ('a.wav,"Hello, you"\nb.wav,Yes\n', [("a.wav", "Hello, you", None), ("b.wav", "Yes", None)]),
        ('file;text\na.wav;"One; two\nthree"\n', [("a.wav", "One; two\nthree", None)]),
        ('{"audio": "a.wav", "text": "Hi.", "speaker": 3}\n', [("a.wav", "Hi.", "3")]),
        ('{"audio_filepath": "/x/a.wav", "duration": 1.5, "text": "Hi."}', [("/x/a.wav", "Hi.", None)]),
        ("a|One\u2028two\x85three\x0cfour\n", [("a", "One\u2028two\x85three\x0cfour", None)]),
        ("\ufeffa|One\r\nb|Two\r\n", [("a", "One", None), ("b", "Two", None)]),
        ("a|One\rb|Two\r", [("a", "One", None), ("b", "Two", None)]),
        ("a|für".encode("utf-16"), [("a", "für", None)]),
        (b"\xff\xfe\x00\x00" + "a|für".encode("utf-32-le"), [("a", "für", None)]),
        ("\n \n  a  |  Hello.  \n", [("a", "Hello.", None)]),
        ('"a b.wav"|"Hello," he said.\n', [("a b.wav", '"Hello," he said.', None)]),
    ],
)
def test_a_list_is_read_in_the_form_it_has(
    tmp_path: Path, content: str | bytes, expected: list[tuple[str, str, str | None]] | None
) -> None:
    long_ones = {
        "a|Dr": [("a", "Doctor No", None), ("b", "Raw only", None), ("c", "Two columns", None), ("d", "", None)],
        "a|an": [("a", "An answer, and another.", "an"), ("b", "Can anyone?", "an")],
        "Spea": [("a", "Ten.", "anna"), ("b", "Hi.", "bob")],
        "file": [("a.wav", "Hello, you | there", None), ("b.wav", "Yes", None)],
    }
    assert rows(tmp_path, content) == (expected or long_ones[str(content)[:4]])


def test_the_other_columns_of_a_header_are_kept(tmp_path: Path) -> None:
    (entry,) = entries(tmp_path, "id\tpath\tsentence\tlocale\tgender\nu1\ta.wav\tHello.\ten\tF\n")
    assert entry == Transcript(2, "a.wav", "Hello.", "u1", None, "en", "F")
    (entry,) = entries(tmp_path, "a.wav|anna|ja|こんにちは\n")
    assert (entry.language, entry.text) == ("ja", "こんにちは")


def test_a_line_of_csv_is_counted_where_it_begins(tmp_path: Path) -> None:
    read = entries(tmp_path, 'file,text\na.wav,"One\ntwo"\n\nb.wav,Yes\n')
    assert [entry.line for entry in read] == [2, 5]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "empty; write a line"),
        (" \n\n", "empty; write a line"),
        ("audio_file|text\n", "a header without entries"),
        ("a|One\nb Two\n", "line 2: no '|' between file and text"),
        ("just words\n", "line 1: no '|' between file and text"),
        ("a|One\n|Two\n", "line 2: no file name"),
        ("a|One\nb|Left | right\n", "line 2: 3 fields, but most lines have 2; if there is a '|' inside a text"),
        ("b|Left | right\na|One\n", "line 1: 3 fields, but most lines have 2"),
        ("a|Left | right\n", "it is not clear which of the three columns is the speaker"),
        ("a|One.|One.\nb|Two.|Two.\nc|He said so.|That is it.\n", "line 3: the two texts are not similar"),
        ("a|One.|One.\nb|He said|she said|Two.\n", "line 2: 4 fields, but most lines have 3"),
        ("a" + "|" * 10**6 + "\n", "1000001 columns of an unknown form"),
        ("a|b|c d|e\n", "4 columns of an unknown form"),
        ("a|anna|Hello, you.\nb|Hello, you.\nc|bob|Yes.\n", "line 2: 2 fields, but most lines have 3"),
        ("audio_file|text\na|One|two\n", "line 2: 3 fields, but the header has 2"),
        ("audio_file|text|speaker\na|One\n", "line 2: 2 fields, but the header has 3"),
        ('file,text\na.wav,"One\n', "line 2: invalid CSV"),
        ('{"audio": "a", "text": "b"}\n[1]\n', "line 2: not a JSON object"),
        ('{"audio": "a", "text": "b"}\n{\n', "line 2: invalid JSON"),
        ('{"audio": "a", "said": "b"}\n', "line 1: the keys of file and text are missing"),
        ('{"audio": "a", "text": ["b"]}\n', "line 1: the value of 'text' is not a string"),
        ('{"audio": "a", "text": "\\ud800"}\n', "line 1: 'text' contains a lone surrogate"),
        ("a|One\nb|für".encode("latin-1"), "not UTF-8 text (byte 0xFC in line 2); save it as UTF-8"),
        (b"\xff\xfea", "not UTF-8 text; save it as UTF-8"),
        ("a|One\n".encode("utf-16-le"), "not UTF-8 text, because it contains zero bytes"),
    ],
)
def test_a_list_that_is_none_is_refused_by_line_and_fault(tmp_path: Path, content: str | bytes, fault: str) -> None:
    line = error_line(lambda: entries(tmp_path, content))
    assert line.startswith(f"{tmp_path / 'list.txt'}") and fault in line


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "none.txt: cannot be read (No such file" in error_line(lambda: read_transcripts(tmp_path / "none.txt"))
    assert "cannot be read (Is a directory)" in error_line(lambda: read_transcripts(tmp_path))
    assert "larger than" in error_line(lambda: read_transcripts(Path("/dev/zero")))


def matched(content: str, *audio: str, loose: bool = False) -> dict[str, str]:
    """Return the texts that a list `/c/list.txt` assigns to recordings below `/c`."""
    fields = [line.split("|") for line in content.split()]
    lines = [Transcript(number, name, text) for number, (name, text) in enumerate(fields, 1)]
    paths = [Path("/c") / name for name in audio]
    entries = match_transcripts(lines, paths, Path("/c/list.txt"), [Path("/c")], loose).entry_of
    return {str(path.relative_to("/c")): entry.text for path, entry in entries.items()}


@pytest.mark.parametrize(
    ("name", "audio"),
    [
        ("a.wav", "a.wav"),
        ("a", "a.wav"),
        ("a.WAV", "a.wav"),
        ("a.mp3", "a.wav"),
        ("a.b", "a.b.wav"),
        ("A.wav", "a.WAV"),
        ("x/a.wav", "x/a.wav"),
        ("./x/a", "x/a.wav"),
        ("x\\a.wav", "x/a.wav"),
        ("a.wav", "wavs/a.wav"),
        ("x/a.wav", "deep/x/a.wav"),
        ("../c/x/a.wav", "x/a.wav"),
        ("/c/x/a.wav", "x/a.wav"),
        ("/home/me/x/a.wav", "y/a.wav"),
        ("C:\\data\\a.wav", "y/a.wav"),
        (f"{NFC}.wav", f"{NFD}.wav"),
        (NFD, f"x/{NFC}.flac"),
    ],
)
def test_a_name_finds_its_recording(name: str, audio: str) -> None:
    assert matched(f"{name}|T\nother|U", audio, "z.wav") == {audio: "T"}


def test_the_closest_of_several_names_is_taken() -> None:
    assert matched("a|1\nx/a|2", "a.wav", "x/a.wav") == {"a.wav": "1", "x/a.wav": "2"}
    assert matched("a.wav|1\nA.wav|2", "a.wav", "A.wav") == {"a.wav": "1", "A.wav": "2"}
    assert matched("a.wav|1\na.mp3|2", "a.wav", "a.mp3") == {"a.wav": "1", "a.mp3": "2"}
    assert matched("a|1", "a.mp3", "a.wav", "a.flac") == {"a.wav": "1"}
    assert matched("a|1", "a.wav", "wavs/a.wav") == {"wavs/a.wav": "1"}
    assert matched("/m/x/a|1\n/m/y/a|2", "d/x/a.wav", "d/y/a.wav") == {"d/x/a.wav": "1", "d/y/a.wav": "2"}
    assert matched("a.wav|1\nA.wav|2", "a.wav") == {"a.wav": "1"}, "another letter case is another recording"


def test_what_fits_several_recordings_is_taken_for_none() -> None:
    assert matched("a|1", "x/a.wav", "y/a.wav") == {}
    assert matched("/m/a|1", "x/a.wav", "y/a.wav") == {}
    assert matched("/m/x/a|1\n/m/y/a|2", "z/a.wav") == {}
    assert matched("anna/1|1", "bob/1.wav") == {}, "a relative path is of this corpus"
    assert matched("anna/1|1", "bob/1.wav", loose=True) == {"bob/1.wav": "1"}
    assert matched("anna/1|1\nbea/1|2", "bob/1.wav", loose=True) == {}


@pytest.mark.parametrize("name", ["a/", "a/.", "a/..", "b/../", "..", "."])
def test_the_name_of_a_folder_is_no_recording(name: str) -> None:
    assert matched(f"{name}|1", "a.wav", "c.wav", loose=True) == {}


def test_a_tilde_stands_for_a_home_only_at_the_beginning() -> None:
    assert matched("~/x/a|1", "y/a.wav") == {"y/a.wav": "1"}
    assert matched("~a|1", "a.wav", "~a.wav") == {"~a.wav": "1"}
    assert matched("a/~|1", "a.wav", "a/~.wav") == {"a/~.wav": "1"}


def test_one_recording_with_two_texts_is_an_error_that_names_both_lines() -> None:
    for first, second in (("a", "a"), ("a", "a.wav"), ("a.wav", "a.mp3"), ("x/a", "a"), ("/c/x/a.wav", "a")):
        line = error_line(lambda first=first, second=second: matched(f"{first}|1\n{second}|2", "x/a.wav"))
        assert line == "/c/list.txt, lines 1 and 2: different texts for /c/x/a.wav, '1' and '2'; keep one of them"


def test_entries_without_a_recording_are_listed() -> None:
    lines = [Transcript(number, name, text) for number, (name, text) in enumerate(["a1", "a1", "b2", "c3"], 1)]
    matches = match_transcripts(
        lines, [Path("/c/a.wav"), Path("/c/x/c.wav"), Path("/c/y/c.wav")], Path("l"), [Path("/c")]
    )
    assert matches.repeated == {2: 1}
    assert matches.ambiguous == {4: [Path("/c/x/c.wav"), Path("/c/y/c.wav")]}
    assert [entry.name for entry in matches.missing] == ["b"]


@pytest.mark.parametrize(
    ("case", "expected"), [("list_empty_third", OZ), ("list_nfd_name", OZ), ("list_u2028", "Line one line two.")]
)
def test_the_lists_of_the_cases_are_read(case: str, expected: str) -> None:
    folder = case_folder(case)
    (recording,) = find_transcripts(sorted(folder.glob("*.wav")), folder / "list.txt")
    assert recording.text == expected


def test_clone_names_the_line_that_fits_two_recordings(tmp_path: Path) -> None:
    audio = [tmp_path / "x" / "a.wav", tmp_path / "y" / "a.wav"]
    for path in audio:
        path.parent.mkdir()
        path.write_bytes(b"sound")
    (tmp_path / "list.txt").write_text("a.wav|Hello.\n")
    line = error_line(lambda: find_transcripts(audio, tmp_path / "list.txt"))
    assert line.startswith(f"{audio[0]}: line 1 of {tmp_path / 'list.txt'} also matches {audio[1]}; write")
    assert find_transcripts(audio[:1], tmp_path / "list.txt")[0].text == "Hello."


def test_clone_counts_the_recordings_that_are_not_listed(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.wav").write_bytes(b"sound")
    (tmp_path / "list.txt").write_text("b|Hello.\n")
    line = error_line(lambda: find_transcripts(sorted(tmp_path.glob("*.wav")), tmp_path / "list.txt"))
    assert line == f"{tmp_path}/a.wav and 1 more: not in {tmp_path}/list.txt; add a line `a.wav|TEXT`"


def test_one_recording_given_in_two_ways_has_one_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.wav").write_bytes(b"sound")
    Path("list.txt").write_text("a|Hello.\n")
    given = [Path("a.wav"), tmp_path / "a.wav"]
    assert [recording.text for recording in find_transcripts(given, Path("list.txt"))] == ["Hello.", "Hello."]


@pytest.mark.parametrize(("audio", "text"), [(NFC, NFD), (NFD, NFC)])
@pytest.mark.parametrize("suffix", [".txt", ".TXT"])
def test_a_text_file_next_to_a_recording_is_found_whatever_its_name_is_made_of(
    tmp_path: Path, audio: str, text: str, suffix: str
) -> None:
    (tmp_path / f"{audio}.wav").write_bytes(b"sound")
    (tmp_path / f"{text}{suffix}").write_text("Hello.", encoding="utf-16")
    assert find_transcripts([tmp_path / f"{audio}.wav"])[0].text == "Hello."


def test_a_list_as_long_as_a_corpus_is_read_in_seconds(tmp_path: Path) -> None:
    names = [f"p{speaker}/{number:03d}" for speaker in range(100) for number in range(100)]
    listed = "".join(json.dumps({"audio": f"/data/{name}.wav", "text": f"Text of {name}."}) + "\n" for name in names)
    read = entries(tmp_path, listed)
    entry_of = match_transcripts(
        read, [Path(f"/here/{name}.flac") for name in names], Path("l"), [Path("/here")]
    ).entry_of
    assert all(entry.text == f"Text of {path.parent.name}/{path.stem}." for path, entry in entry_of.items())
    assert len(entry_of) == len(names)
