"""Nesting: copies of several parts on a sheet of material, close together and never on each other."""

from kerf_optimizer.domain.nesting.sheet import NestedPart, Nesting, NestingLimits, Pose, nest, rotation

__all__ = ["NestedPart", "Nesting", "NestingLimits", "Pose", "nest", "rotation"]
