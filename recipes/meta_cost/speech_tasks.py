"""Measures parts of meta-training on speech: episodes, cached alignments, inner steps in bfloat16, query losses.

`python recipes/meta_cost/speech_tasks.py MANIFEST` takes the sentences of the speaker with most of them.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tts_meta.adapt.acoustic_task import Precision
from tts_meta.adapt.speech_objective import QueryObjective
from tts_meta.audio import FeatureCache
from tts_meta.corpus import EpisodeSampler, Manifest, Utterance
from tts_meta.meta import GradientLearner, MetaLearner, MetaTrainer, Task, create_learner
from tts_meta.models.pretrained import load_base
from tts_meta.train.meta_targets import AcousticTarget
from tts_meta.train.meta_train import ACOUSTIC_ROLES

ROUNDS, SENTENCES, UTTERANCES = 5, 40, 1_000_000
PRECISIONS: tuple[Precision, Precision] = ("float32", "bfloat16")
SPEECH = QueryObjective(likelihood=0.0, words=1.0, voice=1.0)
LEARNERS = {
    "maml": {"inner_lr": 3e-8},
    "fomaml": {"inner_lr": 3e-8},
    "sigma-imaml": {"inner_solver": "adam", "inner_lr": 1e-3, "variance": 1e-3, "cg_max_iters": 3},
}
"""Learners and settings, with three inner steps, that lower the query loss of the shipped base by 2 to 6 %."""


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def time_of_an_episode(utterance: Utterance, count: int) -> None:
    """Print the time to index `count` utterances of 2,500 speakers, and to draw an episode."""
    corpus = [replace(utterance, id=str(number), speaker=str(number % 2500)) for number in range(count)]
    samplers = list[EpisodeSampler[Utterance]]()
    index = cpu_seconds(lambda: samplers.append(EpisodeSampler(corpus, 5, 5, seed=0)))
    draw = cpu_seconds(lambda: list(samplers[0].episodes(0, 1000)))
    print(f"episode of {count:,} utterances: index {index:.1f} s once, then {draw:.3f} ms each")


def time_of_alignments(target: AcousticTarget, utterances: Sequence[Utterance]) -> None:
    """Print the time to load and align sentences whose features are cached, without and with their alignments."""
    for utterance in utterances:
        target.cache.mel(utterance.source)
    first = cpu_seconds(lambda: target.examples(utterances))
    second = statistics.median(cpu_seconds(lambda: target.examples(utterances)) for _ in range(ROUNDS))
    ms = [1000 * seconds / len(utterances) for seconds in (first, second)]
    print(f"alignment: {ms[0]:.1f} ms a sentence computed, {ms[1]:.1f} ms read, {first / second:.1f} times less")


def gradient_of(learner: MetaLearner) -> Tensor:
    """Return the gradient of φ of the last outer step, `(P,)`."""
    gradient = learner.get_parameter("adapted").grad
    assert gradient is not None
    return gradient.double().clone()


def precision_of(target: AcousticTarget, name: str, tasks: dict[Precision, Task]) -> None:
    """Print how both precisions differ in the time of a meta-step, the query loss and the meta-gradient."""
    gradients, after, times = {}, {}, {precision: list[float]() for precision in PRECISIONS}
    for round_number in range(1 + ROUNDS):
        for precision in PRECISIONS:
            learner = create_learner(name, target.domain(name), {"inner_steps": 3, **LEARNERS[name]})
            trainer = MetaTrainer(learner)
            trainer.optimiser.register_step_pre_hook(
                lambda *_, of=learner, key=precision: gradients.update({key: gradient_of(of)})
            )
            metrics = list[float]()

            def step(of: MetaTrainer = trainer, key: Precision = precision, to: list[float] = metrics) -> None:
                result = of.step([tasks[key]])
                to.extend((result.loss_before, result.loss_after))

            seconds = cpu_seconds(step)
            if round_number:
                times[precision].append(seconds)
            after[precision] = metrics
    full, lower = gradients["float32"], gradients["bfloat16"]
    ratio = statistics.median(a / b for a, b in zip(*times.values(), strict=True))
    before, adapted = after["float32"]
    drift = abs(after["bfloat16"][1] - adapted) / (before - adapted)
    cosine, error = float(full @ lower / full.norm() / lower.norm()), float((full - lower).norm() / full.norm())
    print(f"{name}: {ratio:.2f} times as fast; query loss {before:.0f} -> {adapted:.0f}, difference {drift:.2%}")
    print(f"    meta-gradient of φ: cosine {cosine:.5f}, relative difference {error:.4f}")


def time_of_query_losses(target: AcousticTarget, query: object) -> None:
    """Print the CPU time of the query loss and its gradient, teacher-forced and of free-running speech."""
    learner = create_learner("sigma-imaml", replace(target, query_objective=SPEECH).domain("sigma-imaml"), {})
    assert isinstance(learner, GradientLearner)
    params, shared = learner.adapted.detach()[None].requires_grad_(), learner.shared.detach()
    times = list[float]()
    for likelihood in (learner.likelihood, learner.likelihood.of_query):
        rounds = [
            cpu_seconds(lambda of=likelihood: torch.autograd.grad(of.nll(params, shared, [query]).sum(), params))
            for _ in range(1 + ROUNDS)
        ]
        times.append(statistics.median(rounds[1:]))
    print(f"query loss and gradient: likelihood {times[0]:.2f} s, words and voice {times[1]:.2f} s")


def main() -> None:
    manifest = Path(sys.argv[1])
    torch.set_num_threads(1)
    utterances = [utterance for utterance in Manifest.load(manifest) if 2 <= utterance.seconds <= 10]
    speaker = Counter(utterance.speaker for utterance in utterances).most_common(1)[0][0]
    own = [utterance for utterance in utterances if utterance.speaker == speaker][:SENTENCES]
    time_of_an_episode(own[0], UTTERANCES)
    with tempfile.TemporaryDirectory() as folder:
        base = load_base()
        cache = FeatureCache(folder, base.config.audio)
        target = AcousticTarget(base, cache, ("*",), ACOUSTIC_ROLES, 0, 800)
        time_of_alignments(target, own)
        episode = EpisodeSampler(sorted(own, key=lambda utterance: utterance.seconds)[:8], 4, 4, 0).episode(0)
        tasks = dict[Precision, Task]()
        for precision in PRECISIONS:
            task = replace(target, precision=precision).task(episode, ("*",), 0)
            assert task is not None, "no recording matches its transcript"
            tasks[precision] = task
        for name in LEARNERS:
            precision_of(target, name, tasks)
        time_of_query_losses(target, tasks["float32"].query)


if __name__ == "__main__":
    main()
