"""A listening page: one HTML file with audio clips, tables and images that needs no server."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tts_meta.corpus.audio_part import split_part
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file
from tts_meta.report.arrays import default_mel_config
from tts_meta.report.html import AudioSource, render
from tts_meta.report.page_elements import Clip, Row, Section

if TYPE_CHECKING:
    from tts_meta.audio.mel import MelConfig

__all__ = ["Clip", "ListeningPage", "Section"]

_MIME = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg"}
_CLIP_NAME = re.compile(r"\d+-\d+-[a-z0-9-]*[0-9a-f]{8}\.wav")


class ListeningPage:
    """Sections of clips, tables and images, written as one HTML file that loads nothing from the network.

    `mel_config` gives the time and frequency axes of the clips' mels.
    """

    def __init__(self, title: str, intro: str = "", mel_config: MelConfig | None = None) -> None:
        self.title = title
        self.intro = intro
        self.mel_config = mel_config or default_mel_config()
        self.sections: list[Section] = []

    def section(self, heading: str, text: str = "") -> Section:
        """Add an empty section and return it. A blank line in `text` starts a new paragraph."""
        self.sections.append(Section(heading, text))
        return self.sections[-1]

    def write(self, path: str | Path, embed: bool = False) -> Path:
        """Write the page to `path` and return it. Clips given as samples become WAV files in the folder `STEM_clips`.

        With `embed` the page contains all audio, so that it is a single file to send. The page replaces an older one
        in one step: if writing fails, the older page and its clips are unchanged. Raises TtsMetaError if the file of a
        clip is missing or the page cannot be written.
        """
        path = Path(path)
        folder = path.parent / f"{path.stem}_clips"
        written: set[str] = set()
        sources: dict[Clip, AudioSource] = {}
        for section_number, section in enumerate(self.sections, start=1):
            rows = [item for item in section.items if isinstance(item, Row)]
            for row_number, row in enumerate(rows, start=1):
                for clip in row.clips:
                    if clip.file is not None and clip.seconds is not None and not embed:
                        sources[clip] = AudioSource(_relative_url(clip.file, path.parent), clip.seconds)
                        continue
                    data, seconds, mime = _encode(clip)
                    if embed:
                        url = f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
                    elif clip.file is not None:
                        url = _relative_url(clip.file, path.parent)
                    else:
                        name = _clip_name(section_number, row_number, clip.label, data)
                        written.add(name)
                        with atomic_file(folder / name) as temporary:
                            temporary.write_bytes(data)
                        url = quote(f"{folder.name}/{name}")
                    sources[clip] = AudioSource(url, seconds)
        with atomic_file(path) as temporary:
            temporary.write_text(render(self.title, self.intro, self.sections, sources, self.mel_config), "utf-8")
        _remove_old_clips(folder, written)
        return path


def _relative_url(file: Path, folder: Path) -> str:
    """Return the URL of a file relative to the folder of the page. A browser plays a part such as `#t=1,2` only."""
    whole, start, end = split_part(file)
    url = quote(Path(os.path.relpath(whole, folder)).as_posix())
    return url if start == 0 and end is None else f"{url}#t={start:g}{'' if end is None else f',{end:g}'}"


def _encode(clip: Clip) -> tuple[bytes, float, str]:
    """Return the content of the clip's audio file, its length in seconds and its media type."""
    import soundfile

    if clip.file is None:
        samples, buffer = clip.waveform(), io.BytesIO()
        soundfile.write(buffer, samples, clip.rate, format="WAV", subtype="PCM_16")
        return buffer.getvalue(), len(samples) / clip.rate, _MIME[".wav"]
    try:
        data = clip.file.read_bytes()
        info = soundfile.info(io.BytesIO(data))
    except OSError as error:
        raise TtsMetaError(f"cannot read clip {clip.file}: {error.strerror}; write it before the page") from error
    except soundfile.LibsndfileError as error:
        raise TtsMetaError(f"{clip.file}: not readable as audio; use WAV, FLAC, OGG or MP3") from error
    return data, info.frames / info.samplerate, _MIME.get(clip.file.suffix.lower(), "audio/wav")


def _clip_name(section: int, row: int, label: str, data: bytes) -> str:
    """Return a readable file name that depends on the content, so that an older page never plays a newer clip."""
    slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:40]
    parts = [str(section), str(row), slug, hashlib.sha256(data).hexdigest()[:8]]
    return "-".join(part for part in parts if part) + ".wav"


def _remove_old_clips(folder: Path, written: set[str]) -> None:
    """Remove the clips of an older page, and no other files."""
    if not folder.is_dir():
        return
    for file in folder.iterdir():
        if file.name not in written and _CLIP_NAME.fullmatch(file.name):
            file.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
