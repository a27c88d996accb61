"""`match_transcripts`: finds the recording that each entry of a transcript list names."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tts_meta.corpus.text_file import printable_path, quoted
from tts_meta.corpus.transcript_columns import AUDIO_SUFFIXES
from tts_meta.corpus.transcripts import Transcript
from tts_meta.errors import TtsMetaError

_ABSOLUTE = re.compile(r"~?/|[A-Za-z]:/")
_AUDIO_FOLDER = "wavs"
"""Folder of the recordings of LJSpeech, whose list names them by id."""


@dataclass
class Matches:
    """Recordings and their entries. An entry without a recording is in one of the last three fields."""

    entry_of: dict[Path, Transcript] = field(default_factory=dict)
    other_parts: dict[Path, list[Transcript]] = field(default_factory=dict)
    """Entries of further parts of a recording whose first entry is that of a part too."""
    repeated: dict[int, int] = field(default_factory=dict)
    """Lines with the same recording and text as an earlier line, and that line."""
    ambiguous: dict[int, list[Path]] = field(default_factory=dict)
    """Lines that fit several recordings equally well."""
    missing: list[Transcript] = field(default_factory=list)
    """Entries whose recording does not exist."""

    def entries(self, path: Path) -> list[Transcript]:
        """Return the entries of a recording: one, or one for each part, in the order of the list."""
        first = [self.entry_of[path]] if path in self.entry_of else []
        return sorted([*first, *self.other_parts.get(path, ())], key=lambda entry: entry.line)


def match_transcripts(
    transcripts: Sequence[Transcript],
    audio: Iterable[Path],
    source: Path,
    folders: Sequence[Path],
    loose: bool = False,
) -> Matches:
    """Find the recording that each entry names, among `audio`.

    A name is a path below one of the `folders`, or the end of a recording's path. The suffix may differ or be absent.
    Upper and lower case and Unicode normalisation forms (NFC, NFD) are equivalent; an exact match has priority.
    An absolute path of another machine matches by the longest end of the path that is unambiguous among all entries and
    recordings. With `loose`, relative paths match in the same way. `source` is the path of the list, for messages.

    Raises TtsMetaError that names both lines if two entries give one recording different texts.
    """
    matcher = _Matcher(transcripts, audio, source)
    matcher.match_below([*(folder / _AUDIO_FOLDER for folder in folders), *folders])
    matcher.match_ends(loose)
    matcher.finish()
    return matcher.matches


def find_sidecar(audio: Path) -> Path | None:
    """Return the `.txt` file in the folder of a recording that has the name of the recording, or None.

    The name may be in NFC or NFD, and the suffix in upper or lower case.
    """
    exact = audio.with_suffix(".txt")
    if exact.is_file():
        return exact
    stem = to_nfc(audio.stem)
    texts = (path for path in audio.parent.glob("*") if path.suffix.lower() == ".txt" and to_nfc(path.stem) == stem)
    return min((path for path in texts if path.is_file()), default=None)


def name_stem(name: str) -> str:
    """Return a name without the suffix of a recording, such as `.wav`; other names do not change."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in AUDIO_SUFFIXES and os.path.basename(stem) else name


def to_nfc(name: str) -> str:
    """Return a name in the Unicode form NFC, which most systems use; file names from a Mac are in NFD."""
    return unicodedata.normalize("NFC", name)


def _exact(path: str) -> str:
    return path


def _stem(path: str) -> str:
    return name_stem(path)


def _folded(path: str) -> str:
    return to_nfc(name_stem(path).casefold())


Normaliser = Callable[[str], str]
_NORMALISERS: tuple[Normaliser, ...] = (_exact, _stem, _folded)
"""Two paths are equal if their normalised forms are: from the strictest to the loosest comparison."""


class _Entry:
    """An entry, its path with slashes, and the folders and the file in that path."""

    def __init__(self, transcript: Transcript) -> None:
        path = _slashed(transcript.name)
        first, *others = path.split("/")
        parts = [part for part in ([] if first == "~" else [first]) + others if part not in ("", ".")]
        self.transcript = transcript
        self.path = path
        self.is_absolute = _ABSOLUTE.match(path) is not None
        self.parts = parts[len(parts) - parts[::-1].index("..") :] if ".." in parts else parts
        # A name that ends with a slash or a dot names a folder, not a recording.
        self.names_file = path.rpartition("/")[2] not in ("", ".", "..")

    def last_parts(self, count: int) -> str:
        return "/".join(self.parts[-count:])


class _Matcher:
    """Matching of entries and recordings, from the strictest comparison to the loosest."""

    def __init__(self, transcripts: Sequence[Transcript], audio: Iterable[Path], source: Path) -> None:
        self.source = source
        self.matches = Matches()
        self.entries = [_Entry(transcript) for transcript in transcripts]
        self.unmatched = [entry for entry in self.entries if entry.names_file]
        self.matched_by: dict[Path, Normaliser] = {}
        self.files: dict[Path, str] = {}
        self.spellings: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(set(audio), key=_preference):
            absolute = os.path.abspath(path)
            if not self.spellings[absolute]:
                self.files[path] = _slashed(absolute)
            self.spellings[absolute].append(path)
        # A name without a suffix, or with a suffix that no file has, means the recording in the preferred format.
        first_of = {name_stem(name): path for path, name in reversed(self.files.items())}
        self.preferred = {
            path: self.files[path] for path in self.files if first_of[name_stem(self.files[path])] == path
        }

    def match_below(self, folders: Iterable[Path]) -> None:
        """Match the entries that are paths below one of the folders."""
        bases = [_slashed(os.path.abspath(folder)) for folder in folders]
        for normalise in _NORMALISERS:
            index = self._index(normalise, lambda name: name)
            for base in bases:
                paths = {entry: os.path.normpath(os.path.join(base, entry.path)) for entry in self.unmatched}
                self._match(normalise, index, paths)

    def match_ends(self, loose: bool) -> None:
        """Match entries that are the end of a recording's path, and entries that share an unambiguous end with one."""
        for count in range(max((len(entry.parts) for entry in self.unmatched), default=0), 0, -1):
            for normalise in _NORMALISERS:
                complete = {entry: entry.last_parts(count) for entry in self.unmatched if len(entry.parts) == count}
                partly = [
                    entry for entry in self.unmatched if len(entry.parts) > count and (entry.is_absolute or loose)
                ]
                # The entries of the parts of one recording count once.
                distinct = {entry.path if entry.transcript.is_part else entry: entry for entry in self.entries}.values()
                shared = Counter(normalise(entry.last_parts(count)) for entry in distinct) if partly else Counter()
                partial = {entry: name for entry in partly if shared[normalise(name := entry.last_parts(count))] == 1}
                if complete or partial:
                    self._match(normalise, self._index(normalise, _last_parts(count)), complete | partial)

    def finish(self) -> None:
        """List the missing entries, and assign an entry to each spelling of a recording's path."""
        folders = [entry for entry in self.entries if not entry.names_file]
        self.matches.missing = [entry.transcript for entry in (*self.unmatched, *folders)]
        for first, *others in self.spellings.values():
            if first in self.matches.entry_of:
                self.matches.entry_of.update(dict.fromkeys(others, self.matches.entry_of[first]))
            if first in self.matches.other_parts:
                self.matches.other_parts.update(dict.fromkeys(others, self.matches.other_parts[first]))

    def _index(self, normalise: Normaliser, part: Callable[[str], str]) -> dict[str, list[Path]]:
        index: dict[str, list[Path]] = defaultdict(list)
        for path, name in (self.files if normalise is _exact else self.preferred).items():
            index[normalise(part(name))].append(path)
        return index

    def _match(self, normalise: Normaliser, index: Mapping[str, list[Path]], names: Mapping[_Entry, str]) -> None:
        unmatched = []
        for entry in self.unmatched:
            name = names.get(entry)
            files = index.get(normalise(name), ()) if name else ()
            if len(files) > 1:
                self.matches.ambiguous[entry.transcript.line] = list(files)
            elif not files or not self._pair(entry.transcript, files[0], normalise):
                unmatched.append(entry)
        self.unmatched = unmatched

    def _pair(self, transcript: Transcript, path: Path, normalise: Normaliser) -> bool:
        """Assign the recording to the entry; return False if the recording has a better entry."""
        earlier = self.matches.entry_of.get(path)
        if earlier is None:
            self.matches.entry_of[path] = transcript
            self.matched_by[path] = normalise
            return True
        parts = [earlier, *self.matches.other_parts.get(path, ())]
        if all(_part(entry) != _part(transcript) for entry in parts) and transcript.is_part and earlier.is_part:
            self.matches.other_parts.setdefault(path, []).append(transcript)
            return True
        earlier = next((entry for entry in parts if _part(entry) == _part(transcript)), earlier)
        if _words(earlier.text) == _words(transcript.text):
            self.matches.repeated[transcript.line] = earlier.line
            return True
        if normalise is _folded and self.matched_by[path] is not _folded:
            return False
        first, second = sorted((earlier, transcript), key=lambda entry: entry.line)
        raise TtsMetaError(
            f"{printable_path(self.source)}, lines {first.line} and {second.line}: different texts for "
            f"{printable_path(path)}, {quoted(first.text)} and {quoted(second.text)}; keep one of them"
        )


def _slashed(path: str) -> str:
    return to_nfc(path).replace("\\", "/")


def _last_parts(count: int) -> Callable[[str], str]:
    return lambda name: "/".join(name.split("/")[-count:])


def _preference(path: Path) -> tuple[int, str]:
    suffix = path.suffix.lower()
    return AUDIO_SUFFIXES.index(suffix) if suffix in AUDIO_SUFFIXES else len(AUDIO_SUFFIXES), str(path)


def _part(transcript: Transcript) -> tuple[float | None, float | None]:
    return transcript.start, transcript.end


def _words(text: str) -> str:
    return to_nfc(" ".join(text.split()))
