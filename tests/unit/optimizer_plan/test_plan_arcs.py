"""Arcs that a request asks for: in every dialect, in the pictures, and not in the drawings, which stay as drawn."""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from kerf.optimizer.v1 import plan_pb2 as plan
from kerf_core.grpc_calls import validate
from kerf_optimizer.domain.geometry import Drawing, Path, path_of
from kerf_optimizer.domain.machine.preview import VIEW, draw_preview
from kerf_optimizer.domain.machine.work import Work
from kerf_optimizer.domain.planning import OutputFormat, PlanLimits, PlannedBurn, PlanSpec, plan_burn
from kerf_optimizer.domain.planning.sequence import build_work
from kerf_optimizer.domain.presets import Dialect, machine_profile
from kerf_optimizer.messages import read_plan
from plan_controllers import controller
from plan_samples import never_cancelled

TOLERANCE_MM = 0.02
MIDDLE = np.array([20.0, 20.0])
MACHINES = {
    "grbl-diode-10w": Dialect.GRBL_M4,
    "marlin-diode-10w": Dialect.MARLIN_INLINE,
    "smoothie-diode-10w": Dialect.SMOOTHIEWARE,
}


def ring(radius_mm: float, nodes: int) -> Path:
    turn = np.arange(nodes) * math.tau / nodes
    return path_of(MIDDLE + radius_mm * np.stack([np.cos(turn), np.sin(turn)], axis=1), closed=True)


CIRCLES = Drawing(40.0, 40.0, (ring(16, 400), ring(6, 150)))


def asked(arc_tolerance_mm: float, machine: str = "grbl-diode-10w") -> PlanSpec:
    """As a caller asks for it."""
    request = plan.PlanRequest(
        machine=machine,
        material="birch-3mm",
        operations=[plan.Operation(kind=plan.OPERATION_KIND_CUT, passes=1)],
        path_style=plan.PathStyle(arc_tolerance_mm=arc_tolerance_mm),
        outputs=[plan.OUTPUT_FORMAT_GCODE, plan.OUTPUT_FORMAT_SVG, plan.OUTPUT_FORMAT_DXF, plan.OUTPUT_FORMAT_PDF],
    )
    validate(request)
    return read_plan(request)


def burnt(arc_tolerance_mm: float, machine: str = "grbl-diode-10w") -> PlannedBurn:
    return plan_burn(asked(arc_tolerance_mm, machine), [CIRCLES], never_cancelled)


def work_of(arc_tolerance_mm: float) -> Work:
    return build_work(asked(arc_tolerance_mm), [CIRCLES], never_cancelled, PlanLimits())


@pytest.mark.parametrize("machine", MACHINES)
def test_a_controller_that_runs_the_arcs_draws_the_circles(machine: str) -> None:
    text = burnt(TOLERANCE_MM, machine).files[0].data.decode("ascii")
    assert text.count("\nG2 ") + text.count("\nG3 ") <= 8
    runs = controller(MACHINES[machine], machine_profile(machine).s_max)
    strokes = np.array(runs.run(text))
    assert not runs.travel_power
    drawn = shapely.union_all(shapely.linestrings(strokes[:, :4].reshape(-1, 2, 2)))
    rings = [np.concatenate([p.points_mm, p.points_mm[:1]]) for p in CIRCLES.paths]
    meant = shapely.union_all([shapely.LineString(points * [1, -1] + [0, 40]) for points in rings])
    assert shapely.hausdorff_distance(drawn, meant, densify=0.05) <= TOLERANCE_MM + 0.005


def test_drawings_are_the_same_bytes_with_and_without_arcs() -> None:
    """SVG, DXF and PDF hold the paths as they were drawn: arcs are a matter of G-code."""
    plain = {file.format: file.data for file in burnt(0).files}
    curved = {file.format: file.data for file in burnt(TOLERANCE_MM).files}
    assert plain.pop(OutputFormat.GCODE) != curved.pop(OutputFormat.GCODE)
    assert plain == curved


def red(work: Work) -> NDArray[np.bool_]:
    """Where the close view of the preview shows a cut."""
    picture = cv2.imdecode(np.frombuffer(draw_preview(work, 100.0), dtype=np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    x, y, width, height = VIEW
    close = picture[y : y + height, x : x + width].astype(np.int64)
    shown: NDArray[np.bool_] = (close[..., 2] > 180) & (close[..., 1] < 150) & (close[..., 0] < 150)
    return shown


def test_the_preview_draws_arcs_round_and_not_as_their_chords() -> None:
    straight, curved = red(work_of(0)), red(work_of(TOLERANCE_MM))
    assert straight.sum() > 1000
    around = np.ones((5, 5), dtype=np.uint8)
    near = cv2.dilate(straight.astype(np.uint8), around) > 0
    assert not (curved & ~near).any()
    assert not (straight & ~(cv2.dilate(curved.astype(np.uint8), around) > 0)).any()


def test_pieces_of_a_toolpath_follow_its_arcs_and_name_their_moves() -> None:
    path = work_of(TOLERANCE_MM).toolpath
    burning = np.flatnonzero(path.s > 0)
    pieces_mm, move = path.pieces_mm(burning, 0.001)
    assert set(move.tolist()) == set(burning.tolist())
    center = MIDDLE * [1, -1] + [0, 40]
    away_mm = np.hypot(*(pieces_mm.mean(axis=1) - center).T)
    assert np.minimum(abs(away_mm - 16), abs(away_mm - 6)).max() < TOLERANCE_MM + 0.005
    coarse, _ = path.pieces_mm(burning, 1.0)
    assert len(coarse) < len(pieces_mm) / 4
    straight = dataclasses.replace(path, turn=None, i_um=None, j_um=None)
    assert len(straight.pieces_mm(burning, 0.001)[0]) == len(burning)
