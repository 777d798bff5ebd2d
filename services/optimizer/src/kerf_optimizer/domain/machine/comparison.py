"""What a file says, compared with what was meant: paths in order, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kerf_core.errors import Internal
from kerf_optimizer.domain.geometry import Path
from kerf_optimizer.domain.machine.work import Layer

TOLERANCE_MM = 0.002
"""Greatest distance between a written point and the one that was meant, in each coordinate."""


def compare_layers(check: str, layers: Sequence[Layer], found: Mapping[str, Sequence[Path]]) -> str:
    """Compare all paths of all layers with `found`, the paths by layer name.

    Returns what was compared, with the largest deviation; raises Internal (READ_BACK).
    """
    if set(found) != {layer.name for layer in layers}:
        raise differs(check, "the layers differ")
    count, off_mm = 0, 0.0
    for layer in layers:
        off_mm = max(off_mm, _largest_deviation_mm(check, layer.name, found[layer.name], layer.paths))
        count += len(layer.paths)
    return f"{count} paths on {len(layers)} layers compared node by node, largest deviation {off_mm:.6f} mm"


def _largest_deviation_mm(check: str, layer: str, found: Sequence[Path], meant: Sequence[Path]) -> float:
    if len(found) != len(meant):
        raise differs(check, f"layer {layer} has {len(found)} paths instead of {len(meant)}")
    largest_mm = 0.0
    for one, other in zip(found, meant, strict=True):
        if one.closed != other.closed or one.points_mm.shape != other.points_mm.shape:
            raise differs(check, f"a path of layer {layer} has other nodes")
        largest_mm = max(largest_mm, float(np.abs(one.points_mm - other.points_mm).max()))
    if not largest_mm <= TOLERANCE_MM:
        raise differs(check, f"a path of layer {layer} lies elsewhere")
    return largest_mm


def differs(check: str, text: str) -> Internal:
    """The error of a file that does not say what was meant."""
    return Internal("READ_BACK", f"Check {check} failed, the files were thrown away: {text}.")
