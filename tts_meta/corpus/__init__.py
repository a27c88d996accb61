"""What there is to learn from: utterances and their manifest, speaker splits, episodes, padded batches."""

from tts_meta.corpus.batches import Batch, Example, bucket_batches, collate
from tts_meta.corpus.episodes import Episode, sample_episodes
from tts_meta.corpus.manifest import Manifest
from tts_meta.corpus.splits import hold_back_named, hold_back_speakers
from tts_meta.corpus.utterance import SPEED_MARK, Utterance, recording_of

__all__ = [
    "SPEED_MARK",
    "Batch",
    "Episode",
    "Example",
    "Manifest",
    "Utterance",
    "bucket_batches",
    "collate",
    "hold_back_named",
    "hold_back_speakers",
    "recording_of",
    "sample_episodes",
]
