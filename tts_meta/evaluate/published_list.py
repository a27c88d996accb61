"""Reads published test lists: pairs of a prompt, which a voice is cloned from, and a target, which it speaks.

The formats are those of Seed-TTS (`meta.lst`), of the LibriSpeech-PC list of F5-TTS, and pairs of LibriTTS ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tts_meta.corpus import Utterance
from tts_meta.corpus.text_file import read_text_file, split_lines
from tts_meta.errors import TtsMetaError, excerpt

FORMS = {
    "UTT|PROMPT_TEXT|PROMPT_WAV|TARGET_TEXT[|TARGET_WAV]": (4, 5),
    "PROMPT_ID, PROMPT_SECONDS, PROMPT_TEXT, TARGET_ID, TARGET_SECONDS, TARGET_TEXT, separated by tabs": (6,),
    "PROMPT_ID, TARGET_ID, separated by a tab or |": (2,),
}
"""The forms of a line, and their numbers of fields."""
_SUBFOLDERS = ("", "test-clean", "LibriTTS/test-clean", "LibriTTS_R/test-clean", "LibriSpeech/test-clean")
"""Folders below the folder of the audio that are searched for the recordings of ids."""


class _Fault(Exception):
    """A fault of a line. The message does not contain the file and the line number."""


@dataclass(frozen=True)
class _Pair:
    """A line: the prompt, and the target, which has no audio if the list gives none. prompt_name: name of the voice."""

    prompt_name: str
    prompt: Utterance
    target: Utterance


def prompts_and_targets(path: Path, audio: Path | None = None) -> dict[str, tuple[Utterance, list[Utterance]]]:
    """Return each prompt with its targets, by the name of the prompt, in the order of the list.

    audio: folder of the recordings; the folder of the list by default. The speaker of an utterance is the first part
    of a LibriTTS or LibriSpeech id, or the name of the prompt in a list without speakers. Durations are 0, because no
    recording is read. Raises TtsMetaError that names the first faulty line and its fault, because a figure for a part
    of a published list cannot be compared.
    """
    voices: dict[str, tuple[Utterance, list[Utterance]]] = {}
    lines, first_line, faults = list(_lines(path)), dict[str, int](), list[str]()
    counts = _field_counts(path, lines)
    for number, fields in lines:
        try:
            pair = _pair(fields, counts, audio or path.parent)
            prompt, targets = voices.setdefault(pair.prompt_name, (pair.prompt, []))
            if prompt != pair.prompt:
                raise _Fault(f"the prompt {pair.prompt_name} has another text than in an earlier line")
            if first_line.setdefault(pair.target.id, number) != number:
                raise _Fault(f"{pair.target.id} is repeated, first seen in line {first_line[pair.target.id]}")
            if pair.target.source == prompt.source:
                raise _Fault("prompt and target are the same recording")
            targets.append(pair.target)
        except _Fault as fault:
            faults.append(f"{path}, line {number}: {fault}")
    if faults:
        more = f" ({len(faults)} faulty lines)" if len(faults) > 1 else ""
        raise TtsMetaError(f"{faults[0]}{more}; correct the list, or set test_audio to the folder of the recordings")
    return voices


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the fields of each line that is not empty."""
    for number, line in enumerate(split_lines(read_text_file(path)), 1):
        if line.strip():
            yield number, [field.strip() for field in line.split("\t" if "\t" in line else "|")]


def _field_counts(path: Path, lines: Sequence[tuple[int, list[str]]]) -> tuple[int, ...]:
    """Return the numbers of fields that a line may have in the form of the first line."""
    if not lines:
        raise TtsMetaError(f"{path} has no lines; give a published list of prompts and targets")
    number, fields = lines[0]
    for counts in FORMS.values():
        if len(fields) in counts:
            return counts
    raise TtsMetaError(
        f"{path}, line {number}: {len(fields)} fields; a line is one of: {'; '.join(FORMS)}; correct the list"
    )


def _pair(fields: list[str], counts: tuple[int, ...], audio: Path) -> _Pair:
    if len(fields) not in counts:
        raise _Fault(f"{len(fields)} fields in place of {' or '.join(map(str, counts))}")
    if "" in fields:
        raise _Fault(f"field {fields.index('') + 1} is empty")
    if len(fields) == 2:
        prompt, target = (_by_id(name, audio) for name in fields)
        pair = _Pair(fields[0], prompt, target)
    elif len(fields) == 6:
        prompt, target = _by_id(fields[0], audio, fields[2]), _by_id(fields[3], audio, fields[5])
        pair = _Pair(fields[0], prompt, target)
    else:
        pair = _seed_tts(fields, audio)
    for utterance in (pair.prompt, pair.target):
        if fault := replace(utterance, seconds=1.0).fault():
            raise _Fault(fault)
    return pair


def _seed_tts(fields: list[str], audio: Path) -> _Pair:
    """Return the pair of a Seed-TTS line. Without a fifth field, the target is in `wavs/`, if it is there."""
    utt, prompt_text, prompt_wav, target_text, *target_wav = fields
    prompt = audio / prompt_wav
    if not prompt.is_file():
        raise _Fault(f"there is no recording {prompt}")
    name, target = Path(prompt_wav).with_suffix("").as_posix().lstrip("/"), audio / "wavs" / f"{utt}.wav"
    if target_wav:
        target = audio / target_wav[0]
        if not target.is_file():
            raise _Fault(f"there is no recording {target}")
    target = target if target.is_file() else Path()
    return _Pair(name, _utterance(name, name, prompt, prompt_text), _utterance(utt, name, target, target_text))


def _by_id(name: str, audio: Path, text: str | None = None) -> Utterance:
    """Return the utterance of a LibriTTS or LibriSpeech id. Its text is in `ID.normalized.txt` if none is given."""
    parts = name.split("_" if "_" in name else "-")
    if len(parts) < 3 or not all(part.isalnum() for part in parts):
        raise _Fault(f"{excerpt(name, 60)!r} is no id of LibriTTS or LibriSpeech, such as 1089_134686_000002_000000")
    for subfolder in _SUBFOLDERS:
        folder = audio / subfolder / parts[0] / parts[1]
        for suffix in (".wav", ".flac"):
            if (recording := folder / f"{name}{suffix}").is_file():
                return _utterance(name, parts[0], recording, text or _normalized_text(recording))
    raise _Fault(f"there is no recording {parts[0]}/{parts[1]}/{name}.wav or .flac in {audio}")


def _normalized_text(recording: Path) -> str:
    path = recording.with_suffix(".normalized.txt")
    if not path.is_file():
        raise _Fault(f"there is no text {path}")
    return " ".join(read_text_file(path).split())


def _utterance(name: str, speaker: str, audio: Path, text: str) -> Utterance:
    return Utterance(name, speaker, audio, 0.0, text)
