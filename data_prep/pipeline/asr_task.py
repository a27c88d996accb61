"""`AsrTask`: transcribe one recording in a worker process, and cut it into slices if it is long.

The methods alone import speech recognition and with it PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tts_meta.errors import TtsMetaError

if TYPE_CHECKING:
    from tts_meta.asr.recording import Recogniser

_VERSION = "asr 1"
"""Version of the recognition and of the slices. Raise it when they change, so that old journals are not used."""


class UnusableSpeech(TtsMetaError):
    """A recording cannot be transcribed. The message names it."""


class RecognisedSlice(NamedTuple):
    """A slice as in the journal. start, end: None for the whole recording. fault: the reason if it is not used."""

    start: float | None
    end: float | None
    text: str
    confidence: float
    fault: str | None


@dataclass(frozen=True, slots=True)
class AsrTask:
    """How a recording is transcribed.

    whisper: folder or name of the model. model: its identity, which is a part of the key in the journal. language: code
    of the language, or None to detect it. text: the text of the whole recording, or None if it is not known.
    """

    whisper: str
    model: str
    language: str | None = None
    text: str | None = None

    @property
    def identity(self) -> tuple[str, ...]:
        """The values on which the transcript depends."""
        return (_VERSION, self.model, self.language or "", "" if self.text is None else f"text {self.text}")

    def run(self, audio: Path) -> tuple[RecognisedSlice, ...]:
        """Return the slices of a recording, or one slice of the whole recording; none if its text fits as it is.

        Raises UnusableSpeech if the recording cannot be read, or cannot be transcribed. Raises TtsMetaError if the
        model cannot be loaded.
        """
        from tts_meta.asr.files import needs_slices, slice_file, transcribe_file
        from tts_meta.corpus.audio_part import split_part

        recogniser, is_part = load_recogniser(self.whisper), split_part(audio)[0] != audio
        try:
            if not is_part and needs_slices(audio, self.text is not None):
                slices = slice_file(audio, recogniser, self.language, self.text)
                return tuple(
                    RecognisedSlice(part.start, part.end, part.text, part.confidence, part.fault) for part in slices
                )
            if self.text is not None:
                return ()
            sentence = transcribe_file(audio, recogniser, self.language)
            return (RecognisedSlice(None, None, sentence.text, sentence.confidence, None),)
        except TtsMetaError as error:
            raise UnusableSpeech(str(error)) from error


@lru_cache(maxsize=1)
def load_recogniser(whisper: str) -> Recogniser:
    """Return the Whisper model of this process."""
    from tts_meta.asr.whisper import Transcriber

    return Transcriber(whisper, "cpu", None)
