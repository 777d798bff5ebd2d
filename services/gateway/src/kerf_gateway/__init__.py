"""The gateway: accepts jobs, streams their progress, keeps their artifacts."""
