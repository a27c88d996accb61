"""Figures, TensorBoard logs and the HTML listening page."""

from tts_meta.report.figures import draw_bars, png_bytes, write_png
from tts_meta.report.log import Log, NullLog
from tts_meta.report.mel_figures import draw_alignment, draw_mel
from tts_meta.report.page import Clip, ListeningPage, Section
from tts_meta.report.tensorboard import TensorBoardLog

__all__ = [
    "Clip",
    "ListeningPage",
    "Log",
    "NullLog",
    "Section",
    "TensorBoardLog",
    "draw_alignment",
    "draw_bars",
    "draw_mel",
    "png_bytes",
    "write_png",
]
