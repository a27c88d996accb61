"""What there is to learn from: utterances and their manifest, speaker splits, episodes, padded batches."""

from tts_meta.corpus.batches import Batch, Example, bucket_batches, collate
from tts_meta.corpus.episodes import Episode, sample_episodes
from tts_meta.corpus.manifest import Manifest
from tts_meta.corpus.splits import hold_back_named, hold_back_speakers
from tts_meta.corpus.transcript_columns import AUDIO_SUFFIXES
from tts_meta.corpus.transcript_files import Matches, composed, find_sidecar, match_transcripts, name_stem
from tts_meta.corpus.transcripts import Transcript, read_transcripts
from tts_meta.corpus.utterance import SPEED_MARK, Utterance, recording_of

__all__ = [
    "AUDIO_SUFFIXES",
    "SPEED_MARK",
    "Batch",
    "Episode",
    "Example",
    "Manifest",
    "Matches",
    "Transcript",
    "Utterance",
    "bucket_batches",
    "collate",
    "composed",
    "find_sidecar",
    "hold_back_named",
    "hold_back_speakers",
    "match_transcripts",
    "name_stem",
    "read_transcripts",
    "recording_of",
    "sample_episodes",
]
