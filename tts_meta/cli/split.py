"""`tts-meta split`: divide a manifest into train, dev and test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tts_meta.cli.console import print_json, print_message, print_text
from tts_meta.cli.options import AsJson, Force
from tts_meta.cli.outputs import check_output
from tts_meta.cli.streams import check_stdout
from tts_meta.errors import UsageError


def split(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="Manifest of `tts-meta prepare`.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="Manifest to write, NAME.jsonl. With --force it may be MANIFEST.", show_default=False
        ),
    ],
    dev: Annotated[
        str,
        typer.Option(
            metavar="AMOUNT",
            help="Speakers of dev: a share (0.05 or 5%), a number (20), hours of speech (2.5h), or a file with one "
            "speaker a line.",
        ),
    ] = "0.05",
    test: Annotated[str, typer.Option(metavar="AMOUNT", help="Speakers of test, in the same forms.")] = "0.05",
    meta: Annotated[
        str | None,
        typer.Option(
            metavar="AMOUNT",
            help="Speakers of meta, for `meta-train`: the base is not trained on them.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed draws other speakers.")] = 0,
    within_speakers: Annotated[
        bool,
        typer.Option(
            "--within-speakers", help="Divide the utterances of each speaker instead. AMOUNT is a share or a number."
        ),
    ] = False,
    no_balance: Annotated[
        bool, typer.Option("--no-balance", help="Draw speakers whatever their gender.", show_default="genders balanced")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Draw new splits although the manifest has splits.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Divide a manifest into train, dev and test by speaker.

    The draw depends only on the seed and the names of the speakers. Speed-perturbed copies go with their speaker, as
    train_perturbed, dev_perturbed and test_perturbed. Splits that the manifest has, such as those of a published
    corpus, are kept.

    \b
    Examples:
      tts-meta split runs/mine/manifest.jsonl runs/mine/split.jsonl --dev 0.05 --test 0.05
      tts-meta split runs/mine/manifest.jsonl runs/mine/split.jsonl --dev 8 --test 8 --meta 0.2
      tts-meta split runs/mine/manifest.jsonl runs/mine/split.jsonl --dev 2h --test test_speakers.txt
    """
    from tts_meta.corpus.speaker_splits import Amount
    from tts_meta.corpus.split_manifest import SplitRule, split_manifest

    if not manifest.is_file():
        raise UsageError(f"{manifest} is not a file; give the manifest.jsonl of `tts-meta prepare`")
    check_output(out, ".jsonl", force)
    if as_json:
        check_stdout("the JSON")
    amounts = Amount.parse(dev), Amount.parse(test)
    rule = SplitRule(*amounts, seed, within_speakers, not no_balance, replace, Amount.parse(meta) if meta else None)
    result = split_manifest(manifest, out, rule)
    if as_json:
        rows = {
            name: {
                "utterances": size.utterances,
                "speakers": len(size.speakers),
                "seconds": round(size.seconds, 3),
                "genders": size.genders,
            }
            for name, size in result.sizes.items()
        }
        print_json({"manifest": str(out), "kept": result.kept, "splits": rows})
        return
    if result.kept:
        print_message("the splits of the manifest are kept; draw new ones with --replace")
    print_text(f"{'split':<18} {'speakers':>8} {'utterances':>10} {'hours':>8}  genders")
    for name, size in result.sizes.items():
        genders = ", ".join(f"{count} {gender}" for gender, count in size.genders.items())
        line = f"{name:<18} {len(size.speakers):>8} {size.utterances:>10} {size.seconds / 3600:>8.2f}  {genders}"
        print_text(line.rstrip())
