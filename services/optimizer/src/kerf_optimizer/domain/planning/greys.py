"""Pictures whose greys mean something: power for each pixel, or a relief, whose dark pixels burn in more passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Drawing, Raster
from kerf_optimizer.domain.machine.work import GreyMeaning, Layer, PlacedRaster, depth_steps, power_steps
from kerf_optimizer.domain.planning.spec import Operation, OperationKind
from kerf_optimizer.domain.presets import Dialect, MachineProfile

MIN_RELIEF_PASSES = 2


def check_grey(
    operation: Operation, source: Raster | Drawing, machine: MachineProfile, passes: int, field: str
) -> None:
    """Raise InvalidArgument naming `<field>.grey` or `<field>.passes` where greys cannot mean what was asked."""
    if operation.grey is None:
        if isinstance(source, Raster) and source.power is not None and operation.contour is None:
            text = "the picture has greys (another operation uses them); say what they mean to this one."
            raise InvalidArgument.of_field(f"{field}.grey", text)
        return
    if operation.kind is not OperationKind.ENGRAVE_RASTER:
        text = f"{operation.kind.value} burns paths, which have no greys; leave it out."
        raise InvalidArgument.of_field(f"{field}.grey", text)
    if operation.grey is GreyMeaning.POWER and machine.dialect is Dialect.GRBL_NO_LASER_MODE:
        text = (
            f"{machine.name} stops at each change of power, so each pixel would be a hole; set $32=1 and use a machine "
            "with laser mode, or a mode that makes dots."
        )
        raise InvalidArgument.of_field(f"{field}.grey", text, reason="POWER_PER_PIXEL_UNSUPPORTED")
    if operation.grey is GreyMeaning.DEPTH and passes < MIN_RELIEF_PASSES:
        text = f"a relief needs {MIN_RELIEF_PASSES} passes or more: each is one step down."
        raise InvalidArgument.of_field(f"{field}.passes", text)


def with_powers(raster: PlacedRaster, grey: GreyMeaning | None) -> PlacedRaster:
    """The picture as this operation sees it: with powers where greys mean something, black and white otherwise."""
    if grey is None or raster.power is not None:
        return raster
    return dataclasses.replace(raster, power=raster.burn.astype(np.uint8) * 255)


def passes_of(layer: Layer) -> Iterator[tuple[int, PlacedRaster]]:
    """The number of the pass and what burns in it, pass after pass, and within it picture after picture."""
    for number in range(layer.passes):
        for raster in layer.rasters:
            match layer.grey:
                case GreyMeaning.POWER:
                    yield number, dataclasses.replace(raster, power=_told_apart(layer.s_value)[_powers(raster)])
                case GreyMeaning.DEPTH:
                    burn = depth_steps(layer.passes)[_powers(raster)] > number
                    yield number, dataclasses.replace(raster, burn=burn, power=None)
                case _:
                    yield number, raster


def _powers(raster: PlacedRaster) -> NDArray[np.uint8]:
    assert raster.power is not None
    return raster.power


def _told_apart(s_value: int) -> NDArray[np.uint8]:
    """For each share 0–255 the smallest with the same step of power: neighbours of one power become one stretch."""
    _, first, which = np.unique(power_steps(s_value), return_index=True, return_inverse=True)
    return first[which].astype(np.uint8)


def grey_warnings(layer: Layer, machine: MachineProfile) -> Iterator[str]:
    """What the operator should know of a layer whose greys mean something."""
    if layer.grey is not GreyMeaning.POWER:
        return
    used = np.unique(np.concatenate([np.unique(_powers(raster)) for raster in layer.rasters]))
    least = float(power_steps(layer.s_value)[used[used > 0]].min(initial=layer.s_value)) / machine.s_max * 100
    if least < machine.min_power_percent:
        yield (
            f"Layer {layer.name}: the lightest greys burn with {least:.1f} %, and this source does not burn reliably "
            f"below {machine.min_power_percent:g} %; raise the least power of the power map."
        )
