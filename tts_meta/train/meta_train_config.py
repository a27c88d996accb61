"""`MetaTrainConfig`: the recipe of `tts-meta meta-train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tts_meta.adapt.acoustic_task import Precision
from tts_meta.adapt.settings import CloneSettings
from tts_meta.adapt.speech_objective import QueryObjective
from tts_meta.config import DeviceName, Section
from tts_meta.meta import TrainerSettings
from tts_meta.models.partition import DEFAULT_GRANULARITY, Granularity
from tts_meta.train.training_config import Kept

Role = Literal["head", "context"]


class MetaTrainConfig(Section):
    """`tts-meta meta-train`: data, learner, modules and length of meta-training."""

    manifest: Path
    """Manifest of the corpus (JSONL)."""
    splits: tuple[str, ...] = ("train",)
    """Splits of the manifest whose speakers are used."""
    held_out_speakers: tuple[str, ...] = ()
    """Speakers of those splits that are not used for meta-training."""
    output: Path
    """Folder of the run; the meta-trained base is the folder `base` in it."""
    cache: Path = Path("runs/cache")
    """Folder of cached features and alignments; several runs may share it."""
    lexicon: Path | None = None
    """Pronunciations of words of the transcripts, one per line (`docs/text.md`)."""
    base: Path | None = None
    """Folder of the base to start from; default: the shipped base."""
    learner: str
    """Name of a registered learner (`tts_meta.meta.LEARNERS`)."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the learner: the keys of its family."""
    trainer: TrainerSettings = TrainerSettings()
    """Settings of the outer loop."""
    modules: tuple[str, ...] = ("*",)
    """Patterns of the modules that are meta-learned; the other modules do not change, and their outputs are cached.

    The modules are those of the acoustic model or, if all patterns begin with `vocoder.`, of the light vocoder.
    """
    granularity: Granularity = DEFAULT_GRANULARITY
    """Size of the modules of the acoustic model: `layer`, `matrix` or `parameter` (`models/partition.py`)."""
    vocoder: str | None = None
    """Vocoder whose modules are meta-learned, as in `speak --vocoder`."""
    roles: dict[Role, tuple[str, ...]] = Field(default_factory=dict)
    """Patterns of the modules of the head and the context, for learners that adapt only one of them.

    Default: the head is the output layers of the decoder and the postnet, or of the vocoder; the context is the mean
    speaker vector.
    """
    rank: int = Field(default=0, ge=0)
    """Rank of the changes of matrices (`models/low_rank.py`); 0: full rank. With a rank the base does not change."""
    support: int = Field(default=5, gt=0)
    """Sentences of an episode that the learner adapts to."""
    query: int = Field(default=5, gt=0)
    """Sentences of an episode that score the adapted model."""
    episodes: int = Field(default=0, ge=0)
    """Number of episodes of each speaker, which come again; 0 draws new sentences for each episode."""
    query_objective: QueryObjective = QueryObjective()
    """Weights of the terms of the query loss; other than the likelihood only for learners with implicit gradients."""
    history_mixing: float = Field(default=0.0, ge=0, le=1)
    """Probability that a step of the decoder reads a predicted frame in place of the recorded one.

    It applies to support and query. `clone` has .5. The inner solver `l-bfgs` computes the predictions at the start of
    each inner loop.
    """
    min_seconds: float = 2.0
    """Shorter recordings are not used."""
    max_seconds: float = 10.0
    """Longer recordings are not used."""
    frames_per_step: int = Field(default=CloneSettings.frames_per_step, gt=0)
    """Number of mel frames of an inner step, approximately. A step draws segments of sentences, cut at pauses."""
    crops_per_step: int = Field(default=8, gt=0)
    """Crops of 0.7 s in an inner step of the vocoder."""
    meta_steps: int = Field(gt=0)
    """Number of meta-steps."""
    tasks: int = Field(default=2, gt=0)
    """Episodes per meta-step."""
    device: DeviceName = "auto"
    """Where to compute: `auto` (a GPU if there is one), `cpu`, `cuda` or `mps`."""
    threads: int = 0
    """CPU threads; 0 leaves torch's default."""
    precision: Precision = "float32"
    """Precision of the inner steps of the acoustic model; `bfloat16` runs their matrix products under autocast.

    The parameters, the prior, the solver, Hessian products and the query gradient keep float32.
    """
    seed: int = 0
    """Seed of episodes, random draws and dropout."""
    sentences: tuple[str, ...] | None = None
    """Sentences that two speakers kept out of meta-training speak in the log; default: two in the base's language."""
    save_every: int = Field(default=2, gt=0)
    """Meta-steps between two checkpoints."""
    keep_last: Kept = 2
    """Number of the last checkpoints that are kept; the run continues from the last that is not damaged."""
    resume: Path | None = None
    """Checkpoint of this run to continue from, a folder `checkpoints/step_N`; default: the newest."""
    max_hours: float = 0.0
    """This process saves a checkpoint and stops after this many hours; 0 means no limit."""
