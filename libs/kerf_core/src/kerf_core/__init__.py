"""The runtime that every kerf service shares: settings, telemetry, gRPC, NATS, S3 and the job protocol."""
