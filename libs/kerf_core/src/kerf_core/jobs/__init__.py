"""The job protocol: a job is its log."""
