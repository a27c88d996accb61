"""Reader of a user's folder of recordings, with a transcript list or with a `.txt` file next to each recording.

A list is `metadata.csv`, or another file in a form that `tts_meta.corpus.transcripts` reads. Each subfolder may have
its own `metadata.csv`. The speaker of a recording is taken from the list. Without a speaker in the list, it is the
first subfolder in the recording's path, or else the name of the corpus folder. Subfolders named `wavs`, `wav`, `audio`
or `clips` do not count as speakers.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_prep.files import by_preference, files_below, part_id, read_transcript, relative_id
from data_prep.folder_lists import find_lists
from data_prep.recording import Recording
from tts_meta.corpus import AUDIO_SUFFIXES, Transcript, match_transcripts, name_stem, read_transcripts, to_nfc

_NOT_SPEAKERS = ("wavs", "wav", "audio", "clips")


def read(corpus_dir: Path, transcripts: Path | None = None) -> Iterator[Recording]:
    """Yield every recording and every transcript, including those without a counterpart.

    `transcripts` is the list; with None the folder is searched for lists. Raises TtsMetaError if a list cannot be read
    or has contradictory lines. Raises UsageError if there are several lists and it is not clear which to use.
    """
    files = files_below(corpus_dir)
    audio = by_preference(path for path in files if path.suffix.lower() in AUDIO_SUFFIXES)
    texts = [path for path in files if path.suffix.lower() == ".txt"]
    lists = find_lists(corpus_dir, files, audio) if transcripts is None else [transcripts]
    for path in lists:
        list_folder = path.parent if path.parent.is_relative_to(corpus_dir) and transcripts is None else corpus_dir
        yield from _read_list(
            path, [file for file in audio if file.is_relative_to(list_folder)], list_folder, corpus_dir
        )
        audio = [file for file in audio if not file.is_relative_to(list_folder)]
    if lists:
        stems = {path.parent / name_stem(path.name) for path in audio}
        texts = [path for path in texts if path.with_suffix("") in stems]
    yield from _read_text_files(audio, texts, corpus_dir)


def _read_list(source: Path, audio: list[Path], list_folder: Path, corpus_dir: Path) -> Iterator[Recording]:
    """Yield the recordings below `list_folder`, and recordings elsewhere that the list names by their path."""
    entries = read_transcripts(source)
    audio = list(dict.fromkeys([*audio, *(path for entry in entries if (path := _named_file(source, entry)))]))
    matches = match_transcripts(entries, audio, source, [source.parent, list_folder])
    file_of = {entry.line: path for path in matches.entry_of for entry in matches.entries(path)}
    for entry in entries:
        path, fault = file_of.get(entry.line), None
        if entry.line in matches.repeated:
            fault = f"listed twice: line {entry.line} of {source.name} repeats line {matches.repeated[entry.line]}"
        elif entry.line in matches.ambiguous:
            names = " and ".join(os.path.relpath(file, corpus_dir) for file in matches.ambiguous[entry.line][:2])
            fault = f"ambiguous: line {entry.line} of {source.name} matches {names}"
        elif entry.speaker == "":
            fault = f"empty speaker: line {entry.line} of {source.name}"
        speaker = entry.speaker or _speaker(path, corpus_dir)
        identity = entry.id or part_id(_identity(entry, path, list_folder, corpus_dir), entry.start, entry.end)
        yield Recording(
            *(identity, speaker, path, entry.text, entry.gender, entry.language),
            fault=fault,
            start=entry.start,
            end=entry.end,
            listed_in=source,
            line=entry.line,
        )
    used = {_stem(path): path for path in matches.entry_of}
    for path in sorted(set(audio) - matches.entry_of.keys()):
        fault = _duplicate_fault(path, used, corpus_dir) or f"no transcript: not in {source.name}"
        yield Recording(_with_suffix(path, corpus_dir), _speaker(path, corpus_dir), path, fault=fault)


def _read_text_files(audio: list[Path], texts: list[Path], corpus_dir: Path) -> Iterator[Recording]:
    audio_of: dict[str, list[Path]] = defaultdict(list)
    for path in audio:
        audio_of[_stem(path)].append(path)
    texts_of: dict[str, list[Path]] = defaultdict(list)
    for path in texts:
        texts_of[to_nfc(str(path.with_suffix("")))].append(path)
    for stem in sorted(audio_of.keys() | texts_of.keys()):
        files = audio_of.get(stem, [])
        path = next(iter(files), None)
        text, fault = "", None
        if path is None:
            fault = "missing audio: no recording with the name of the transcript"
        elif stem not in texts_of:
            fault = "no transcript: no .txt with the name of the recording"
        else:
            text, fault = _read_equal_texts(texts_of[stem])
        named_path = path or texts_of[stem][0].with_suffix("")
        identity, speaker = relative_id(named_path, corpus_dir), _speaker(named_path, corpus_dir)
        source = texts_of[stem][0] if stem in texts_of else None
        yield Recording(
            *(identity, speaker, path, text), fault=fault, listed_in=source, line=None if source is None else 1
        )
        for other in files[1:]:
            fault = _duplicate_fault(other, {stem: files[0]}, corpus_dir)
            yield Recording(_with_suffix(other, corpus_dir), _speaker(other, corpus_dir), other, fault=fault)


def _read_equal_texts(paths: list[Path]) -> tuple[str, str | None]:
    """Return the text that all files of one name contain and None, or an empty text and the fault."""
    transcripts = [read_transcript(path) for path in paths]
    if len({text for text, _ in transcripts}) > 1:
        return "", f"ambiguous: different texts in {paths[0].name} and {paths[1].name}"
    return transcripts[0]


def _named_file(source: Path, entry: Transcript) -> Path | None:
    """Return the recording that an entry names by its path, relative to the list or absolute, or None."""
    path = os.path.normpath(os.path.join(os.path.abspath(source.parent), entry.name))
    return Path(path) if path.lower().endswith(AUDIO_SUFFIXES) and os.path.isfile(path) else None


def _identity(entry: Transcript, path: Path | None, list_folder: Path, corpus_dir: Path) -> str:
    """Return the id of an entry: its name without suffix, or its recording's path if the name leaves the folder."""
    name = to_nfc(name_stem(entry.name.replace("\\", "/")))
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name[:1] in "/~" or ":" in name.split("/")[0] or ".." in parts:
        if path is not None and path.is_relative_to(corpus_dir):
            return relative_id(path, corpus_dir)
        parts = parts[-1:]
    return to_nfc("/".join([*list_folder.relative_to(corpus_dir).parts, *parts]))


def _speaker(path: Path | None, corpus_dir: Path) -> str:
    folders: Iterable[str] = ()
    if path is not None and path.is_relative_to(corpus_dir):
        folders = path.relative_to(corpus_dir).parts[:-1]
    return to_nfc(next((name for name in folders if name.lower() not in _NOT_SPEAKERS), corpus_dir.resolve().name))


def _duplicate_fault(path: Path, used: dict[str, Path], corpus_dir: Path) -> str | None:
    other = used.get(_stem(path))
    return None if other is None else f"duplicate of {_with_suffix(other, corpus_dir)}, which is used"


def _stem(path: Path) -> str:
    return to_nfc(name_stem(str(path)))


def _with_suffix(path: Path, corpus_dir: Path) -> str:
    inside = path.is_relative_to(corpus_dir)
    return to_nfc(path.relative_to(corpus_dir).as_posix() if inside else str(path))
