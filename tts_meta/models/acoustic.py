"""Acoustic model: symbols and a speaker to log-mel frames, a Non-Attentive Tacotron (Shen et al. 2020).

One utterance goes: symbols -> `Encoder` -> + speaker -> `DurationPredictor` and `ProsodyPredictor` -> + prosody ->
Gaussian upsampling to decoder steps -> `Decoder` (R frames a step) -> `Postnet`, and when it speaks
`VariancePostfilter`. No attention, so no word is skipped or said twice; under teacher forcing the decoder's LSTM runs
over all steps in fused calls. Training gives true durations, prosody and frames; `generate` makes its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from tts_meta.audio.mel import MelConfig
from tts_meta.config import Section, Width
from tts_meta.corpus import Batch
from tts_meta.errors import TtsMetaError
from tts_meta.models.layers import (
    Decoder,
    DecoderConfig,
    DurationPredictor,
    Encoder,
    EncoderConfig,
    Postnet,
    PostnetConfig,
    PredictorConfig,
    ProsodyPredictor,
    length_mask,
    upsample,
)
from tts_meta.models.postfilter import VariancePostfilter
from tts_meta.models.prosody import CHANNELS, change_prosody, measure_prosody
from tts_meta.models.synthesis_options import DEFAULT, SynthesisOptions


class AcousticConfig(Section):
    """The acoustic model, a Non-Attentive Tacotron (Shen et al. 2020)."""

    speaker_channels: Width = 64
    """Width of the speaker embedding."""
    encoder: EncoderConfig = EncoderConfig()
    duration: PredictorConfig = PredictorConfig()
    prosody: PredictorConfig = PredictorConfig()
    decoder: DecoderConfig = DecoderConfig()
    postnet: PostnetConfig = PostnetConfig()


@dataclass(frozen=True)
class EncoderOutput:
    """What a teacher-forced pass says of the symbols, padding included.

    context: what the decoder reads at each step `(B, T/R, D)`. log_durations: predicted, `(B, N)`, of `1 + frames`.
    prosody: predicted, `(B, N, 3)`. true_prosody: what was measured and the context holds, `(B, N, 3)`.
    """

    context: Tensor
    log_durations: Tensor
    prosody: Tensor
    true_prosody: Tensor


@dataclass(frozen=True)
class AcousticOutput:
    """What one teacher-forced pass predicts, padding included.

    mel_before, mel: `(B, T, M)` before and after the postnet.
    """

    mel_before: Tensor
    mel: Tensor
    symbols: EncoderOutput


@dataclass(frozen=True)
class ActivationCache:
    """Parts of a teacher-forced pass that no moving parameter feeds: None where they are to be computed.

    true_prosody: measured `(B, N, 3)`. hidden: encoder output `(B, N, D)`. symbols: all that is said of the symbols.
    before: frames before the postnet, scaled, `(B, T, M)`.
    """

    true_prosody: Tensor | None = None
    hidden: Tensor | None = None
    symbols: EncoderOutput | None = None
    before: Tensor | None = None

    @classmethod
    def pad(cls, parts: Sequence[ActivationCache]) -> ActivationCache:
        """One `ActivationCache` of a padded batch from those of its sentences, each a batch of one."""
        symbols = [part.symbols for part in parts if part.symbols is not None]
        return cls(
            true_prosody=_pad([part.true_prosody for part in parts]),
            hidden=_pad([part.hidden for part in parts]),
            symbols=EncoderOutput(
                **{f.name: _padded([getattr(one, f.name) for one in symbols]) for f in fields(EncoderOutput)}
            )
            if symbols
            else None,
            before=_pad([part.before for part in parts]),
        )


def _pad(parts: Sequence[Tensor | None]) -> Tensor | None:
    """One padded batch of batches of one; None where a part is not known."""
    known = [part for part in parts if part is not None]
    return _padded(known) if len(known) == len(parts) else None


def _padded(parts: Sequence[Tensor]) -> Tensor:
    return pad_sequence([part[0] for part in parts], batch_first=True)


SYMBOL_SECONDS, SENTENCE_SECONDS, MEAN_SYMBOL_SECONDS = 5.0, 5.0, 0.5
"""Longest speech at the usual pace: of one symbol, and of a sentence of N symbols the second plus N times the third.

The longest pauses and vowels of real speech last a second or two, and a symbol a tenth of a second on average.
"""
MOST_LOG_MEL, LEAST_LOG_MEL = 20.0, -100.0
"""Speech at full scale has log-mels below 5, silence has the logarithm of `MelConfig.floor`."""


def check_durations(log_durations: Tensor, mask: Tensor, frame_seconds: float) -> None:
    """Raise TtsMetaError where sentences `(B, N)` of log(1 + frames) last longer than any speech."""
    # An overflow is as long as any: nothing here turns NaN or infinity into frames.
    seconds = torch.where(mask, log_durations.float().expm1().clamp(min=0.0) * frame_seconds, 0.0)
    longest, whole = seconds.amax(1), seconds.sum(1)
    limits = SENTENCE_SECONDS + MEAN_SYMBOL_SECONDS * mask.sum(1)
    if not bool(((longest <= SYMBOL_SECONDS) & (whole <= limits)).all()):
        raise TtsMetaError(
            f"a sentence of {int(mask.sum(1).max())} symbols would last {float(whole.max()):.3g} s, one symbol "
            f"{float(longest.max()):.3g} s: the voice or base is damaged or diverged; clone or copy it again"
        )


def check_frames(mel: Tensor) -> Tensor:
    """Return log-mels `(..., T, M)`. Raises TtsMetaError where they are not finite or louder than any sound."""
    # Comparisons with NaN are false.
    if mel.numel() and not bool(((mel <= MOST_LOG_MEL) & (mel >= LEAST_LOG_MEL)).all()):
        raise TtsMetaError(
            "the predicted spectrum is not that of a sound (values that are not finite, or overflow): "
            "the voice or base is damaged or diverged; clone or copy it again"
        )
    return mel


def round_durations(log_durations: Tensor, mask: Tensor, speed: float = 1.0) -> Tensor:
    """Whole frames `(B, N)` of symbols from log(1 + frames) `(B, N)`, at least one in all; `speed` 2 is twice as fast.

    Rounding the running total keeps the length of the sentence, not of each symbol, nearest to the prediction.
    """
    exact = (log_durations.expm1().clamp(min=0.0) / speed) * mask
    edges = exact.cumsum(1).round()
    whole = torch.diff(edges, dim=1, prepend=edges.new_zeros(len(edges), 1))
    whole[:, 0] += edges[:, -1] < 1
    return whole.long()


class Speaker(nn.Module):
    """Speaker embedding `(B, E)`: the mean voice, and for the training speakers their offsets from it.

    Cloning moves `mean` alone; the offsets only serve pretraining and speaking as a training speaker.
    """

    def __init__(self, channels: int, n_speakers: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(nn.init.normal_(torch.empty(channels), std=0.1))
        self.offsets = nn.Parameter(nn.init.normal_(torch.empty(n_speakers, channels), std=0.1))

    def forward(self, index: Tensor) -> Tensor:
        """`index (B,)` int64; -1 is the mean voice."""
        known = (index >= 0).unsqueeze(1)
        return self.mean + torch.where(known, self.offsets[index.clamp(min=0)], 0.0)

    @torch.no_grad()
    def centre(self) -> None:
        """Make `mean` the mean over the training speakers, every voice unchanged."""
        shift = self.offsets.mean(0)
        self.mean += shift
        self.offsets -= shift


class AcousticModel(nn.Module):
    """Non-Attentive Tacotron over a symbol table of V symbols and `n_speakers` training speakers."""

    def __init__(self, config: AcousticConfig, mel: MelConfig, n_symbols: int, n_speakers: int) -> None:
        super().__init__()
        self.config = config
        self.mel_config = mel
        self.n_mels = n_mels = mel.n_mels
        width = config.encoder.channels
        self.speaker = Speaker(config.speaker_channels, n_speakers)
        self.encoder = Encoder(config.encoder, n_symbols)
        self.speaker_projection = nn.Linear(config.speaker_channels, width)
        self.duration = DurationPredictor(config.duration, width)
        self.prosody = ProsodyPredictor(config.prosody, width, CHANNELS)
        self.prosody_projection = nn.Linear(CHANNELS, width)
        self.decoder = Decoder(config.decoder, width, n_mels)
        self.postnet = Postnet(config.postnet, n_mels)
        self.postfilter = VariancePostfilter(n_mels)
        # Scales of the Laplace likelihood: how far true values lie from predicted ones, for each band, for
        # log-durations, and for each channel of prosody.
        self.mel_log_scale = nn.Parameter(torch.full((n_mels,), -1.0))
        self.duration_log_scale = nn.Parameter(torch.tensor(-1.0))
        self.prosody_log_scale = nn.Parameter(torch.full((CHANNELS,), -1.0))
        # Mel values are brought near zero mean and unit scale inside the model; set from the corpus at pretraining.
        self.mel_mean: Tensor
        self.mel_scale: Tensor
        self.register_buffer("mel_mean", torch.zeros(n_mels))
        self.register_buffer("mel_scale", torch.ones(n_mels))

    @property
    def reduction(self) -> int:
        """Frames R that one decoder step emits; teacher-forced mels are padded to a multiple of it."""
        return self.config.decoder.reduction

    def encode(self, tokens: Tensor, token_lengths: Tensor, speaker: Tensor) -> Tensor:
        """Hidden states of the symbols with the speaker added: `(B, N)`, `(B,)`, `(B,)` to `(B, N, D)`."""
        return self._add_speaker(self.encoder(tokens, token_lengths), speaker)

    def forward(
        self, batch: Batch, known: ActivationCache | None = None, generator: torch.Generator | None = None
    ) -> AcousticOutput:
        """Teacher-forced pass: every step sees the true frame before it, the true durations and the true prosody.

        What of it is `known` is not computed. generator: draws the prenet's dropout; None is torch's own.
        """
        known = known or ActivationCache()
        symbols, before = known.symbols, known.before
        if symbols is None:
            hidden = self.encoder(batch.tokens, batch.token_lengths) if known.hidden is None else known.hidden
            symbols = self._symbols(hidden, batch, known.true_prosody)
        if before is None:
            before = self.decoder(symbols.context, (batch.mel - self.mel_mean) / self.mel_scale, generator)
        after = before + self.postnet(before, length_mask(batch.mel_lengths, batch.mel.shape[1]))
        return AcousticOutput(self._to_log_mel(before), self._to_log_mel(after), symbols)

    @torch.no_grad()
    def precompute(self, batch: Batch, changing: Iterable[str]) -> ActivationCache:
        """What of `forward` stays the same while only parameters or modules of the names `changing` move.

        In evaluation mode; a decoder that does not move is then heard without its prenet's dropout.
        """
        parts = {name.split(".")[0] for name in changing}
        true_prosody = measure_prosody(batch.mel, batch.durations, self.mel_config)
        if "encoder" in parts:
            return ActivationCache(true_prosody)
        hidden = self.encoder(batch.tokens, batch.token_lengths)
        if parts & {"speaker", "speaker_projection", "duration", "prosody", "prosody_projection"}:
            return ActivationCache(true_prosody, hidden)
        symbols = self._symbols(hidden, batch, true_prosody)
        if "decoder" in parts:
            return ActivationCache(symbols=symbols)
        before = self.decoder(symbols.context, (batch.mel - self.mel_mean) / self.mel_scale)
        return ActivationCache(symbols=symbols, before=before)

    def _add_speaker(self, hidden: Tensor, speaker: Tensor) -> Tensor:
        return hidden + self.speaker_projection(self.speaker(speaker)).unsqueeze(1)

    def _symbols(self, hidden: Tensor, batch: Batch, true_prosody: Tensor | None = None) -> EncoderOutput:
        encoded = self._add_speaker(hidden, batch.speaker)
        mask = length_mask(batch.token_lengths, batch.tokens.shape[1])
        log_durations, spread = self.duration(encoded, mask)
        if true_prosody is None:
            true_prosody = measure_prosody(batch.mel, batch.durations, self.mel_config)
        said = encoded + self.prosody_projection(true_prosody)
        steps = batch.mel.shape[1] // self.reduction
        context = upsample(said, batch.durations, spread, mask, steps, self.reduction)
        return EncoderOutput(context, log_durations, self.prosody(encoded, mask), true_prosody)

    @torch.no_grad()
    def generate(
        self,
        tokens: Tensor,
        speaker: int = -1,
        durations: Tensor | None = None,
        prosody: Tensor | None = None,
        options: SynthesisOptions = DEFAULT,
    ) -> Tensor:
        """Speak `tokens (N,)` frame by frame: log-mel `(T, M)`.

        `durations (N,)` in frames and `prosody (N, 3)` may be given; `options` changes what is predicted. Raises
        TtsMetaError for predictions that are no speech: `check_durations`, `check_frames`.
        """
        given = (None if one is None else one[None] for one in (durations, prosody))
        return self._generate(*self._plan([tokens], speaker, options, *given), options)[0]

    @torch.no_grad()
    def generate_batch(
        self, sentences: Sequence[Tensor], speaker: int = -1, options: SynthesisOptions = DEFAULT
    ) -> list[Tensor]:
        """Speak several sentences `(N,)` side by side, as `generate` does one: log-mels `(T, M)`.

        With `prenet_dropout` they draw together, and not what each alone would.
        """
        return self._generate(*self._plan(sentences, speaker, options), options)

    @torch.no_grad()
    def stream(
        self, tokens: Tensor, speaker: int = -1, options: SynthesisOptions = DEFAULT, chunk: int = 256
    ) -> Iterator[Tensor]:
        """Yield the frames of `generate` as they come, `(t, M)`, about `chunk` at a time.

        The first are as many as the postfilter's mean is taken over, the whole of most sentences.
        """
        context, lengths = self._plan([tokens], speaker, options)
        frames, receptive_radius = int(lengths), self.postnet.receptive_radius
        steps = self.decoder.generate(context, options.prenet_dropout, torch.Generator().manual_seed(options.seed))
        before, done, due, mean = context.new_zeros(1, 0, self.n_mels), 0, self.postfilter.mean_frames, None
        waiting: list[Tensor] = []
        for step, group in enumerate(steps, start=1):
            waiting.append(group)
            there = min(frames, step * self.reduction)
            if there < min(frames, due + receptive_radius):
                continue
            before = torch.cat([before, *waiting], 1)
            waiting.clear()
            # `before` begins `reach` frames ahead of those that are due, or at the sentence's beginning.
            first, end = max(0, done - receptive_radius), frames if there == frames else there - receptive_radius
            after = before + self.postnet(before, length_mask(lengths - first, before.shape[1]))
            mel = self._to_log_mel(after)[0, done - first : end - first]
            mean = self.postfilter.mean(mel) if mean is None else mean
            yield check_frames(self.postfilter.sharpen(mel, mean, options.postfilter))
            before, done, due = before[:, max(0, end - receptive_radius) - first :], end, end + chunk

    def _plan(
        self,
        sentences: Sequence[Tensor],
        speaker: int,
        options: SynthesisOptions,
        durations: Tensor | None = None,
        prosody: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What the decoder reads to say sentences `(N,)`, `(B, T/R, D)`, and their frames `(B,)`.

        durations `(B, N)` and prosody `(B, N, 3)` are predicted where not given.
        """
        tokens = pad_sequence(list(sentences), batch_first=True)
        lengths = torch.tensor([len(sentence) for sentence in sentences], device=tokens.device)
        encoded = self.encode(tokens, lengths, lengths.new_full((len(lengths),), speaker))
        mask = length_mask(lengths, tokens.shape[1])
        log_durations, spread = self.duration(encoded, mask)
        if durations is None:
            check_durations(log_durations, mask, self.mel_config.frame_seconds)
        whole = round_durations(log_durations, mask, options.speed) if durations is None else durations
        if prosody is None:
            prosody = change_prosody(self.prosody(encoded, mask), options.pitch, options.pitch_range)
        said = encoded + self.prosody_projection(torch.where((whole > 0).unsqueeze(-1), prosody, 0.0))
        frames = whole.sum(1)
        steps = -(-int(frames.max()) // self.reduction)
        return upsample(said, whole, spread, mask, steps, self.reduction), frames

    def _generate(self, context: Tensor, frames: Tensor, options: SynthesisOptions) -> list[Tensor]:
        generator = torch.Generator().manual_seed(options.seed)
        before = torch.cat(
            list(self.decoder.generate(context, options.prenet_dropout, generator)), 1
        )  # (B, steps * R, M)
        after = before + self.postnet(before, length_mask(frames, before.shape[1]))
        mels = (mel[:length] for mel, length in zip(self._to_log_mel(after), frames.tolist(), strict=True))
        return [check_frames(self.postfilter(mel, options.postfilter)) for mel in mels]

    def _to_log_mel(self, scaled: Tensor) -> Tensor:
        return scaled.float() * self.mel_scale + self.mel_mean
