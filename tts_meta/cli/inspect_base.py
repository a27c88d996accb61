"""`tts-meta inspect BASE`: the table of modules of a base and its vocoder, and how well runs of meta-training agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tts_meta.adapt import CloneSettings, Voice, adaptable_modules, adaptable_vocoder_modules, chosen_modules
from tts_meta.adapt.acoustic_task import base_granularity
from tts_meta.adapt.voice import VOCODER_PREFIX
from tts_meta.cli.console import print_json, print_text, table
from tts_meta.cli.inspect_learner import learner_lines, learner_summary
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.rank_agreement import Agreement
from tts_meta.models.partition import DEFAULT_GRANULARITY, Partition
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.run_record import run_lines
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.vocoder import Vocoder, load_vocoder

_MODELS = ("acoustic model", "vocoder")
_BAR_LENGTH = 24
Pairs = dict[tuple[str, str], Agreement]
"""The agreement of each two bases, by their names."""


def sigmas_of_bases(target: str, folders: list[Path]) -> dict[str, dict[str, float]]:
    """σ by module of each base in `folders`. Raises UsageError for a repeated one, TtsMetaError without a prior."""
    if len({Path(target), *folders}) <= len(folders):
        raise UsageError("--compare takes other bases, each once")
    return {str(folder): _learned_sigmas(load_base(folder)) for folder in folders}


def _learned_sigmas(base: Base) -> dict[str, float]:
    if base.prior is None:
        raise TtsMetaError(f"{base.folder} has no prior to compare; make one by tts-meta meta-train")
    return base.prior.sigmas


def inspect_base(
    base: Base,
    name: str,
    vocoder_name: str | None,
    voices: list[Voice],
    other_sigmas: dict[str, dict[str, float]],
    as_json: bool,
) -> None:
    """Print the modules of a base and its vocoder, and how well its σ agree with those of other bases."""
    vocoder = load_vocoder(vocoder_name, mel=base.config.audio.mel)
    sigmas = ({} if base.prior is None else base.prior.sigmas) | _vocoder_sigmas(vocoder)
    modules = _modules(base, vocoder, sigmas, voices)
    pairs: Pairs = {}
    if other_sigmas:
        from tts_meta.report.module_report import compare_runs

        largest = sum(module["clone"] == "yes" and "sigma" in module for module in modules)
        pairs = compare_runs({name: _learned_sigmas(base), **other_sigmas}, largest)
    if as_json:
        _print_json_result(base, vocoder, modules, pairs)
    else:
        _print_result(base, vocoder, modules, sigmas, pairs, with_voices=bool(voices))


def _vocoder_sigmas(vocoder: Vocoder) -> dict[str, float]:
    prior = vocoder.generator.prior if isinstance(vocoder, SourceFilterVocoder) else None
    return {} if prior is None else prior.sigmas


def _modules(base: Base, vocoder: Vocoder, sigmas: dict[str, float], voices: list[Voice]) -> list[dict[str, Any]]:
    """Each module of the acoustic model and of the vocoder, with the keys of the JSON output."""
    adaptable = set((adaptable_modules(base) + adaptable_vocoder_modules(vocoder)).names)
    adapted = set(chosen_modules(base, CloneSettings()).names)
    moved, expected = _distances(base, voices) if voices else ({}, {})
    rows = []
    for model, network, prefix in zip(_MODELS, (base.acoustic, vocoder.generator), ("", VOCODER_PREFIX), strict=True):
        if network is None:
            continue
        granularity = DEFAULT_GRANULARITY if prefix else base_granularity(base)
        for module in Partition.by_layer(network, prefix, granularity).modules:
            name = module.name
            clone = "yes" if name in adapted else "can" if name in adaptable else "no"
            row = {"model": model, "module": name, "parameters": module.size, "kind": module.kind, "clone": clone}
            row |= {"sigma": sigmas[name]} if name in sigmas else {}
            if name in moved:
                distance, relative_to_weights = moved[name]
                row |= {"moved": distance, "moved_of_weights": relative_to_weights}
                row |= {"moved_of_expected": distance / expected[name]} if name in expected else {}
            rows.append(row)
    return rows


def _distances(base: Base, voices: list[Voice]) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    from tts_meta.report.module_report import expected_distances, module_distances  # it imports matplotlib

    partition = adaptable_modules(base)
    return module_distances(base, partition, voices), expected_distances(base, partition)


def _parameters(modules: list[dict[str, Any]], key: str, value: str) -> int:
    """The number of parameters of the modules with `value` under `key`."""
    return sum(module["parameters"] for module in modules if module[key] == value)


def _print_json_result(base: Base, vocoder: Vocoder, modules: list[dict[str, Any]], pairs: Pairs) -> None:
    data: dict[str, Any] = {"kind": "base", "folder": str(base.folder), "hash": base.hash}
    data |= {"speakers": len(base.speakers), "language": base.language, "state": base.state}
    data |= {"vocoder": vocoder.name, "modules": modules, "vocoder_state": dict(_vocoder_state(vocoder))}
    data["learner"] = None if base.learner is None else learner_summary(base.learner)
    data["agreement"] = [
        {
            "bases": names,
            "correlation": agreement.correlation.mean,
            "interval": [agreement.correlation.low, agreement.correlation.high],
            "largest": agreement.largest,
            "in_common": agreement.common,
            "by_chance": agreement.expected,
            "median_ratio": agreement.factor,
        }
        for names, agreement in pairs.items()
    ]
    print_json(data | {"totals": {model: _parameters(modules, "model", model) for model in _MODELS}})


def _print_result(
    base: Base,
    vocoder: Vocoder,
    modules: list[dict[str, Any]],
    sigmas: dict[str, float],
    pairs: Pairs,
    with_voices: bool,
) -> None:
    print_text(_modules_table(modules, sigmas, with_voices))
    print_text()
    print_text("clone adapts: yes = by default, can = if --modules names the module")
    if base.learner is not None and base.prior is not None:
        print_text(
            "sigma: learned standard deviation of each parameter from the base to a voice "
            f"({base.learner.trained_by}, {base.learner.meta_steps} meta-steps); the bars are logarithmic"
        )
    if with_voices:
        print_text("moved / weights: distance between base and voices (RMS) over the size of the weights (RMS)")
        if sigmas:
            print_text("moved / expected: the same distance over that of voices drawn from the learned prior")
    for model in _MODELS:
        count = sum(module["model"] == model for module in modules)
        title = f"{model} ({vocoder.name})" if model == "vocoder" else model
        print_text(f"{title}: {_parameters(modules, 'model', model):,} parameters in {count} modules")
    print_text(f"adapted by default: {_parameters(modules, 'clone', 'yes'):,} parameters")
    if base.learner is not None:
        for line in learner_lines(base.learner):
            print_text(line)
    if pairs:
        print_text()
        print_text(_agreement_table(pairs))
    for model, state in (("base", base.state), ("vocoder", _vocoder_state(vocoder))):
        for line in run_lines(state):
            print_text(line if line.startswith(" ") else f"{model}, {line}")
    speakers = f"{len(base.speakers)} training speakers"
    print_text(f"base {base.hash[:12]} in {base.folder}, {speakers}, language {base.language}")


def _vocoder_state(vocoder: Vocoder) -> Mapping[str, Any]:
    return vocoder.generator.state if isinstance(vocoder, SourceFilterVocoder) else {}


def _modules_table(modules: list[dict[str, Any]], sigmas: dict[str, float], with_voices: bool) -> str:
    """The modules in columns: σ if there is a prior, distances if there are voices."""
    distance_columns = {"moved_of_expected": "moved / expected"} if sigmas else {}
    distance_columns |= {"moved_of_weights": "moved / weights"}
    headings = ["module", "parameters", "kind", "clone adapts", *(["sigma", ""] if sigmas else [])]
    headings += list(distance_columns.values()) if with_voices else []
    bars, rows = _bars(sigmas), []
    for module in modules:
        clone = "" if module["clone"] == "no" else module["clone"]
        row = [module["module"], f"{module['parameters']:,}", module["kind"], clone]
        row += bars.get(module["module"], ("", "")) if sigmas else ()
        if with_voices:
            row += [f"{module[key]:.3f}" if key in module else "" for key in distance_columns]
        rows.append(row)
    return table(headings, rows, right=(1,))


def _agreement_table(pairs: Pairs) -> str:
    """How well each two bases agree, a row each."""
    largest = next(iter(pairs.values())).largest
    headings = ("base", "other base", "rank correlation of σ", f"common among the {largest} largest", "median ratio")
    rows = [
        (
            *names,
            agreement.correlation.shown(2),
            f"{agreement.common} ({agreement.expected:.1f} by chance)",
            f"{agreement.factor:.2f}",
        )
        for names, agreement in pairs.items()
    ]
    return table(headings, rows)


def _bars(sigmas: dict[str, float]) -> dict[str, tuple[str, str]]:
    """Each σ as a number and as a bar on a logarithmic scale, which begins at half the smallest σ."""
    if not sigmas:
        return {}
    low, high = math.log(min(sigmas.values()) / 2), math.log(max(sigmas.values()))
    lengths = {name: round(_BAR_LENGTH * (math.log(sigma) - low) / (high - low)) for name, sigma in sigmas.items()}
    return {name: (f"{sigma:.2e}", "#" * lengths[name]) for name, sigma in sigmas.items()}
