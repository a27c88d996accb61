"""Reader of a data folder in the form of Kaldi and ESPnet: `wav.scp`, `text`, `utt2spk`, `spk2gender` and `segments`.

Each line begins with an id, then white space and the value: `wav.scp` the recording, `text` the text, `utt2spk` the
speaker of an utterance, `spk2gender` the gender of a speaker. `segments` has lines `UTTERANCE RECORDING START END` in
seconds; without this file each utterance is a whole recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_prep.recording import Recording
from data_prep.tables import Line, read_lines

WAVS, TEXTS, SPEAKERS, GENDERS, SEGMENTS = "wav.scp", "text", "utt2spk", "spk2gender", "segments"


@dataclass(frozen=True)
class KaldiFolder:
    """A data folder. audio_dir: folder that the paths in `wav.scp` are relative to."""

    path: Path
    audio_dir: Path
    split: str | None = None
    language: str | None = None
    accent: str | None = None

    def read(self) -> Iterator[Recording]:
        """Yield every utterance of `text`, and every recording or segment without a text."""
        wavs, speakers, segments = (self._table(name) for name in (WAVS, SPEAKERS, SEGMENTS))
        genders = {name: value for name, (value, _) in self._table(GENDERS).items()}
        texts, whole = self._table(TEXTS), segments or wavs
        for name, (text, line) in texts.items():
            speaker = speakers[name][0] if name in speakers else ""
            yield self._recording(name, speaker, text, line, wavs, segments, genders.get(speaker))
        for name, (_, line) in whole.items():
            if name not in texts:
                speaker = speakers[name][0] if name in speakers else ""
                yield line.dropped(f"no transcript: not in {self.path.name}/{TEXTS}", name, speaker)
        for name in (WAVS, SPEAKERS, SEGMENTS, TEXTS, GENDERS):
            yield from self._faulty_lines(name)

    def _recording(
        self,
        name: str,
        speaker: str,
        text: str,
        line: Line,
        wavs: dict[str, tuple[str, Line]],
        segments: dict[str, tuple[str, Line]],
        gender: str | None,
    ) -> Recording:
        fault = None if speaker else f"empty speaker: not in {self.path.name}/{SPEAKERS}"
        recording, start, end = name, None, None
        if segments:
            parts = segments[name][0].split() if name in segments else []
            times = _times(parts[1:])
            if times is None:
                missing = f"not in {self.path.name}/{SEGMENTS}" if not parts else "no start and end in its segment"
                fault = fault or f"missing audio: {missing}"
            else:
                recording, (start, end) = parts[0], times
        wav = wavs[recording][0] if recording in wavs else ""
        if not wav:
            fault = fault or f"missing audio: {recording} is not in {self.path.name}/{WAVS}"
        elif wav.endswith("|"):
            fault = fault or f"missing audio: {WAVS} has a command, not a file; run it and list its output"
        return Recording(
            *(name, speaker, self.audio_dir / wav if wav else None, text),
            gender=gender,
            language=self.language,
            split=self.split,
            fault=fault,
            accent=self.accent,
            start=start,
            end=end,
            listed_in=line.table,
            line=line.number,
        )

    def _table(self, name: str) -> dict[str, tuple[str, Line]]:
        """Return value and line by id. The first line of an id is used; the others are faulty."""
        table: dict[str, tuple[str, Line]] = {}
        for line in self._lines(name):
            if line.fault is None:
                key, *value = line.text.split(maxsplit=1)
                table.setdefault(key, ("".join(value).strip(), line))
        return table

    def _faulty_lines(self, name: str) -> Iterator[Recording]:
        first: dict[str, int] = {}
        for line in self._lines(name):
            key = line.text.split(maxsplit=1)[0]
            if line.fault is not None:
                yield line.dropped(line.fault, key)
            elif first.setdefault(key, line.number) != line.number:
                yield line.dropped(f"duplicate id {key}, first seen in line {first[key]}", key)

    def _lines(self, name: str) -> Iterator[Line]:
        table = self.path / name
        return read_lines(table) if table.is_file() else iter(())


def is_kaldi(folder: Path) -> bool:
    """Return whether a folder has the tables `wav.scp`, `text` and `utt2spk`."""
    return all((folder / name).is_file() for name in (WAVS, TEXTS, SPEAKERS))


def _times(fields: list[str]) -> tuple[float, float] | None:
    try:
        start, end = map(float, fields)
    except ValueError:
        return None
    return start, end
