"""The embedded stack: real NATS and S3 servers and all services under one supervisor."""
