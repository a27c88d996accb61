"""`tts-meta inspect`: what a base or a voice is made of."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tts_meta.cli.console import print_json, print_message, print_text, table
from tts_meta.cli.outputs import check_output
from tts_meta.cli.streams import check_stdout
from tts_meta.errors import TtsMetaError, UsageError, one_line

if TYPE_CHECKING:
    from tts_meta.adapt import Voice
    from tts_meta.evaluate.rank_agreement import Agreement
    from tts_meta.models.pretrained import Base
    from tts_meta.models.vocoders.vocoder import Vocoder

_MODELS = ("acoustic model", "vocoder")


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
        typer.Option(metavar="FILE.png", help="Draw σ of each module of a meta-trained base, along the model."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write a page on what meta-training found: σ, its path, how far it is."),
    ] = None,
    voices: Annotated[
        list[Path] | None,
        typer.Option("--voice", metavar="VOICE", help="A voice: say how far it moved each module; repeatable."),
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(metavar="BASE", help="Another run's base: say how far its σ agree with these; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the modules of a base with their σ, or of a voice.

    \b
    Examples:
      tts-meta inspect base
    """
    if as_json:
        check_stdout("the JSON")
    for drawing, suffix in ((picture, ".png"), (html, ".html")):
        if drawing is not None:
            check_output(drawing, suffix, force=True)
    path = Path(what)
    if what == "base" or path.is_dir():
        from tts_meta.adapt import Voice
        from tts_meta.models.pretrained import load_base

        others, base = _sigmas_of(what, compare or []), load_base(None if what == "base" else path)
        heard = [Voice.load(voice) for voice in voices or ()]
        if html is not None:
            _write_page(base, html, heard, others)
        _inspect_base(base, str(path), vocoder, picture, heard, others, as_json)
        return
    asked = {"picture": picture, "html": html, "voice": voices, "compare": compare}
    if given := [name for name, value in asked.items() if value]:
        raise UsageError(f"--{given[0]} shows what a base was meta-trained to; give the folder of a base")
    _inspect_voice(path, as_json)


def _sigmas_of(what: str, folders: list[Path]) -> dict[str, dict[str, float]]:
    """σ by module of each of other bases."""
    from tts_meta.models.pretrained import load_base

    if len({Path(what), *folders}) <= len(folders):
        raise UsageError("--compare takes other bases, each once")
    found = {}
    for folder in folders:
        found[str(folder)] = _compared(load_base(folder))
    return found


def _compared(base: Base) -> dict[str, float]:
    if base.prior is None:
        raise TtsMetaError(f"{base.folder} has no prior to compare; make one by tts-meta meta-train")
    return base.prior.sigmas


def _inspect_base(
    base: Base,
    name: str,
    vocoder_name: str | None,
    picture: Path | None,
    voices: list[Voice],
    others: dict[str, dict[str, float]],
    as_json: bool,
) -> None:
    from tts_meta.models.vocoders.vocoder import load_vocoder

    vocoder = load_vocoder(vocoder_name, mel=base.config.audio.mel)
    sigmas = {} if base.prior is None else base.prior.sigmas
    if picture is not None:
        _draw(base, picture)
    all_sigmas = sigmas | _sigmas_of_sound(vocoder)
    modules = _modules(base, vocoder, all_sigmas, voices)
    largest = sum(one["clone"] == "yes" and "sigma" in one for one in modules)
    pairs = _pairs(base, name, others, largest) if others else {}
    totals = {model: sum(one["parameters"] for one in modules if one["model"] == model) for model in _MODELS}
    if as_json:
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
        data["totals"] = totals
        print_json(data)
        return
    print_text(_modules_table(modules, all_sigmas, bool(voices)))
    print_text()
    if base.prior is not None:
        learner, steps = (base.prior.origin.get(key, "?") for key in ("learner", "meta_steps"))
        print_text(f"sigma: how far each module strays from voice to voice; {learner}, {steps} meta-steps")
    if voices:
        print_text(
            "moved: root mean square over parameters and voices, as a part of that of the weights themselves", end=""
        )
        print_text(", or of voices drawn from the prior" if sigmas else "")
    for model, total in totals.items():
        which = f" ({vocoder.name})" if model == "vocoder" else ""
        print_text(f"{model}{which}: {total:,} parameters in {sum(one['model'] == model for one in modules)} modules")
    print_text(f"cloned by default: {sum(one['parameters'] for one in modules if one['clone'] == 'yes'):,} parameters")
    if pairs:
        print_text()
        print_text(_agreement(pairs))
    print_text(f"base {base.hash[:12]} in {base.folder}, {len(base.speakers)} training speakers")


def _sigmas_of_sound(vocoder: Vocoder) -> dict[str, float]:
    from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder

    prior = vocoder.generator.prior if isinstance(vocoder, SourceFilterVocoder) else None
    return {} if prior is None else prior.sigmas


def _modules(base: Base, vocoder: Vocoder, sigmas: dict[str, float], voices: list[Voice]) -> list[dict[str, Any]]:
    """Each module of the acoustic model and of the vocoder, as JSON has it."""
    from tts_meta.adapt import CloneSettings, adaptable_modules, adaptable_vocoder_modules, chosen_modules
    from tts_meta.adapt.voice import VOCODER_PREFIX
    from tts_meta.models.partition import Partition

    can = set((adaptable_modules(base) + adaptable_vocoder_modules(vocoder)).names)
    adapted = set(chosen_modules(base, CloneSettings()).names)
    moved, expected = _distances(base, voices) if voices else ({}, {})
    found = []
    for model, network, prefix in zip(_MODELS, (base.acoustic, vocoder.generator), ("", VOCODER_PREFIX), strict=True):
        if network is None:
            continue
        for module in Partition.by_layer(network, prefix, separate_biases=True).modules:
            name = module.name
            clone = "yes" if name in adapted else "can" if name in can else "no"
            one = {"model": model, "module": name, "parameters": module.size, "kind": module.kind, "clone": clone}
            one |= {"sigma": sigmas[name]} if name in sigmas else {}
            if name in moved:
                one |= {"moved": moved[name][0], "moved_part": moved[name][1]}
                one |= {"moved_of_expected": moved[name][0] / expected[name]} if name in expected else {}
            found.append(one)
    return found


def _distances(base: Base, voices: list[Voice]) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    from tts_meta.adapt import adaptable_modules
    from tts_meta.report.module_report import expected_distances, module_distances  # and matplotlib with it

    partition = adaptable_modules(base)
    return module_distances(base, partition, voices), expected_distances(base, partition)


def _modules_table(modules: list[dict[str, Any]], sigmas: dict[str, float], moved: bool) -> str:
    """The modules in columns; σ where there is a prior, distances where voices were given."""
    head = ["module", "parameters", "kind", "clone adapts"]
    head += ["sigma", "(logarithmic)"] if sigmas else []
    head += [*(["moved, of expected"] if sigmas else []), "moved, of weights"] if moved else []
    bars, rows = _bars(sigmas), []
    for one in modules:
        clone = "" if one["clone"] == "no" else one["clone"]
        row = [one["module"], f"{one['parameters']:,}", one["kind"], clone]
        row += bars.get(one["module"], ("", "")) if sigmas else ()
        if moved:
            shown = [*(["moved_of_expected"] if sigmas else []), "moved_part"]
            row += [f"{one[key]:.3f}" if key in one else "" for key in shown]
        rows.append(row)
    return table(head, rows, right=(1,))


def _pairs(
    base: Base, name: str, others: dict[str, dict[str, float]], largest: int
) -> dict[tuple[str, str], Agreement]:
    """How far each two of the runs agree."""
    from tts_meta.report.module_report import pairs_of_runs

    return pairs_of_runs({name: _compared(base), **others}, largest)


def _agreement(pairs: dict[tuple[str, str], Agreement]) -> str:
    """A line for each two runs."""
    first = next(iter(pairs.values()))
    head = ("σ of", "and of", "rank correlation", f"of the {first.largest} largest in common", "factor")
    rows = [
        (
            *both,
            found.correlation.shown(2),
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


def _draw(base: Base, picture: Path) -> None:
    from tts_meta.report.figures import write_png
    from tts_meta.report.module_report import base_picture

    write_png(picture, base_picture(base))
    print_message(f"{picture} is written")


def _write_page(base: Base, page: Path, voices: list[Voice], others: dict[str, dict[str, float]]) -> None:
    from tts_meta.report.module_report import write_discovery

    write_discovery(page, base, voices, others)
    print_message(f"{page} is written")


def _inspect_voice(path: Path, as_json: bool) -> None:
    from tts_meta.adapt import Voice

    voice = Voice.load(path)
    _try_on_shipped_base(voice, path)
    parameters, size = sum(delta.numel() for delta in voice.deltas.values()), path.stat().st_size
    data: dict[str, Any] = {"kind": "voice", "file": str(path), "bytes": size, "base": voice.base_hash}
    data |= {"modules": list(voice.modules), "parameters": parameters, "steps": voice.steps}
    data |= {"consent": voice.consent, "scores": voice.scores}
    if as_json:
        print_json(data)
        return
    print_text(f"{path}: a voice of {size / 1024:,.0f} KiB, {parameters:,} parameters, {voice.steps} steps")
    # A header that holds line ends would look like lines of ours.
    print_text(f"base: {one_line(voice.base_hash)}")
    print_text(f"consent: {one_line(voice.consent) or '(no note)'}")
    for name, value in voice.scores.items():
        if name == "recordings" and isinstance(value, list):
            value = f"{len(value)} known by their fingerprints"
        print_text(one_line(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}"))
    print_text("modules:")
    for name in voice.modules:
        print_text(f"  {one_line(name)}")


def _try_on_shipped_base(voice: Voice, path: Path) -> None:
    """Raise TtsMetaError where a voice of the shipped base does not fit it or cannot speak.

    A voice of another base is tried when it speaks: its base is not at hand.
    """
    from tts_meta.headers import read_header
    from tts_meta.models.pretrained import BaseState, load_base, shipped_base

    try:
        folder = shipped_base()
    except TtsMetaError:
        return
    if read_header(folder / "state.json", BaseState, "install tts-meta again").sha256 == voice.base_hash:
        base = load_base(folder)
        phones = [symbol for symbol in base.symbols.symbols if symbol.isalpha()][:3]
        try:
            voice.apply(base, str(path)).generate(base.symbols.encode(" ".join(phones)))
        except TtsMetaError as error:
            raise TtsMetaError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from error
