"""What the monitor knows, free of NVML, NATS and protobuf."""
