"""Split of a manifest by speaker, so that no speaker of the evaluation is in the training data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from tts_meta.corpus.manifest import Manifest
from tts_meta.corpus.utterance import unperturbed_name
from tts_meta.errors import UsageError


def hold_out_speakers(manifest: Manifest, count: int, seed: int) -> tuple[Manifest, Manifest]:
    """Return `(rest, held_out)`: `held_out` has all utterances of `count` speakers that are drawn with `seed`.

    Speakers are ordered by a hash of seed and name. The draw is therefore the same on every machine and Python version,
    and a speaker added to the corpus replaces at most one held-out speaker. Raises UsageError if no speaker remains in
    `rest`, or if `count` is negative.
    """
    people = sorted({unperturbed_name(name) for name in manifest.speakers})
    if not 0 <= count < len(people):
        raise UsageError(f"cannot hold out {count} of {len(people)} speakers; give 0 to {len(people) - 1}")
    drawn = set(sorted(people, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())[:count])
    return _split(manifest, {name for name in manifest.speakers if unperturbed_name(name) in drawn})


def hold_out_named(manifest: Manifest, names: Iterable[str]) -> tuple[Manifest, Manifest]:
    """Return `(rest, held_out)`: `held_out` has all utterances of the named speakers and their speed-perturbed copies.

    A manifest may list only the copies. Raises UsageError for an unknown name.
    """
    originals = {name: unperturbed_name(name) for name in manifest.speakers}
    named, known = set(names), {*originals, *originals.values()}
    if named - known:
        raise UsageError(f"no speaker named {min(named - known)!r}; the manifest has: {', '.join(sorted(known))}")
    return _split(manifest, {name for name in originals if name in named or originals[name] in named})


def _split(manifest: Manifest, held_out: set[str]) -> tuple[Manifest, Manifest]:
    rest = Manifest(tuple(utterance for utterance in manifest if utterance.speaker not in held_out))
    return rest, manifest.of_speakers(held_out)
