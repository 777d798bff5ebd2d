"""What the controller's firmware makes of a program: its look-ahead planner and its serial line, simulated."""

from kerf_optimizer.domain.motion.program import MotionProgram, arc_chords
from kerf_optimizer.domain.motion.simulation import STEPS_PER_MM, PlannerSettings, run_seconds

__all__ = ["STEPS_PER_MM", "MotionProgram", "PlannerSettings", "arc_chords", "run_seconds"]
