"""Both sides of `bench.overhead`: jobs that do no work, so that only the overhead is left."""
