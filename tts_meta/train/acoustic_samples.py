"""Validation of the acoustic model in its log: losses, a validation recording, and the synthesis of sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tts_meta.audio import MelSpec
from tts_meta.audio.features import load_waveform_and_mel
from tts_meta.corpus import Batch
from tts_meta.errors import TtsMetaError
from tts_meta.models.acoustic_output import AcousticOutput
from tts_meta.models.losses import acoustic_loss, mel_l1
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.vocoder import Vocoder
from tts_meta.report.log import AUDIO, FIGURE, MEL, TEXT, Log
from tts_meta.report.mel_figures import draw_alignment
from tts_meta.report.run_info import markdown_table
from tts_meta.train.segments import Segments


@dataclass(frozen=True)
class AcousticSamples:
    """Validation segments, of which the first is logged as audio and mels, and sentences to synthesise.

    recordings: the source of each utterance of the segments' store. vocoder: None logs no audio.
    """

    base: Base
    segments: Segments
    validation: Batch
    recordings: Sequence[Path]
    sentences: Sequence[str]
    vocoder: Vocoder | None
    device: str

    def log(self, log: Log, step: int) -> float:
        """Log losses, mels, alignment and audio at this step, and return the loss of pretraining on the segments."""
        model, batch = self.base.acoustic, self.validation.to(self.device)
        output = model(batch)
        nll = acoustic_loss(model, output, batch)
        log.scalar("validation/mel_nll", nll.mel / nll.frames / model.n_mels, step)
        log.scalar("validation/duration_nll", nll.duration / nll.symbols, step)
        log.scalar("validation/prosody_nll", nll.prosody / nll.symbols, step)
        log.scalar("validation/mel_l1", mel_l1(output, batch), step)
        self._log_segment(log, output, step)
        voices = {"1_mean_voice": -1, f"2_speaker_{self.base.speakers[0]}": 0}
        for number, sentence in enumerate(self.sentences, start=1):
            tokens = self.base.encode(sentence).to(self.device)
            for voice, index in voices.items():
                try:
                    mel = model.generate(tokens, index)
                except TtsMetaError as error:  # early in training, predictions may not be speech
                    log.text(f"{TEXT}/failed/sentence_{number}/{voice}", str(error), step)
                    continue
                self._log_mel(log, f"sentence_{number}/{voice}", mel, step, sentence)
        texts = [(f"sentence_{number}", sentence) for number, sentence in enumerate(self.sentences, start=1)]
        log.text(f"{TEXT}/sentences", markdown_table(("Audio", "Text"), texts), step)
        return float(nll.per_unit(model.n_mels))

    def _log_segment(self, log: Log, output: AcousticOutput, step: int) -> None:
        """Log the first segment: the recording, its copy-synthesis, and the prediction with teacher forcing."""
        batch, n = self.validation, int(self.segments.table[0, 0])
        length, size = int(batch.mel_lengths[0]), int(batch.token_lengths[0])
        true, name = batch.mel[0, :length], self.segments.store.ids[n]
        symbols = self.base.symbols.decode(batch.tokens[0, :size])
        image = draw_alignment(true, batch.durations[0, :size], symbols, self.base.config.audio.mel)
        log.image(f"{FIGURE}/alignment", image, step, name)
        if self.vocoder is not None:
            try:
                log.audio(f"{AUDIO}/validation/1_real", self._real(n), self.vocoder.sample_rate, step, name)
            except TtsMetaError as error:  # training uses cached features and needs no recording
                log.text(f"{TEXT}/validation", f"not logged: {error}", step)
        self._log_mel(log, "validation/2_real_through_vocoder", true, step, name)
        self._log_mel(log, "validation/3_teacher_forced", output.mel[0, :length], step, name)

    def _log_mel(self, log: Log, name: str, mel: Tensor, step: int, caption: str) -> None:
        log.mel(f"{MEL}/{name}", mel, step, caption)
        if self.vocoder is not None:
            samples = self.vocoder(mel[None].float().cpu())[0]
            log.audio(f"{AUDIO}/{name}", samples, self.vocoder.sample_rate, step, caption)

    def _real(self, n: int) -> Tensor:
        """The samples of the first segment's recording, from its first to its last frame."""
        config = self.base.config.audio
        samples, _ = load_waveform_and_mel(self.recordings[n], config, MelSpec(config.mel))
        begin, end = (int(self.segments.table[0, column]) * config.mel.hop for column in (6, 7))
        return torch.from_numpy(samples[begin:end])
