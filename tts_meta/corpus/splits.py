"""Speaker-disjoint splits: a voice that is cloned in evaluation was never heard in training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from tts_meta.corpus.manifest import Manifest
from tts_meta.corpus.utterance import recording_of
from tts_meta.errors import UsageError


def hold_back_speakers(manifest: Manifest, count: int, seed: int) -> tuple[Manifest, Manifest]:
    """Split off all utterances of `count` speakers drawn by `seed`: `(rest, held)`, with no speaker in both.

    Each speaker's rank is a hash of seed and name: the draw is the same on every machine and Python version, and a
    speaker added to the corpus displaces at most one of those held back. Raises UsageError unless at least one
    speaker remains in `rest`.
    """
    people = sorted({recording_of(name) for name in manifest.speakers})
    if not 0 <= count < len(people):
        raise UsageError(f"cannot hold back {count} of {len(people)} speakers; give 0 to {len(people) - 1}")
    drawn = set(sorted(people, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())[:count])
    return _split(manifest, {name for name in manifest.speakers if recording_of(name) in drawn})


def hold_back_named(manifest: Manifest, names: Iterable[str]) -> tuple[Manifest, Manifest]:
    """Split off all utterances of the speakers named: `(rest, held)`. Raises UsageError on an unknown name.

    Speakers made of them, by playing them faster or slower, are held back with them, and may be all that is there.
    """
    whose = {name: recording_of(name) for name in manifest.speakers}
    named, known = set(names), {*whose, *whose.values()}
    if named - known:
        raise UsageError(f"no speaker named {min(named - known)!r}; the manifest has: {', '.join(sorted(known))}")
    return _split(manifest, {name for name in whose if name in named or whose[name] in named})


def _split(manifest: Manifest, held: set[str]) -> tuple[Manifest, Manifest]:
    rest = Manifest(tuple(utterance for utterance in manifest if utterance.speaker not in held))
    return rest, manifest.of_speakers(held)
