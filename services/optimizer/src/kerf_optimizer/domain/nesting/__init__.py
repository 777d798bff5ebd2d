"""Nesting: copies of several parts on a sheet of material, close together and never on each other."""

from kerf_optimizer.domain.nesting.sheet import NestedPart, Nesting, NestingLimits, Pose, nest

__all__ = ["NestedPart", "Nesting", "NestingLimits", "Pose", "nest"]
