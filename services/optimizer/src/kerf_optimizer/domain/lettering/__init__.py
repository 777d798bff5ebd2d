"""Text as paths: fonts of anybody's and kerf's own, set in lines, in millimetres."""

from kerf_optimizer.domain.lettering.font_shelf import FontShelf
from kerf_optimizer.domain.lettering.glyphs import FontLimits
from kerf_optimizer.domain.lettering.layout import Alignment, TextStyle, text_paths

__all__ = ["Alignment", "FontLimits", "FontShelf", "TextStyle", "text_paths"]
