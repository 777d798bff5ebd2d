"""Parts of `bench.optimizer`: each answers some lines of what the optimizer has to show."""
