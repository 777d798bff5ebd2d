"""The arrays that the raster modes work on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
"""Rows × columns, 0 = black."""
Burn = NDArray[np.bool_]
"""Rows × columns, True = burn."""
