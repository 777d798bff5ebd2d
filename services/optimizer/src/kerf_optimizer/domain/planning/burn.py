"""Plans a burn: from sources and wishes to machine files that were read back and found safe."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kerf_optimizer.domain.geometry import Drawing, Raster
from kerf_optimizer.domain.machine.outputs import OutputOptions
from kerf_optimizer.domain.planning.proving import prove_work
from kerf_optimizer.domain.planning.sequence import build_work
from kerf_optimizer.domain.planning.spec import PlanLimits, PlannedBurn, PlanSpec

DEFAULT_LIMITS = PlanLimits()


def plan_burn(
    spec: PlanSpec,
    sources: Sequence[Raster | Drawing],
    check_cancelled: Callable[[], None],
    limits: PlanLimits = DEFAULT_LIMITS,
) -> PlannedBurn:
    """Place the operations on the bed and make the files that `spec.outputs` asks for.

    The G-code is always made, linted and read back, also where only other files are wanted. Blocking; calls
    `check_cancelled` between steps and passes on what it raises. Same arguments, same bytes.

    Raises InvalidArgument for a wrong request (unknown or dangerous material, off the bed, over a cap or a limit,
    nothing to burn), Internal (SAFETY_LINTER, READ_BACK) where a file did not pass its own checks.
    """
    check_cancelled()
    work = build_work(spec, sources, check_cancelled, limits)
    options = OutputOptions(frame_power_percent=spec.frame_power_percent)
    return prove_work(work, spec.outputs, options, limits, check_cancelled, spec.path_style)
