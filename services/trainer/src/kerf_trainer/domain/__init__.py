"""What a training is, without torch, gRPC or S3."""
