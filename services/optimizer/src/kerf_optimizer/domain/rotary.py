"""A rotary in place of Y: the surface of a round piece, unrolled, is the bed.

kerf keeps writing millimetres of the surface. The controller turns the piece by the right angle if its steps per
millimetre of Y are those of the rotary at this diameter; they are a required setting of the file. So feeds, energy,
proofs and the time hold as on a flat bed, which scaled Y words would not let them: a feed would then depend on the
direction of each move.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.presets import Dialect, MachineProfile

MIN_DIAMETER_MM, MAX_DIAMETER_MM = 3.0, 500.0
MIN_STEPS, MAX_STEPS = 100.0, 1_000_000.0
COARSE_STEP_MM = 0.1
_STEPS_SETTING = {Dialect.MARLIN_INLINE: "M92 Y{:.3f}", Dialect.SMOOTHIEWARE: "beta_steps_per_mm {:.3f}"}
_GRBL_STEPS_SETTING = "$101={:.3f}"


@dataclass(frozen=True)
class Rotary:
    """A round piece of `diameter_mm` on a rotary that is connected as Y.

    `steps_per_turn`: steps of the motor for one turn of the piece (of the roller, where `diameter_mm` is the roller's);
    0 = as the machine's profile says.
    """

    diameter_mm: float
    steps_per_turn: float = 0.0

    @property
    def turn_mm(self) -> float:
        """What one turn is on the surface."""
        return math.pi * self.diameter_mm

    @property
    def step_mm(self) -> float:
        """What one step is on the surface."""
        return self.turn_mm / self.steps_per_turn


def mounted(rotary: Rotary, machine: MachineProfile) -> tuple[Rotary, MachineProfile]:
    """The rotary with its steps, and the machine with the unrolled surface as its bed.

    Raises InvalidArgument naming `rotary.<field>` for figures out of range, ROTARY_STEPS_UNKNOWN where neither the
    request nor the machine says how many steps a turn takes.
    """
    steps = rotary.steps_per_turn or machine.rotary_steps_per_turn
    if rotary.steps_per_turn == 0 and steps == 0:
        text = f"{machine.name} does not say how many steps its rotary takes for a turn; give them."
        raise InvalidArgument.of_field("rotary.steps_per_turn", text, reason="ROTARY_STEPS_UNKNOWN")
    for field, value, low, high in (
        ("diameter_mm", rotary.diameter_mm, MIN_DIAMETER_MM, MAX_DIAMETER_MM),
        ("steps_per_turn", steps, MIN_STEPS, MAX_STEPS),
    ):
        if not (math.isfinite(value) and low <= value <= high):
            raise InvalidArgument.of_field(f"rotary.{field}", f"{value:g} is outside {low:g} to {high:g}.")
    turned = dataclasses.replace(rotary, steps_per_turn=steps)
    setting = _STEPS_SETTING.get(machine.dialect, _GRBL_STEPS_SETTING).format(1 / turned.step_mm)
    return turned, dataclasses.replace(
        machine, bed_height_mm=turned.turn_mm, required_settings=(*machine.required_settings, setting)
    )


def rotary_text(rotary: Rotary) -> str:
    """The rotary in one line of plain ASCII, for people."""
    return (
        f"diameter {rotary.diameter_mm:.2f} mm, one turn is Y {rotary.turn_mm:.2f} mm, {rotary.steps_per_turn:g} steps"
    )


def rotary_warnings(rotary: Rotary, machine: MachineProfile) -> list[str]:
    """What the operator must know. `machine` is the mounted one."""
    warnings = [
        f"Rotary in place of Y: set {machine.required_settings[-1]} for a diameter of {rotary.diameter_mm:g} mm, and "
        "your machine's own value again afterwards. Y0 is where the piece stands when the file starts; homing and "
        "limit switches of Y must be off."
    ]
    if rotary.step_mm > COARSE_STEP_MM:
        warnings.append(
            f"One step of the rotary is {rotary.step_mm:.2f} mm on the surface: fine detail will be coarse."
        )
    return warnings
