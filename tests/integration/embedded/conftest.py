from fixtures_stack import nats_server, s3_server

__all__ = ["nats_server", "s3_server"]
