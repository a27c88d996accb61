"""Anybody's folder of recordings: LJSpeech's `metadata.csv`, or a `.txt` beside each recording.

With `metadata.csv` (lines `id|raw text|normalised text`) the audio is `wavs/ID.wav` or `ID.wav`, and the folder's
name is the speaker. Otherwise the speaker is the subfolder that a recording lies in, or the folder's own name.
Recordings may be wav, flac, ogg or mp3.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_prep.recording import AUDIO_SUFFIXES, Recording
from tts_meta.errors import TtsMetaError

METADATA = "metadata.csv"


def read(corpus_dir: Path) -> Iterator[Recording]:
    """Yield every recording and every transcript, also those that have no counterpart.

    Raises TtsMetaError where `metadata.csv` cannot be read.
    """
    if (corpus_dir / METADATA).is_file():
        yield from _read_metadata(corpus_dir)
    else:
        yield from _read_text_files(corpus_dir)


def _read_metadata(corpus_dir: Path) -> Iterator[Recording]:
    metadata = corpus_dir / METADATA
    speaker = corpus_dir.resolve().name
    audio_of: dict[str, Path] = {}
    for path in _recordings(corpus_dir.glob("*")) + _recordings((corpus_dir / "wavs").glob("*")):
        # Later ones win: `wavs/` over the folder itself, and in each the preferred format, which comes last.
        audio_of[path.stem] = path
    try:
        lines = metadata.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TtsMetaError(f"cannot read {metadata}; save it as UTF-8 text") from error
    listed = set()
    for line in lines:
        if not line.strip():
            continue
        name, *texts = (field.strip() for field in line.split("|"))
        listed.add(name)
        # The last column is the normalised text; some lines, and some corpora, have the raw text only.
        text = next((text for text in reversed(texts[:2]) if text), "")
        yield Recording(name, speaker, audio_of.get(name), text)
    for name in sorted(audio_of.keys() - listed):
        yield Recording(name, speaker, audio_of[name], fault=f"no transcript: not in {METADATA}")


def _read_text_files(corpus_dir: Path) -> Iterator[Recording]:
    files = sorted(path for path in corpus_dir.rglob("*") if not _hidden(path.relative_to(corpus_dir)))
    audio_of = {path.with_suffix(""): path for path in _recordings(files)}
    text_of = {path.with_suffix(""): path for path in files if path.suffix.lower() == ".txt" and path.is_file()}
    for stem in sorted(audio_of.keys() | text_of.keys()):
        relative = stem.relative_to(corpus_dir)
        speaker = relative.parts[0] if len(relative.parts) > 1 else corpus_dir.resolve().name
        text, fault = "", None
        if stem not in audio_of:
            fault = "missing audio: no recording beside the transcript"
        elif stem not in text_of:
            fault = "no transcript: no .txt beside the recording"
        else:
            try:
                text = text_of[stem].read_text(encoding="utf-8-sig")
            except UnicodeDecodeError:
                fault = "unreadable transcript: not UTF-8 text"
            except OSError as error:
                fault = f"unreadable transcript: {error.strerror}"
        yield Recording(relative.as_posix(), speaker, audio_of.get(stem), text, fault=fault)


def _recordings(paths: Iterator[Path] | list[Path]) -> list[Path]:
    """The audio files among `paths`, sorted by name, the preferred format of a name last."""
    found = [path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES and not _hidden(Path(path.name))]
    return sorted(
        found,
        key=lambda path: (
            path.stem,
            -AUDIO_SUFFIXES.index(path.suffix.lower()),
            path.name,
        ),
    )


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
