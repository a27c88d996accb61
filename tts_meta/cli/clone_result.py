"""What `tts-meta clone` prints at its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_meta.cli.console import print_json, print_text

if TYPE_CHECKING:
    from tts_meta.adapt import SimilarityForecast, Voice


def print_json_result(
    output: Path, voice: Voice, forecast: SimilarityForecast | None, warnings: list[str], seconds: float
) -> None:
    """Print the result as JSON, with the warnings that were printed before."""
    data: dict[str, Any] = {"voice": str(output), "bytes": output.stat().st_size, "base": voice.base_hash}
    data |= {"modules": list(voice.modules), "steps": voice.steps, "consent": voice.consent}
    data |= voice.scores | (forecast.as_dict(voice.scores["seconds"]) if forecast is not None else {})
    print_json(data | {"warnings": warnings, "took_seconds": round(seconds, 2)})


def print_result(output: Path, voice: Voice, forecast: SimilarityForecast | None, seconds: float) -> None:
    """Print the result for people: file, what was adapted, held-out scores, the forecast, and the next command."""
    scores, size = voice.scores, output.stat().st_size
    print_text(f"{output}: {size / 1024:,.0f} KiB, {len(voice.modules)} modules adapted, {seconds:.0f} s in total")
    print_text(f"adapted to {scores['sentences']} sentences, {scores['seconds']} s of speech, in {voice.steps} steps")
    if "held_out_after" in scores:
        before, after = scores["held_out_before"], scores["held_out_after"]
        print_text(f"NLL per frame of the held-out sentences: {before:.3f} nats before, {after:.3f} after")
    if "vocoder_steps" in scores:
        print_text(f"vocoder adapted in {scores['vocoder_steps']} steps")
    if "vocoder_held_out_after" in scores:
        before, after = scores["vocoder_held_out_before"], scores["vocoder_held_out_after"]
        print_text(f"spectral distance of the held-out sentences: {before:.4f} before, {after:.4f} after")
    if "stopped" in scores:
        print_text(f"stopped automatically after {voice.steps} steps: {scores['stopped']}")
    if forecast is not None:
        print_text(forecast.message(scores["seconds"]))
    print_text(f'to speak in this voice: tts-meta speak {output} "Text." -o out.wav')
