"""The whole way once, on what is shipped: a new speaker's recordings in, a voice and a page to listen on out."""

from tts_meta.demo.pipeline import run

__all__ = ["run"]
