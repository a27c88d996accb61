"""Which recording each entry of a list of transcripts names."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tts_meta.corpus.text_file import shown, shown_path
from tts_meta.corpus.transcript_columns import AUDIO_SUFFIXES
from tts_meta.corpus.transcripts import Transcript
from tts_meta.errors import TtsMetaError

_ABSOLUTE = re.compile(r"~?/|[A-Za-z]:/")
_AUDIO_FOLDER = "wavs"
"""Where LJSpeech keeps the recordings that its list names by id."""


@dataclass
class Matches:
    """Recordings and their entries. Entries without a recording are in one of the other three."""

    found: dict[Path, Transcript] = field(default_factory=dict)
    repeated: dict[int, int] = field(default_factory=dict)
    """Lines that say the same of the same recording as an earlier line."""
    ambiguous: dict[int, list[Path]] = field(default_factory=dict)
    """Lines that name several recordings alike."""
    missing: list[Transcript] = field(default_factory=list)
    """Entries whose recording is not there."""


def match_transcripts(
    transcripts: Sequence[Transcript],
    audio: Iterable[Path],
    source: Path,
    folders: Sequence[Path],
    loose: bool = False,
) -> Matches:
    """Find the recording that each entry names, among `audio`.

    A name is a path below one of the `folders`, or the end of a recording's path; its suffix may be another or absent,
    and letters match in any case and whether composed or decomposed (NFC, NFD), an exact match before any other. Paths
    of another machine, which begin at its root, match by as much of their end as is unambiguous among all entries and
    recordings; with `loose`, relative paths too. `source` is the list, for messages.

    Raises TtsMetaError naming both lines where two entries give one recording different texts.
    """
    matcher = _Matcher(transcripts, audio, source)
    matcher.match_below([*(folder / _AUDIO_FOLDER for folder in folders), *folders])
    matcher.match_ends(loose)
    matcher.finish()
    return matcher.matches


def find_sidecar(audio: Path) -> Path | None:
    """The `.txt` file of a recording's name next to it, or None; suffixes match in any case, NFC and NFD names too."""
    exact = audio.with_suffix(".txt")
    if exact.is_file():
        return exact
    stem = composed(audio.stem)
    alike = (path for path in audio.parent.glob("*") if path.suffix.lower() == ".txt" and composed(path.stem) == stem)
    return min((path for path in alike if path.is_file()), default=None)


def name_stem(name: str) -> str:
    """A name without the suffix of a recording, where it has one."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in AUDIO_SUFFIXES and os.path.basename(stem) else name


def composed(name: str) -> str:
    """A name as most systems write it (NFC): file names that come from a Mac are decomposed."""
    return unicodedata.normalize("NFC", name)


def _exact(path: str) -> str:
    return path


def _stem(path: str) -> str:
    return name_stem(path)


def _folded(path: str) -> str:
    return composed(name_stem(path).casefold())


Way = Callable[[str], str]
_WAYS: tuple[Way, ...] = (_exact, _stem, _folded)
"""From the strictest to the loosest in which two paths are compared."""


class _Entry:
    """An entry, its path with slashes, and the parts of that path that name folders and file."""

    def __init__(self, transcript: Transcript) -> None:
        path = _slashed(transcript.name)
        first, *others = path.split("/")
        parts = [part for part in ([] if first == "~" else [first]) + others if part not in ("", ".")]
        self.transcript = transcript
        self.path = path
        self.is_absolute = _ABSOLUTE.match(path) is not None
        self.parts = parts[len(parts) - parts[::-1].index("..") :] if ".." in parts else parts
        # What ends like a folder names no recording.
        self.names_file = path.rpartition("/")[2] not in ("", ".", "..")

    def end(self, count: int) -> str:
        return "/".join(self.parts[-count:])


class _Matcher:
    def __init__(self, transcripts: Sequence[Transcript], audio: Iterable[Path], source: Path) -> None:
        self.source = source
        self.matches = Matches()
        self.entries = [_Entry(transcript) for transcript in transcripts]
        self.waiting = [entry for entry in self.entries if entry.names_file]
        self.ways: dict[Path, Way] = {}
        self.files: dict[Path, str] = {}
        self.spellings: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(set(audio), key=_preference):
            absolute = os.path.abspath(path)
            if not self.spellings[absolute]:
                self.files[path] = _slashed(absolute)
            self.spellings[absolute].append(path)
        # A name without a suffix, or with one that is not there, means the preferred of several formats.
        first_of = {name_stem(name): path for path, name in reversed(self.files.items())}
        self.preferred = {
            path: self.files[path] for path in self.files if first_of[name_stem(self.files[path])] == path
        }

    def match_below(self, folders: Iterable[Path]) -> None:
        """Match the entries that are paths below one of the folders."""
        bases = [_slashed(os.path.abspath(folder)) for folder in folders]
        for way in _WAYS:
            index = self._index(way, lambda name: name)
            for base in bases:
                paths = {entry: os.path.normpath(os.path.join(base, entry.path)) for entry in self.waiting}
                self._match(way, index, paths)

    def match_ends(self, loose: bool) -> None:
        """Match the entries that are the end of a recording's path or, of other machines' paths, share an end."""
        for count in range(max((len(entry.parts) for entry in self.waiting), default=0), 0, -1):
            for way in _WAYS:
                whole = {entry: entry.end(count) for entry in self.waiting if len(entry.parts) == count}
                longer = [entry for entry in self.waiting if len(entry.parts) > count and (entry.is_absolute or loose)]
                shared = Counter(way(entry.end(count)) for entry in self.entries) if longer else Counter()
                partial = {entry: name for entry in longer if shared[way(name := entry.end(count))] == 1}
                if whole or partial:
                    self._match(way, self._index(way, _end_of(count)), whole | partial)

    def finish(self) -> None:
        """Note what is missing, and give each way of writing a recording's path its entry."""
        folders = [entry for entry in self.entries if not entry.names_file]
        self.matches.missing = [entry.transcript for entry in (*self.waiting, *folders)]
        for first, *others in self.spellings.values():
            if first in self.matches.found:
                self.matches.found.update(dict.fromkeys(others, self.matches.found[first]))

    def _index(self, way: Way, part: Callable[[str], str]) -> dict[str, list[Path]]:
        index: dict[str, list[Path]] = defaultdict(list)
        for path, name in (self.files if way is _exact else self.preferred).items():
            index[way(part(name))].append(path)
        return index

    def _match(self, way: Way, index: Mapping[str, list[Path]], names: Mapping[_Entry, str]) -> None:
        still = []
        for entry in self.waiting:
            name = names.get(entry)
            files = index.get(way(name), ()) if name else ()
            if len(files) > 1:
                self.matches.ambiguous[entry.transcript.line] = list(files)
            elif not files or not self._pair(entry.transcript, files[0], way):
                still.append(entry)
        self.waiting = still

    def _pair(self, transcript: Transcript, path: Path, way: Way) -> bool:
        """Give the recording to the entry; False where it has a better one."""
        earlier = self.matches.found.get(path)
        if earlier is None:
            self.matches.found[path] = transcript
            self.ways[path] = way
            return True
        if _words(earlier.text) == _words(transcript.text):
            self.matches.repeated[transcript.line] = earlier.line
            return True
        if way is _folded and self.ways[path] is not _folded:
            return False
        first, second = sorted((earlier, transcript), key=lambda one: one.line)
        raise TtsMetaError(
            f"{shown_path(self.source)}, lines {first.line} and {second.line}: different texts for "
            f"{shown_path(path)}, {shown(first.text)} and {shown(second.text)}; keep one of them"
        )


def _slashed(path: str) -> str:
    return composed(path).replace("\\", "/")


def _end_of(count: int) -> Callable[[str], str]:
    return lambda name: "/".join(name.split("/")[-count:])


def _preference(path: Path) -> tuple[int, str]:
    suffix = path.suffix.lower()
    return AUDIO_SUFFIXES.index(suffix) if suffix in AUDIO_SUFFIXES else len(AUDIO_SUFFIXES), str(path)


def _words(text: str) -> str:
    return composed(" ".join(text.split()))
