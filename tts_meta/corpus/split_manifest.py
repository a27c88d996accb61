"""`split_manifest`: write a manifest again with the splits train, dev, test and meta, one line in memory at a time."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tts_meta.corpus.manifest import ManifestLines, checked, read_utterances
from tts_meta.corpus.speaker_splits import (
    DEV,
    META,
    PERTURBED_SUFFIX,
    TEST,
    TRAIN,
    Amount,
    collect_speakers,
    draw_speakers,
    draw_utterances,
    rank,
)
from tts_meta.corpus.utterance import Utterance, unperturbed_name
from tts_meta.errors import UsageError
from tts_meta.files import atomic_file


@dataclass(frozen=True)
class SplitRule:
    """How a manifest is split; see `tts-meta split`.

    within_speakers: every speaker is in every split. balance: genders take turns. replace: draw new splits although the
    manifest has some. meta: speakers for meta-training, whom the base is not trained on.
    """

    dev: Amount
    test: Amount
    seed: int = 0
    within_speakers: bool = False
    balance: bool = True
    replace: bool = False
    meta: Amount | None = None


@dataclass
class SplitSize:
    """Size of a split. genders: number of speakers of each gender."""

    utterances: int = 0
    seconds: float = 0.0
    speakers: dict[str, str | None] = field(default_factory=dict)

    @property
    def genders(self) -> dict[str, int]:
        count: dict[str, int] = defaultdict(int)
        for gender in self.speakers.values():
            if gender is not None:
                count[gender] += 1
        return dict(sorted(count.items()))


@dataclass(frozen=True)
class SplitResult:
    """Sizes of the splits by name, and whether they are those that the manifest had."""

    sizes: dict[str, SplitSize]
    kept: bool


def split_manifest(manifest: str | Path, out: str | Path, rule: SplitRule) -> SplitResult:
    """Write the lines of `manifest` to `out` with a split in each line; the two may be one file.

    Splits of the manifest, such as those of a published corpus, are kept unless the rule says `replace`. Copies of a
    recording at another speed go with it: `train_perturbed` for `train`. Raises UsageError if only some lines have a
    split, and as `draw_speakers` and `draw_utterances`. Raises TtsMetaError for a faulty manifest, or if `out` cannot
    be written.
    """
    manifest, out = Path(manifest), Path(out)
    without = 0
    present = set[str]()
    for utterance in checked(read_utterances(manifest), manifest):
        if utterance.split is None:
            without += 1
        else:
            present.add(utterance.split)
    keep = bool(present) and not rule.replace
    if rule.within_speakers and rule.meta:
        raise UsageError("meta has speakers that are in no other split; leave out --meta or --within-speakers")
    if keep and without:
        raise UsageError(
            f"{without} lines of {manifest} have no split, and others are in {', '.join(sorted(present))}; "
            "replace all with --replace"
        )
    split_of = (lambda utterance: utterance.split) if keep else _chooser(manifest, rule)
    sizes: dict[str, SplitSize] = defaultdict(SplitSize)
    lines = ManifestLines(out.parent)
    with atomic_file(out) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        for utterance in read_utterances(manifest):
            split = split_of(utterance) or TRAIN
            file.write(lines.line(lines.record(dataclasses.replace(utterance, split=split))))
            size = sizes[split]
            size.utterances, size.seconds = size.utterances + 1, size.seconds + utterance.seconds
            size.speakers[utterance.speaker] = utterance.gender or size.speakers.get(utterance.speaker)
    order = {TRAIN: 0, META: 1, DEV: 2, TEST: 3}
    return SplitResult(dict(sorted(sizes.items(), key=lambda item: (order.get(item[0], len(order)), item[0]))), keep)


def _chooser(manifest: Path, rule: SplitRule) -> Callable[[Utterance], str]:
    """Return the function from an utterance to its split."""
    speakers = collect_speakers(read_utterances(manifest), rule.seed, rule.within_speakers)
    if rule.within_speakers:
        limits = draw_utterances(speakers, rule.dev, rule.test)

        def choose(utterance: Utterance) -> str:
            first, second = limits[unperturbed_name(utterance.speaker)]
            number = rank(unperturbed_name(utterance.id), rule.seed)
            return DEV if number < first else TEST if number < second else TRAIN
    else:
        amounts = {DEV: rule.dev, TEST: rule.test} | ({META: rule.meta} if rule.meta else {})
        splits = draw_speakers(speakers, amounts, rule.seed, rule.balance)

        def choose(utterance: Utterance) -> str:
            return splits[unperturbed_name(utterance.speaker)]

    def choose_with_suffix(utterance: Utterance) -> str:
        is_copy = unperturbed_name(utterance.id) != utterance.id
        return choose(utterance) + (PERTURBED_SUFFIX if is_copy else "")

    return choose_with_suffix
