"""The sides and the inputs of bench.optimizer_plan."""
