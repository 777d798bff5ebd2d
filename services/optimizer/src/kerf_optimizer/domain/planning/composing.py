"""Puts the drawings that kerf makes beside the sources that came, so that operations find both by one number."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.drawings import DrawingLimits, draw
from kerf_optimizer.domain.geometry import Drawing, Raster
from kerf_optimizer.domain.lettering import FontShelf
from kerf_optimizer.domain.nesting import NestedPart
from kerf_optimizer.domain.planning.resolve import planned_machine
from kerf_optimizer.domain.planning.spec import Operation, PlanSpec


def compose(
    spec: PlanSpec,
    sources: Mapping[int, Raster | Drawing],
    fonts: Mapping[int, bytes],
    shelf: FontShelf,
    limits: DrawingLimits,
    check_cancelled: Callable[[], None],
) -> tuple[PlanSpec, list[Raster | Drawing]]:
    """A plan whose operations count in the list that is returned with it: the sources, then the drawings.

    `sources` and `fonts` are keyed by their index in the request. Raises InvalidArgument as `draw` does, and where an
    operation names a font, a drawing or a source that is not there.
    """
    parts = spec.nesting.parts if spec.nesting else ()
    if not spec.drawings and not fonts and not any(part.drawings for part in parts):
        return spec, [sources[index] for index in sorted(sources)]
    machine = planned_machine(spec)
    spot_mm = max(machine.spot_x_mm, machine.spot_y_mm)
    made, warnings = draw(spec.drawings, fonts, shelf, spot_mm, limits, check_cancelled)
    places = {index: place for place, index in enumerate(sorted(sources))}
    operations = tuple(
        dataclasses.replace(operation, input=_place(index, operation, places, fonts, len(made)), drawing=None)
        for index, operation in enumerate(spec.operations)
    )
    nesting = spec.nesting and dataclasses.replace(
        spec.nesting, parts=tuple(_part(number, part, places, len(made)) for number, part in enumerate(parts))
    )
    warnings = [*spec.warnings, *warnings]
    composed = dataclasses.replace(spec, operations=operations, drawings=(), nesting=nesting, warnings=tuple(warnings))
    return composed, [*(sources[index] for index in sorted(sources)), *made]


def _part(number: int, part: NestedPart, places: Mapping[int, int], drawings: int) -> NestedPart:
    if not set(part.inputs) <= set(places) or not all(0 <= drawing < drawings for drawing in part.drawings):
        text = "it names a source or a drawing that is not there, or a font."
        raise InvalidArgument.of_field(f"nesting.parts[{number}]", text)
    inputs = [places[index] for index in part.inputs] + [len(places) + drawing for drawing in part.drawings]
    return dataclasses.replace(part, inputs=tuple(inputs), drawings=())


def _place(
    index: int, operation: Operation, places: Mapping[int, int], fonts: Mapping[int, bytes], drawings: int
) -> int:
    if operation.drawing is not None:
        if operation.drawing < drawings:
            return len(places) + operation.drawing
        text = f"there is no drawing {operation.drawing}; {drawings} were given, counted from 0."
        raise InvalidArgument.of_field(f"operations[{index}].drawing", text)
    if operation.input in places:
        return places[operation.input]
    if operation.input in fonts:
        text = f"source {operation.input} is a font; name the drawing that uses it (`drawing`)."
    else:
        text = f"there is no source {operation.input}; {len(places)} were given, counted from 0."
    raise InvalidArgument.of_field(f"operations[{index}].input", text)
