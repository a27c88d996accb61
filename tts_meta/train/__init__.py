"""Training: pretraining of the base voice, its loop, its checkpoints."""

from tts_meta.train.checkpoints import load_checkpoint, save_checkpoint
from tts_meta.train.pretrain import pretrain

__all__ = ["load_checkpoint", "pretrain", "save_checkpoint"]
