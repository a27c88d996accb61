"""What there is to learn from: utterances and their manifest, speaker splits, episodes, padded batches."""

from tts_meta.corpus.batches import Batch, Example, bucket_batches, collate
from tts_meta.corpus.episodes import Episode, sample_episodes
from tts_meta.corpus.manifest import Manifest, Utterance
from tts_meta.corpus.splits import hold_back_named, hold_back_speakers

__all__ = [
    "Batch",
    "Episode",
    "Example",
    "Manifest",
    "Utterance",
    "bucket_batches",
    "collate",
    "hold_back_named",
    "hold_back_speakers",
    "sample_episodes",
]
