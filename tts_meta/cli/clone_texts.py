"""The texts of the recordings of `tts-meta clone`: speech recognition, slices of long recordings, and their list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tts_meta.adapt.long_text import divide_recordings, slice_by_text
from tts_meta.adapt.recordings import Recording, find_transcripts
from tts_meta.asr.files import check_slices, needs_slices, slice_file, transcribe_file
from tts_meta.asr.whisper import Transcriber
from tts_meta.asr.words import Slice
from tts_meta.audio.speech import load_speech
from tts_meta.cli.console import print_message
from tts_meta.cli.progress import progress_bar
from tts_meta.corpus.audio_part import part_of
from tts_meta.corpus.slice_list import ListedSlice, write_slice_list
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.models.pretrained import Base

LIST_SUFFIX = ".transcripts.tsv"


class CloneTexts:
    """Finds the texts of recordings, and lists those that it makes in a file that the user can correct.

    list_path: the file to write if texts were made. warn: called with a line for each slice that is not used. asr:
    whether recordings without a text are transcribed. whisper: name or folder of the Whisper model.
    """

    def __init__(
        self, base: Base, list_path: Path, warn: Callable[[str], None], asr: bool = False, whisper: str | None = None
    ) -> None:
        self._base, self._list_path, self._warn = base, list_path, warn
        self._asr, self._whisper = asr, whisper
        self._transcriber: Transcriber | None = None
        self._listed = list[ListedSlice]()
        self._has_made_texts = False

    def find(self, audio: Sequence[Path], transcripts: Path | None) -> list[Recording]:
        """Return the recordings and the slices of long recordings, with their texts.

        Raises TtsMetaError as `find_transcripts`, `slice_file` and `transcribe_file`. Raises UsageError if the list
        exists already, because it may have corrections.
        """
        recordings = find_transcripts(audio, transcripts, self._transcribe if self._asr else None, self._divide)
        if transcripts is not None:
            recordings = divide_recordings(recordings, self._base, self._warn)
        if self._has_made_texts:
            write_slice_list(self._list_path, self._listed)
            print_message(
                f"{self._list_path}: {len(self._listed)} transcripts; correct them there, and clone again with "
                f"--transcripts {self._list_path}"
            )
        return recordings

    def _divide(self, path: Path, text: str | None) -> list[Recording] | None:
        """Return the slices of a long recording, or None for a recording of one sentence."""
        if not needs_slices(path, text is not None):
            if text is not None:
                self._listed.append(ListedSlice(path, text))
            return None
        if text is None and not self._asr:
            raise TtsMetaError(
                f"{path}: too long for one sentence, and without a transcript; add --asr, which cuts it into sentences "
                "and transcribes them"
            )
        self._begin()
        slices = self._recognised(path, text) if self._asr else slice_by_text(path, text or "", self._base)
        return [Recording(part_of(path, part.start, part.end), part.text) for part in self._usable(path, slices)]

    def _recognised(self, path: Path, text: str | None) -> list[Slice]:
        """Return the slices that speech recognition finds."""
        with progress_bar(f"transcribing {path.name}") as bar:
            return slice_file(
                path,
                self._recogniser(),
                self._language,
                text,
                lambda done, total: bar.update(round(done), round(total), "s of speech"),
            )

    def _usable(self, path: Path, slices: Sequence[Slice]) -> list[Slice]:
        """Show and list the slices; return those without a fault."""
        for part in slices:
            source, note = part_of(path, part.start, part.end), ""
            if part.fault is None:
                print_message(f'{source}: "{part.text}" (confidence {part.confidence:.2f})')
            else:
                self._warn(f"{source}: not used, {part.fault}")
                note = f"not used, {part.fault}: {part.text}"
            text = part.text if part.fault is None else ""
            self._listed.append(ListedSlice(path, text, part.start, part.end, part.confidence, note))
        check_slices(path, slices)
        return [part for part in slices if part.fault is None]

    def _transcribe(self, path: Path) -> str:
        # The recording is checked first, because a fault of the recording explains a fault of its transcript.
        load_speech(path, self._base.config.audio)
        self._begin()
        sentence = transcribe_file(path, self._recogniser(), self._language)
        print_message(f'{path}: transcribed as "{sentence.text}" (confidence {sentence.confidence:.2f})')
        self._listed.append(ListedSlice(path, sentence.text, confidence=sentence.confidence))
        return sentence.text

    def _begin(self) -> None:
        if self._list_path.exists():
            raise UsageError(
                f"{self._list_path} exists already; use it with --transcripts {self._list_path}, or delete it to "
                "transcribe again"
            )
        self._has_made_texts = True

    def _recogniser(self) -> Transcriber:
        self._transcriber = self._transcriber or Transcriber(self._whisper, str(self._base.device), self._language)
        return self._transcriber

    @property
    def _language(self) -> str:
        return self._base.language
