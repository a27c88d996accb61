"""Reader of L2-ARCTIC (Zhao et al. 2018): a folder for each speaker with `wav/ID.wav` and `transcript/ID.txt`.

The accent is the speaker's native language. It and the gender are from the table of the corpus's documentation. The
folder `suitcase_corpus` has one retold story of each speaker in `wav/SPEAKER.wav` and `transcript/SPEAKER.txt`. Most
stories are too long for one sentence, and are dropped for that reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_prep.files import read_transcript
from data_prep.recording import Recording

TEXTS, AUDIO, STORIES = "transcript", "wav", "suitcase_corpus"
_SPEAKERS = {
    **dict.fromkeys(("ABA", "YBAA"), ("M", "Arabic")),
    **dict.fromkeys(("SKA", "ZHAA"), ("F", "Arabic")),
    **dict.fromkeys(("BWC", "TXHC"), ("M", "Chinese")),
    **dict.fromkeys(("LXC", "NCC"), ("F", "Chinese")),
    **dict.fromkeys(("ASI", "RRBI"), ("M", "Hindi")),
    **dict.fromkeys(("SVBI", "TNI"), ("F", "Hindi")),
    **dict.fromkeys(("HKK", "YKWK"), ("M", "Korean")),
    **dict.fromkeys(("HJK", "YDCK"), ("F", "Korean")),
    **dict.fromkeys(("EBVS", "ERMS"), ("M", "Spanish")),
    **dict.fromkeys(("MBMPS", "NJS"), ("F", "Spanish")),
    **dict.fromkeys(("HQTV", "TLV"), ("M", "Vietnamese")),
    **dict.fromkeys(("PNV", "THV"), ("F", "Vietnamese")),
}
"""Gender and native language."""


def read(corpus_dir: Path) -> Iterator[Recording]:
    """Yield every recording and every transcript, including those without a counterpart."""
    for folder in _folders(corpus_dir):
        audio_of = {path.stem: path for path in sorted((folder / AUDIO).glob("*.wav")) if path.name[0] != "."}
        text_of = {path.stem: path for path in sorted((folder / TEXTS).glob("*.txt")) if path.name[0] != "."}
        for name in sorted(audio_of.keys() | text_of.keys()):
            speaker = (name if folder.name == STORIES else folder.name).upper()
            gender, native_language = _SPEAKERS.get(speaker, (None, None))
            text, fault = "", f"no transcript: no {TEXTS}/{name}.txt"
            if name in text_of:
                text, fault = read_transcript(text_of[name])
            yield Recording(
                id=f"{folder.name}/{name}",
                speaker=speaker,
                audio=audio_of.get(name),
                text=text,
                gender=gender,
                language="en",
                fault=fault,
                accent=native_language,
                listed_in=text_of.get(name),
                line=1 if name in text_of else None,
            )


def is_layout(corpus_dir: Path) -> bool:
    """Return whether a folder has the layout of L2-ARCTIC."""
    return any((folder / AUDIO).is_dir() for folder in _folders(corpus_dir))


def _folders(corpus_dir: Path) -> list[Path]:
    """Return the folders of the speakers and of the stories: in the corpus folder, or in a folder in it."""
    found = [*corpus_dir.glob(f"*/{TEXTS}"), *corpus_dir.glob(f"*/*/{TEXTS}")]
    return sorted(path.parent for path in found if path.is_dir())
