"""The new speaker of the demo: the neural voice of hibari-tts, which no base was trained on."""

from __future__ import annotations

from tts_meta.audio.io import Waveform

RECORDED = (
    "The old lighthouse keeper climbed the stairs each evening with a lamp in his hand.",
    "Fresh bread, yellow cheese and a jar of honey stood on the kitchen table.",
    "We should measure the garden before we choose where the young trees will go.",
    "Her brother joined the choir in March, and now he sings louder than anyone.",
    "Why would a quick brown thrush visit the same branch every morning?",
)
"""Sentences of the recordings. Together they contain all but the rarest phonemes."""

NEW = (
    "My new voice was made from five short recordings.",
    "The train to the harbor leaves at seven thirty, so please don't be late.",
    "Could you put the blue umbrella back behind the door?",
    "A gentle wind moved over the lake while the children gathered shells and smooth stones.",
)
"""Sentences that the clone speaks. The recordings contain none of these sentences."""

REFERENCE = (
    "The village clock struck nine as the last guests walked slowly home.",
    "A narrow bridge of grey stone crosses the river below the mill.",
    "Nobody knew which of the two boxes held the missing letters.",
    "Early in the spring they paint the fence and sharpen every tool.",
    "Is the shop on the corner still open on Thursday afternoons?",
)
"""Sentences of the speaker that similarity is measured to.

The clone neither adapts on these sentences nor speaks them.
"""


class HibariSpeaker:
    """A speaker of sentences at 24,000 Hz. The same seed gives the same samples."""

    name = "heart, the neural voice of hibari-tts"

    def __init__(self) -> None:
        from hibari import Hibari

        # This voice is the only one inside the package. Other voices would be downloaded.
        self._speaker = Hibari("heart")
        self.rate = int(self._speaker.sample_rate)

    def speak(self, sentence: str, seed: int) -> Waveform:
        """Return samples `(S,)` in [-1, 1] at `rate` Hz. `seed` is the seed of the noise in the voice."""
        return self._speaker(sentence, seed=seed)
