"""The parts of `bench.memory`."""
