"""`tts-meta inspect`: what a base or a voice is made of."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tts_meta.cli.console import check_parent, show, table, tell
from tts_meta.errors import TtsMetaError, UsageError

if TYPE_CHECKING:
    from tts_meta.evaluate.agreement import Agreement
    from tts_meta.models.base import Base
    from tts_meta.models.partition import Module


def inspect(
    what: Annotated[
        str,
        typer.Argument(metavar="BASE_OR_VOICE", help="A voice file, a base's folder, or `base`.", show_default=False),
    ],
    vocoder: Annotated[
        str | None, typer.Option(help="Vocoder listed with the base: light, hifigan, or a path.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw the learned σ of each module of a meta-trained base as bars."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write a page on what meta-training found: σ, its path, how far it is."),
    ] = None,
    voices: Annotated[
        list[Path] | None,
        typer.Option("--voice", metavar="VOICE", help="A voice whose distance --html shows; repeatable."),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(metavar="BASE", help="Another run's base: say how far its σ agree with these; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the modules of a base with their σ, or of a voice.

    \b
    tts-meta inspect base
    """
    path = Path(what)
    if voices and html is None:
        raise UsageError("--voice is for --html; give the page's name by it")
    if what == "base" or path.is_dir():
        folder, others = None if what == "base" else path, _sigmas_of(what, beside or [])
        if html is not None:
            _write_page(folder, html, voices or [], others)
        _inspect_base(folder, vocoder, picture, others, as_json)
    elif picture is not None or html is not None or beside:
        option = "--picture" if picture is not None else "--html" if html is not None else "--beside"
        raise UsageError(f"{option} shows what a base was meta-trained to; give the folder of a base")
    else:
        _inspect_voice(path, as_json)


def _sigmas_of(what: str, folders: list[Path]) -> dict[str, dict[str, float]]:
    """σ by module of each of other bases."""
    from tts_meta.models.base import load_base

    if len({Path(what), *folders}) <= len(folders):
        raise UsageError("--beside is for other bases, each once")
    found = {}
    for folder in folders:
        prior = load_base(folder).prior
        if prior is None:
            raise TtsMetaError(f"{folder} has no prior to compare; make one by tts-meta meta-train")
        found[str(folder)] = prior.sigmas
    return found


def _inspect_base(
    folder: Path | None,
    vocoder_name: str | None,
    picture: Path | None,
    others: dict[str, dict[str, float]],
    as_json: bool,
) -> None:
    from tts_meta.adapt import CloneSettings, adaptable, adaptable_sound, chosen_modules
    from tts_meta.adapt.voice import VOCODER
    from tts_meta.models.base import load_base
    from tts_meta.models.partition import Partition
    from tts_meta.models.vocoder import load_vocoder

    base, vocoder = load_base(folder), load_vocoder(vocoder_name)
    sigmas = {} if base.prior is None else base.prior.sigmas
    if picture is not None:
        _draw(sigmas, picture, base.folder)
    adaptable_names = set((adaptable(base) + adaptable_sound(vocoder)).names)
    adapted = set(chosen_modules(base, CloneSettings()).names)
    pairs = _pairs(base, "base" if folder is None else str(folder), sigmas, others, len(adapted & set(sigmas)))
    whole = (("acoustic model", base.acoustic, ""), ("vocoder", vocoder.generator, VOCODER))
    models = {
        model: () if network is None else Partition.by_layer(network, prefix, biases_apart=True).modules
        for model, network, prefix in whole
    }

    def clones(module: Module) -> str:
        return "yes" if module.name in adapted else "can" if module.name in adaptable_names else ""

    if as_json:
        modules = [
            {"model": model, "module": m.name, "parameters": m.size, "kind": m.kind, "clone": clones(m) or "no"}
            | ({"sigma": sigmas[m.name]} if m.name in sigmas else {})
            for model, members in models.items()
            for m in members
        ]
        data: dict[str, Any] = {"kind": "base", "folder": str(base.folder), "hash": base.hash}
        data |= {"speakers": len(base.speakers), "state": base.state, "vocoder": vocoder.name, "modules": modules}
        data["prior"] = None if base.prior is None else base.prior.origin
        data["agreement"] = [
            {
                "bases": both,
                "correlation": found.correlation.mean,
                "interval": [found.correlation.low, found.correlation.high],
                "largest": found.largest,
                "in_common": found.common,
                "by_chance": found.expected,
                "factor": found.factor,
            }
            for both, found in pairs.items()
        ]
        data["totals"] = {model: sum(m.size for m in members) for model, members in models.items()}
        show(data)
        return
    head = ("module", "parameters", "kind", "clone adapts", *(("sigma", "(logarithmic)") if sigmas else ()))
    bars = _bars(sigmas)
    rows = [
        (m.name, f"{m.size:,}", m.kind, clones(m), *(bars.get(m.name, ("", "")) if sigmas else ()))
        for members in models.values()
        for m in members
    ]
    print(table(head, rows, right=(1,)))
    print()
    if base.prior is not None:
        learner, steps = (base.prior.origin.get(key, "?") for key in ("learner", "meta_steps"))
        print(f"sigma: how far each module strays from voice to voice; {learner}, {steps} meta-steps")
    for model, members in models.items():
        name = f" ({vocoder.name})" if model == "vocoder" else ""
        print(f"{model}{name}: {sum(m.size for m in members):,} parameters in {len(members)} modules")
    print(f"cloned by default: {sum(m.size for ms in models.values() for m in ms if m.name in adapted):,} parameters")
    if pairs:
        print()
        print(_agreement(pairs))
    print(f"base {base.hash[:12]} in {base.folder}, {len(base.speakers)} training speakers")


def _pairs(
    base: Base, name: str, sigmas: dict[str, float], others: dict[str, dict[str, float]], largest: int
) -> dict[tuple[str, str], Agreement]:
    """How far each two of the runs agree, where there are others."""
    from tts_meta.report.discovery import pairs_of_runs

    if others and not sigmas:
        raise TtsMetaError(f"{base.folder} has no prior to compare; make one by tts-meta meta-train")
    return pairs_of_runs({name: sigmas, **others}, largest)


def _agreement(pairs: dict[tuple[str, str], Agreement]) -> str:
    """A line for each two runs."""
    first = next(iter(pairs.values()))
    head = ("σ of", "and of", "rank correlation", f"of the {first.largest} largest in common", "factor")
    rows = [
        (
            *both,
            f"{found.correlation.mean:.2f} [{found.correlation.low:.2f}, {found.correlation.high:.2f}]",
            f"{found.common} ({found.expected:.1f} by chance)",
            f"{found.factor:.2f}",
        )
        for both, found in pairs.items()
    ]
    return table(head, rows)


def _bars(sigmas: dict[str, float]) -> dict[str, tuple[str, str]]:
    """Each σ as a number and a bar over a logarithmic scale that begins at half the smallest."""
    if not sigmas:
        return {}
    low, high = math.log(min(sigmas.values()) / 2), math.log(max(sigmas.values()))
    lengths = {name: round(24 * (math.log(sigma) - low) / (high - low)) for name, sigma in sigmas.items()}
    return {name: (f"{sigma:.2e}", "#" * lengths[name]) for name, sigma in sigmas.items()}


def _draw(sigmas: dict[str, float], picture: Path, folder: Path | None) -> None:
    from tts_meta.report.pictures import bar_picture, write_png

    if not sigmas:
        raise TtsMetaError(f"{folder} has no prior to draw; make one by tts-meta meta-train")
    if picture.suffix != ".png":
        raise UsageError(f"{picture}: a picture must be named FILE.png")
    check_parent(picture)
    write_png(picture, bar_picture(sigmas, "σ of each module", logarithmic=True))
    tell(f"{picture} is written")


def _write_page(folder: Path | None, page: Path, voices: list[Path], others: dict[str, dict[str, float]]) -> None:
    from tts_meta.adapt import Voice
    from tts_meta.models.base import load_base
    from tts_meta.report.discovery import write_discovery

    if page.suffix != ".html":
        raise UsageError(f"{page}: a page must be named FILE.html")
    check_parent(page)
    write_discovery(page, load_base(folder), [Voice.load(voice) for voice in voices], others)
    tell(f"{page} is written")


def _inspect_voice(path: Path, as_json: bool) -> None:
    from tts_meta.adapt import Voice

    voice = Voice.load(path)
    parameters, size = sum(delta.numel() for delta in voice.deltas.values()), path.stat().st_size
    data: dict[str, Any] = {"kind": "voice", "file": str(path), "bytes": size, "base": voice.base_hash}
    data |= {"modules": list(voice.modules), "parameters": parameters, "steps": voice.steps}
    data |= {"consent": voice.consent, "scores": voice.scores}
    if as_json:
        show(data)
        return
    print(f"{path}: a voice of {size / 1024:,.0f} KiB, {parameters:,} parameters, {voice.steps} steps")
    print(f"base: {voice.base_hash}")
    print(f"consent: {voice.consent or '(no note)'}")
    for name, value in voice.scores.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    print("modules:")
    for name in voice.modules:
        print(f"  {name}")
