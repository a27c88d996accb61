"""The new speaker of the demo: the small neural voice of hibari-tts, which no base was ever trained on."""

from __future__ import annotations

from tts_meta.audio.io import Waveform

RECORDED = (
    "The old lighthouse keeper climbed the stairs each evening with a lamp in his hand.",
    "Fresh bread, yellow cheese and a jar of honey stood on the kitchen table.",
    "We should measure the garden before we choose where the young trees will go.",
    "Her brother joined the choir in March, and now he sings louder than anyone.",
    "Why would a quick brown thrush visit the same branch every morning?",
)
"""Said into the recordings; between them they hold all but the rarest phonemes."""

NEW = (
    "My new voice was made from five short recordings.",
    "The train to the harbor leaves at seven thirty, so please don't be late.",
    "Could you put the blue umbrella back behind the door?",
    "A gentle wind moved over the lake while the children gathered shells and smooth stones.",
)
"""Spoken by the clone, which never heard the new speaker say them."""

REFERENCE = (
    "The village clock struck nine as the last guests walked slowly home.",
    "A narrow bridge of grey stone crosses the river below the mill.",
    "Nobody knew which of the two boxes held the missing letters.",
    "Early in the spring they paint the fence and sharpen every tool.",
    "Is the shop on the corner still open on Thursday afternoons?",
)
"""Said by the speaker for comparison alone: similarity is measured to these, neither cloned from nor spoken anew."""


class HibariSpeaker:
    """Says sentences at 24,000 Hz, the same way each time."""

    name = "heart, the neural voice of hibari-tts"

    def __init__(self) -> None:
        from hibari import Hibari

        # The one voice inside the package; others are downloaded.
        self._speaker = Hibari("heart")
        self.rate = int(self._speaker.sample_rate)

    def say(self, sentence: str, seed: int) -> Waveform:
        """Samples `(S,)` in [-1, 1] at `rate`; `seed` draws the noise in the voice."""
        return self._speaker(sentence, seed=seed)
