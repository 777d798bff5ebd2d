"""Names of what the safety linter finds, and what it must know."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kerf_optimizer.domain.presets import MachineProfile, Material


class Rule(Enum):
    """What is wrong. The value is the stable name in reports."""

    MATERIAL_BLOCKED = "material-blocked"
    MATERIAL_UNSUITED = "material-unsuited"
    NOT_ASCII = "not-ascii"
    CONTROL_CHARACTER = "control-character"
    REALTIME_CHARACTER = "realtime-character"
    LINE_TOO_LONG = "line-too-long"
    MALFORMED = "malformed"
    NOT_A_NUMBER = "not-a-number"
    SYSTEM_COMMAND = "system-command"
    FORBIDDEN_COMMAND = "forbidden-command"
    CONTRADICTION = "contradiction"
    ARC = "arc"
    SEVERAL_COMMANDS = "several-commands"
    MOTION_WORD_MISSING = "motion-word-missing"
    INLINE_MISSING = "inline-missing"
    WRONG_BEAM_WORD = "wrong-beam-word"
    AIR_LEFT_ON = "air-left-on"
    Z_MOVE = "z-move"
    Z_RANGE = "z-range"
    Z_LEFT_LOW = "z-left-low"
    HEADER_MISSING = "header-missing"
    NOTHING_TO_RUN = "nothing-to-run"
    NOT_OFF_FIRST = "not-off-first"
    NOT_OFF_LAST = "not-off-last"
    NO_END = "no-end"
    TEXT_AFTER_END = "text-after-end"
    NOT_MILLIMETRES = "not-millimetres"
    NOT_ABSOLUTE = "not-absolute"
    FEED_MODE = "feed-mode"
    PLANE = "plane"
    CONSTANT_POWER = "constant-power"
    START_UNKNOWN = "start-unknown"
    TRAVEL_BEAM_ON = "travel-beam-on"
    TRAVEL_WITHOUT_S0 = "travel-without-s0"
    STATIONARY_BEAM = "stationary-beam"
    DWELL_BEAM_ON = "dwell-beam-on"
    POWER_WITHOUT_BEAM = "power-without-beam"
    POWER_UNKNOWN = "power-unknown"
    POWER_NEGATIVE = "power-negative"
    POWER_OVER_MACHINE = "power-over-machine"
    POWER_OVER_PLAN = "power-over-plan"
    ENERGY_OVER_CAP = "energy-over-cap"
    FEED_MISSING = "feed-missing"
    FEED_ZERO = "feed-zero"
    FEED_OVER_MACHINE = "feed-over-machine"
    BURN_OUT_OF_BED = "burn-out-of-bed"
    OVERSCAN_OUT_OF_BED = "overscan-out-of-bed"
    TRAVEL_OUT_OF_BED = "travel-out-of-bed"


@dataclass(frozen=True)
class LintRules:
    """What a program is judged against.

    `margin_mm` is the border of the bed that nothing may enter; `s_limit` the largest S that was planned (0 = only the
    machine's own limit counts).
    """

    machine: MachineProfile
    material: Material
    margin_mm: float = 0.0
    s_limit: float = 0.0
    max_findings: int = 20


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. `line` is 0-based, −1 = the file as a whole."""

    rule: Rule
    line: int
    message: str
