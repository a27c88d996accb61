"""Baselines of cloning that need speech models or other packages. Importing this package registers them."""

from tts_meta.adapt.baselines.lora import Lora

__all__ = ["Lora"]
