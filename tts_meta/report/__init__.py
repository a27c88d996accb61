"""What people look at and listen to: pictures, TensorBoard logs, the HTML listening page."""

from tts_meta.report.figures import alignment_picture, bar_picture, mel_picture, png_bytes, write_png
from tts_meta.report.page import Clip, ListeningPage, Section
from tts_meta.report.tensorboard import Log, NullLog, RunLog

__all__ = [
    "Clip",
    "ListeningPage",
    "Log",
    "NullLog",
    "RunLog",
    "Section",
    "alignment_picture",
    "bar_picture",
    "mel_picture",
    "png_bytes",
    "write_png",
]
