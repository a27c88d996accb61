"""`clone`: makes a voice from a few recordings of a speaker."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tts_meta.adapt.acoustic_adaptation import ACOUSTIC_ROLES, acoustic_adaptation
from tts_meta.adapt.acoustic_task import adaptable_modules
from tts_meta.adapt.adaptation import CloneProgress
from tts_meta.adapt.arguments import Audio, Transcripts, check_consent, check_settings, find_recordings
from tts_meta.adapt.learner_choice import LearnerChoice, base_of_learner, check_learner, choose_acoustic_learner
from tts_meta.adapt.long_text import divide_recordings
from tts_meta.adapt.recordings import prepare_recordings
from tts_meta.adapt.settings import NEGLIGIBLE, CloneSettings
from tts_meta.adapt.vocoder_adaptation import vocoder_adaptation
from tts_meta.adapt.vocoder_task import adaptable_vocoder_modules, require_adaptable_vocoder
from tts_meta.adapt.voice import VOCODER_PREFIX, Voice
from tts_meta.context import default_torch_state
from tts_meta.corpus import Example
from tts_meta.errors import UsageError
from tts_meta.meta import TrainedTasks
from tts_meta.models.partition import Partition
from tts_meta.models.pretrained import Base, as_base
from tts_meta.models.vocoders.vocoder import Vocoder, as_vocoder, load_vocoder
from tts_meta.text import Lexicon

CLONE_VERSION = 3
"""Version of the adaptation. Increase this version when the same recordings and settings would give another voice.

The cache of the benchmark depends on this version. 2: no sentence is held out by default, and quantized values
round-trip exactly. 3: inner steps draw segments of sentences, and errors have hyperbolic secant densities.
"""


def chosen_modules(base: Base, settings: CloneSettings, vocoder: Vocoder | None = None) -> Partition:
    """Return the modules that cloning with these settings adapts.

    vocoder: needed only if a pattern selects modules of the vocoder. Raises UsageError if a pattern matches no
    module or the vocoder cannot adapt. Raises TtsMetaError if the vocoder takes other mels than the base produces.
    Raises both for the same reasons as `choose_acoustic_learner`.
    """
    choice = choose_acoustic_learner(base, settings)
    acoustic = adaptable_modules(base, choice.granularity)
    if not settings.modules:
        return _default_modules(base, acoustic, choice, settings)
    chosen = Partition(())
    acoustic_patterns = [pattern for pattern in settings.modules if not pattern.startswith(VOCODER_PREFIX)]
    if acoustic_patterns:
        chosen += acoustic.select(acoustic_patterns)
    if settings.adapts_vocoder:
        vocoder_modules = adaptable_vocoder_modules(require_adaptable_vocoder(vocoder, base))
        chosen += vocoder_modules.select(set(settings.modules) - set(acoustic_patterns))
    return chosen


def _default_modules(base: Base, acoustic: Partition, choice: LearnerChoice, settings: CloneSettings) -> Partition:
    """Return the modules that adapt if the settings name none."""
    names = choice.default_modules(acoustic.names)
    role = choice.learner_class.adapts
    if choice.saved is None and role == "none":
        names = ()
    elif choice.saved is None and role != "all":
        names = acoustic.select(ACOUSTIC_ROLES[role]).names
    elif choice.saved is None and settings.learner is None and base.prior is not None:
        names = base.prior.strongest(NEGLIGIBLE)  # a variance replaces the learned variances, not the modules
    return Partition(tuple(module for module in acoustic.modules if module.name in names))


@default_torch_state(preserve_rng=True)
def clone_examples(
    base: Base,
    examples: Sequence[Example],
    settings: CloneSettings | None = None,
    report: Callable[[CloneProgress], None] = lambda progress: None,
    consent: str = "",
    vocoder: Vocoder | None = None,
    trained_tasks: TrainedTasks | None = None,
) -> Voice:
    """Adapt the base to aligned sentences of one speaker and return the voice.

    The vocoder adapts too if the settings name modules of the vocoder. The last `settings.hold_out` sentences are
    not adapted on. The deltas have the precision of the voice file: saving and loading the voice changes no bit. The
    acoustic model and the vocoder adapt on their devices, and the voice is on the CPU.
    vocoder: None is the default vocoder. trained_tasks: the training speakers of the base, for learners that use them.
    Raises UsageError if a module pattern matches no module, no sentence is left to adapt on, the vocoder cannot adapt,
    or the learner does not fit the settings. Raises TtsMetaError if the vocoder takes other mels than the base
    produces, or the voice diverges.
    """
    settings = settings or CloneSettings()
    check_settings(settings)
    check_consent(consent)
    if settings.adapts_vocoder and vocoder is None:
        vocoder = load_vocoder(device=base.device)
    chosen = chosen_modules(base, settings, vocoder)
    count = len(examples) - settings.hold_out
    if not 0 < count <= len(examples):
        raise UsageError(
            f"{settings.hold_out} of {len(examples)} sentences cannot be held out; hold out 0 to {len(examples) - 1}"
        )
    support, held_out = examples[:count], examples[count:]
    scores = _support_scores(base, support)
    acoustic_modules = Partition(tuple(module for module in chosen.modules if not _is_vocoder_module(module.name)))
    vocoder_modules = Partition(tuple(module for module in chosen.modules if _is_vocoder_module(module.name)))
    deltas, modules, steps, vocoder_hash = dict[str, Tensor](), tuple[str, ...](), 0, ""
    if acoustic_modules.modules or not vocoder_modules.modules:
        adaptation = acoustic_adaptation(base, acoustic_modules, support, held_out, settings, trained_tasks)
        result = adaptation.run(report)
        deltas, modules, steps = result.deltas, result.modules, result.steps
        scores |= result.scores
    if vocoder_modules.modules:
        adaptable_vocoder = require_adaptable_vocoder(vocoder, base)
        result = vocoder_adaptation(adaptable_vocoder, vocoder_modules, support, held_out, settings).run(report)
        deltas |= {VOCODER_PREFIX + name: delta for name, delta in result.deltas.items()}
        modules += result.modules
        scores |= {"vocoder_steps": result.steps}
        scores |= {f"vocoder_{name}": value for name, value in result.scores.items()}
        vocoder_hash = adaptable_vocoder.generator.hash
    return Voice(deltas, base.hash, modules, steps, consent, scores, vocoder_hash)


@default_torch_state(preserve_rng=True)
def clone(
    audio: Audio,
    *,
    transcripts: Transcripts = None,
    base: Base | str | Path | None = None,
    vocoder: Vocoder | str | Path | None = None,
    lexicon: Lexicon | str | Path | None = None,
    settings: CloneSettings | None = None,
    consent: str = "",
    device: str | torch.device | None = None,
    transcribe: Callable[[Path], str] | None = None,
    report: Callable[[CloneProgress], None] = lambda progress: None,
    warn: Callable[[str], None] = warnings.warn,
) -> Voice:
    """Clone a voice from recordings and return the voice.

    audio: paths, or `{path: text}`. transcripts: a file of transcripts, texts in the order of `audio`, or `{path:
    text}`; None looks for a `.txt` file next to each recording, then calls `transcribe(path)`. A recording of more than
    a minute is cut into sentences. base: a base voice or
    its folder; None is the base whose folder contains the learner of the settings, or else the shipped one. vocoder:
    the vocoder to adapt, used only if the settings name modules of the vocoder; None is the default vocoder. lexicon: a
    file of words and their pronunciations, or a loaded `Lexicon`. device: a name as in `choose_device`; None is the
    device of the base, or `auto` if the base is loaded here. A base that was given does not change. report: called
    after each inner step. warn: called with each warning about a recording. Raises UsageError if an argument has the
    wrong type, the device is not available, or the learner needs recordings of the training speakers. Raises
    TtsMetaError with the path of a recording that cannot be used.
    """
    if settings is not None and not isinstance(settings, CloneSettings):
        raise UsageError(f"settings must be CloneSettings, not {type(settings).__name__}")
    settings = settings or CloneSettings()
    check_settings(settings)
    check_consent(consent)
    recordings = find_recordings(audio, transcripts, transcribe)
    base = base_of_learner(settings.learner) if base is None else base
    loaded = as_base(base, device).with_lexicon(lexicon)
    check_learner(loaded, settings)
    vocoder = None if vocoder is None else as_vocoder(vocoder, loaded.config.audio.mel, loaded.device)
    recordings = divide_recordings(recordings, loaded, warn)
    examples = prepare_recordings(recordings, loaded, "new speaker", warn)
    return clone_examples(loaded, examples, settings, report, consent, vocoder)


def _support_scores(base: Base, support: Sequence[Example]) -> dict[str, Any]:
    """Return the number and seconds of the sentences adapted on, and the fingerprints of their recordings."""
    seconds = sum(len(example.mel) for example in support) * base.config.audio.mel.frame_seconds
    scores: dict[str, Any] = {"sentences": len(support), "seconds": round(seconds, 1)}
    fingerprints = [example.source for example in support if example.source]
    return scores | ({"recordings": fingerprints} if fingerprints else {})


def _is_vocoder_module(module: str) -> bool:
    return module.startswith(VOCODER_PREFIX)
