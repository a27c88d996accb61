"""A miniature run of `recipes/librispeech_mini/slicing.py`: slices that are the sentences, without Whisper."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest

from tts_meta.asr.words import Slice


def small_slicing(program: ModuleType, patch: pytest.MonkeyPatch) -> Sequence[str]:
    """Change the program, and return its arguments."""
    join, made = program.join_sentences, list[Any]()

    def join_and_keep(*arguments: Any) -> Any:
        made.append(join(*arguments))
        return made[-1]

    patch.setattr(program, "join_sentences", join_and_keep)
    patch.setattr(program, "Transcriber", lambda whisper: None)
    for function in ("slice_recording", "slice_by_text"):
        patch.setattr(program, function, lambda *_: [Slice(a, b, text, 0.9) for a, b, text in made[-1].sentences])
    return ["--speaker", "ls1580", "--sentences", "4"]
