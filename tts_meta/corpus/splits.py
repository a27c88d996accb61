"""Speaker-disjoint splits: a voice that is cloned in evaluation was never heard in training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from tts_meta.corpus.manifest import Manifest
from tts_meta.errors import UsageError


def hold_back_speakers(manifest: Manifest, count: int, seed: int) -> tuple[Manifest, Manifest]:
    """Split off all utterances of `count` speakers drawn by `seed`: `(rest, held)`, with no speaker in both.

    Each speaker's rank is a hash of seed and name: the draw is the same on every machine and Python version, and a
    speaker added to the corpus displaces at most one of those held back. Raises UsageError unless at least one
    speaker remains in `rest`.
    """
    speakers = manifest.speakers
    if not 0 <= count < len(speakers):
        raise UsageError(f"cannot hold back {count} of {len(speakers)} speakers; give 0 to {len(speakers) - 1}")
    drawn = sorted(speakers, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())[:count]
    return hold_back_named(manifest, drawn)


def hold_back_named(manifest: Manifest, names: Iterable[str]) -> tuple[Manifest, Manifest]:
    """Split off all utterances of the speakers named: `(rest, held)`. Raises UsageError on an unknown name."""
    held = manifest.of_speakers(names)
    held_names = set(held.speakers)
    rest = Manifest(tuple(utterance for utterance in manifest if utterance.speaker not in held_names))
    return rest, held
