"""Where the monitor meets the operating system, NVML, Prometheus and NATS."""
