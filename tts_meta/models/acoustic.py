"""`AcousticModel`: predicts log-mel frames from symbols and a speaker; a Non-Attentive Tacotron (Shen et al. 2020).

Data flow: symbols -> `Encoder` -> + speaker -> `DurationPredictor` and `ProsodyPredictor` -> + prosody -> Gaussian
upsampling to decoder steps -> `Decoder` (R frames per step) -> `Postnet` -> `VariancePostfilter` (in synthesis only).
Durations replace attention, so no word is skipped or repeated. Under teacher forcing, the decoder's LSTM runs over all
steps in fused calls. Training uses true durations, prosody and frames; `generate` uses predicted ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from tts_meta.audio.mel import MelConfig
from tts_meta.config import Section, Width
from tts_meta.corpus import Batch
from tts_meta.models.acoustic_output import AcousticOutput, ActivationCache, EncoderOutput
from tts_meta.models.conv_blocks import length_mask
from tts_meta.models.decoder import Decoder, DecoderConfig
from tts_meta.models.durations import round_durations, upsample
from tts_meta.models.encoder import Encoder, EncoderConfig
from tts_meta.models.plausibility import check_durations, check_frames
from tts_meta.models.postfilter import VariancePostfilter
from tts_meta.models.postnet import Postnet, PostnetConfig
from tts_meta.models.predictors import DurationPredictor, PredictorConfig, ProsodyPredictor
from tts_meta.models.prosody import CHANNELS, change_prosody, measure_prosody
from tts_meta.models.speaker_embedding import SpeakerEmbedding
from tts_meta.models.synthesis_options import DEFAULT, SynthesisOptions


class AcousticConfig(Section):
    """Settings of the acoustic model, a Non-Attentive Tacotron (Shen et al. 2020)."""

    speaker_channels: Width = 64
    """Width E of the speaker embedding."""
    encoder: EncoderConfig = EncoderConfig()
    duration: PredictorConfig = PredictorConfig()
    prosody: PredictorConfig = PredictorConfig()
    decoder: DecoderConfig = DecoderConfig()
    postnet: PostnetConfig = PostnetConfig()


class AcousticModel(nn.Module):
    """Non-Attentive Tacotron for a table of `n_symbols` symbols and `n_speakers` training speakers."""

    def __init__(self, config: AcousticConfig, mel: MelConfig, n_symbols: int, n_speakers: int) -> None:
        super().__init__()
        self.config = config
        self.mel_config = mel
        self.n_mels = n_mels = mel.n_mels
        width = config.encoder.channels
        self.speaker = SpeakerEmbedding(config.speaker_channels, n_speakers)
        self.encoder = Encoder(config.encoder, n_symbols)
        self.speaker_projection = nn.Linear(config.speaker_channels, width)
        self.duration = DurationPredictor(config.duration, width)
        self.prosody = ProsodyPredictor(config.prosody, width, CHANNELS)
        self.prosody_projection = nn.Linear(CHANNELS, width)
        self.decoder = Decoder(config.decoder, width, n_mels)
        self.postnet = Postnet(config.postnet, n_mels)
        self.postfilter = VariancePostfilter(n_mels)
        # Logarithms of the scales of the Laplace likelihood, for each mel band, log-durations and each prosody channel.
        self.mel_log_scale = nn.Parameter(torch.full((n_mels,), -1.0))
        self.duration_log_scale = nn.Parameter(torch.tensor(-1.0))
        self.prosody_log_scale = nn.Parameter(torch.full((CHANNELS,), -1.0))
        # Mean and scale `(M,)` of the log-mels of the corpus, set by pretraining. The layers use normalised log-mels.
        self.mel_mean: Tensor
        self.mel_scale: Tensor
        self.register_buffer("mel_mean", torch.zeros(n_mels))
        self.register_buffer("mel_scale", torch.ones(n_mels))

    @property
    def reduction(self) -> int:
        """Number of frames R of a decoder step. Mels for the teacher-forced pass are padded to a multiple of R."""
        return self.config.decoder.reduction

    def encode(self, tokens: Tensor, token_lengths: Tensor, speaker: Tensor) -> Tensor:
        """Return hidden states `(B, N, D)` with the speaker added.

        tokens: `(B, N)` int64. token_lengths: `(B,)` int64. speaker: `(B,)` int64; -1 is the mean voice.
        """
        return self._add_speaker(self.encoder(tokens, token_lengths), speaker)

    def forward(
        self,
        batch: Batch,
        cache: ActivationCache | None = None,
        generator: torch.Generator | None = None,
        free_running: bool = False,
        history_mixing: float = 0.0,
        history: Tensor | None = None,
    ) -> AcousticOutput:
        """Run the teacher-forced pass: each step reads the previous true frame, true durations and true prosody.

        cache: result of `precompute`; activations in the cache are not computed again. generator: random generator of
        the CPU for the prenet's dropout; None uses torch's global generator of the device. free_running: each step
        reads the predicted frame before it and predicted prosody, without dropout, as in `generate` with the durations
        of the batch; `true_prosody` of the result is the predicted prosody. history_mixing: probability that a step
        reads a predicted frame in place of the true frame (`Decoder.mix_history`). history: the normalised frames
        `(B, T, M)` that the steps read, from `AcousticOutput.history` of an earlier pass; nothing is mixed then. Both
        have no effect on a cached output of the decoder.
        """
        cache = cache or ActivationCache()
        if free_running:
            return self._free_running(batch, cache)
        encoder_output, before = cache.encoder_output, cache.frames_before
        if encoder_output is None:
            hidden = self.encoder(batch.tokens, batch.token_lengths) if cache.hidden is None else cache.hidden
            encoder_output = self._before_decoder(hidden, batch, cache.true_prosody)
        if before is None:
            context, true_frames = encoder_output.context, self._normalise(batch.mel)
            if history is None and history_mixing > 0:
                history = self.decoder.mix_history(context, true_frames, generator, history_mixing)
            before = self.decoder(context, true_frames if history is None else history, generator)
        after = before + self.postnet(before, length_mask(batch.mel_lengths, batch.mel.shape[1]))
        return AcousticOutput(self._to_log_mel(before), self._to_log_mel(after), encoder_output, history)

    @torch.no_grad()
    def precompute(self, batch: Batch, changing: Iterable[str]) -> ActivationCache:
        """Return the activations of `forward` that stay the same while only `changing` (parameters or modules) change.

        The model must be in evaluation mode. If the decoder is not in `changing`, the decoder's frames are cached
        without prenet dropout.
        """
        parts = {name.split(".")[0] for name in changing}
        true_prosody = measure_prosody(batch.mel, batch.durations, self.mel_config)
        if "encoder" in parts:
            return ActivationCache(true_prosody)
        hidden = self.encoder(batch.tokens, batch.token_lengths)
        if parts & {"speaker", "speaker_projection", "duration", "prosody", "prosody_projection"}:
            return ActivationCache(true_prosody, hidden)
        encoder_output = self._before_decoder(hidden, batch, true_prosody)
        if "decoder" in parts:
            return ActivationCache(encoder_output=encoder_output)
        before = self.decoder(encoder_output.context, self._normalise(batch.mel))
        return ActivationCache(encoder_output=encoder_output, frames_before=before)

    @torch.no_grad()
    def generate(
        self,
        tokens: Tensor,
        speaker: int = -1,
        durations: Tensor | None = None,
        prosody: Tensor | None = None,
        options: SynthesisOptions = DEFAULT,
    ) -> Tensor:
        """Return the log-mel `(T, M)` of `tokens (N,)`, generated step by step; speaker -1 is the mean voice.

        The arguments may be on another device than the model; the log-mel is on the device of the model.
        durations `(N,)` in frames and prosody `(N, 3)` replace the predictions. `options` changes the predictions.
        Raises TtsMetaError if `check_durations` or `check_frames` raises it.
        """
        given = (None if tensor is None else tensor[None].to(self.mel_mean.device) for tensor in (durations, prosody))
        return self._generate(*self._plan([tokens], speaker, options, *given), options)[0]

    @torch.no_grad()
    def generate_batch(
        self, sentences: Sequence[Tensor], speaker: int = -1, options: SynthesisOptions = DEFAULT
    ) -> list[Tensor]:
        """Return the log-mels `(T, M)` of several sentences `(N,)`, equal to those of `generate`.

        With `prenet_dropout` the sentences share one random generator, so results differ from those of `generate`.
        """
        return self._generate(*self._plan(sentences, speaker, options), options)

    @torch.no_grad()
    def stream(
        self, tokens: Tensor, speaker: int = -1, options: SynthesisOptions = DEFAULT, chunk: int = 256
    ) -> Iterator[Tensor]:
        """Yield the frames of `generate` in parts `(t, M)` of about `chunk` frames, as soon as they are final.

        The first part has the frames that the postfilter computes the mean of: all frames of most sentences.
        """
        context, lengths = self._plan([tokens], speaker, options)
        frames, radius = int(lengths), self.postnet.receptive_radius
        steps = self.decoder.generate(context, options.prenet_dropout, torch.Generator().manual_seed(options.seed))
        before, yielded, next_end, mean = context.new_zeros(1, 0, self.n_mels), 0, self.postfilter.mean_frames, None
        groups: list[Tensor] = []
        for step, group in enumerate(steps, start=1):
            groups.append(group)
            generated = min(frames, step * self.reduction)
            if generated < min(frames, next_end + radius):
                continue
            before = torch.cat([before, *groups], 1)
            groups.clear()
            # `before` starts `radius` frames before the next frames to yield, or at the start of the sentence.
            first, end = max(0, yielded - radius), frames if generated == frames else generated - radius
            after = before + self.postnet(before, length_mask(lengths - first, before.shape[1]))
            mel = self._to_log_mel(after)[0, yielded - first : end - first]
            mean = self.postfilter.mean(mel) if mean is None else mean
            yield check_frames(self.postfilter.sharpen(mel, mean, options.postfilter))
            before, yielded, next_end = before[:, max(0, end - radius) - first :], end, end + chunk

    def _free_running(self, batch: Batch, cache: ActivationCache) -> AcousticOutput:
        """Return what the model says with the true durations; differentiable. Only the output of the encoder is cached.

        The context of the decoder is not, because it depends on the predicted prosody.
        """
        hidden = self.encoder(batch.tokens, batch.token_lengths) if cache.hidden is None else cache.hidden
        encoded = self._add_speaker(hidden, batch.speaker)
        mask = length_mask(batch.token_lengths, batch.tokens.shape[1])
        log_durations, spread = self.duration(encoded, mask)
        prosody = torch.where((batch.durations > 0).unsqueeze(-1), self.prosody(encoded, mask), 0.0)
        steps = batch.mel.shape[1] // self.reduction
        with_prosody = encoded + self.prosody_projection(prosody)
        context = upsample(with_prosody, batch.durations, spread, mask, steps, self.reduction)
        before = torch.cat(list(self.decoder.generate(context, differentiable=True)), 1)
        after = before + self.postnet(before, length_mask(batch.mel_lengths, before.shape[1]))
        encoder_output = EncoderOutput(context, log_durations, prosody, prosody)
        return AcousticOutput(self._to_log_mel(before), self._to_log_mel(after), encoder_output)

    def _add_speaker(self, hidden: Tensor, speaker: Tensor) -> Tensor:
        return hidden + self.speaker_projection(self.speaker(speaker)).unsqueeze(1)

    def _before_decoder(self, hidden: Tensor, batch: Batch, true_prosody: Tensor | None = None) -> EncoderOutput:
        """Return the predicted durations and prosody, and the decoder's context, for hidden states `(B, N, D)`."""
        encoded = self._add_speaker(hidden, batch.speaker)
        mask = length_mask(batch.token_lengths, batch.tokens.shape[1])
        log_durations, spread = self.duration(encoded, mask)
        if true_prosody is None:
            true_prosody = measure_prosody(batch.mel, batch.durations, self.mel_config)
        with_prosody = encoded + self.prosody_projection(true_prosody)
        steps = batch.mel.shape[1] // self.reduction
        context = upsample(with_prosody, batch.durations, spread, mask, steps, self.reduction)
        return EncoderOutput(context, log_durations, self.prosody(encoded, mask), true_prosody)

    def _plan(
        self,
        sentences: Sequence[Tensor],
        speaker: int,
        options: SynthesisOptions,
        durations: Tensor | None = None,
        prosody: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the decoder's context `(B, T/R, D)` for sentences `(N,)`, and the numbers of frames `(B,)`.

        durations: `(B, N)` in frames; None predicts them. prosody: `(B, N, 3)`; None predicts it.
        """
        tokens = pad_sequence(list(sentences), batch_first=True).to(self.mel_mean.device)
        lengths = torch.tensor([len(sentence) for sentence in sentences], device=tokens.device)
        encoded = self.encode(tokens, lengths, lengths.new_full((len(lengths),), speaker))
        mask = length_mask(lengths, tokens.shape[1])
        log_durations, spread = self.duration(encoded, mask)
        if durations is None:
            check_durations(log_durations, mask, self.mel_config.frame_seconds)
            durations = round_durations(log_durations, mask, options.speed)
        if prosody is None:
            prosody = change_prosody(self.prosody(encoded, mask), options.pitch, options.pitch_range)
        prosody = torch.where((durations > 0).unsqueeze(-1), prosody, 0.0)
        with_prosody = encoded + self.prosody_projection(prosody)
        frames = durations.sum(1)
        steps = -(-int(frames.max()) // self.reduction)
        return upsample(with_prosody, durations, spread, mask, steps, self.reduction), frames

    def _generate(self, context: Tensor, frames: Tensor, options: SynthesisOptions) -> list[Tensor]:
        generator = torch.Generator().manual_seed(options.seed)
        groups = list(self.decoder.generate(context, options.prenet_dropout, generator))
        before = torch.cat(groups, 1)  # (B, steps * R, M)
        after = before + self.postnet(before, length_mask(frames, before.shape[1]))
        mels = (mel[:length] for mel, length in zip(self._to_log_mel(after), frames.tolist(), strict=True))
        return [check_frames(self.postfilter(mel, options.postfilter)) for mel in mels]

    def _normalise(self, mel: Tensor) -> Tensor:
        return (mel - self.mel_mean) / self.mel_scale

    def _to_log_mel(self, normalised: Tensor) -> Tensor:
        return normalised.to(self.mel_scale) * self.mel_scale + self.mel_mean  # of float32 under autocast
