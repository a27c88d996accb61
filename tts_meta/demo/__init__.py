"""`tts-meta demo`: clones a shipped synthetic speaker with the shipped models and writes a page to listen to."""

from tts_meta.demo.pipeline import run

__all__ = ["run"]
