"""Stands in for a service of kerf: gRPC health, an orderly end, and whatever else a test asks for.

Arguments: its name. FAKE_CHILD=1 starts a child that never ends, FAKE_STUBBORN=1 ignores SIGTERM, FAKE_DIE=1 ends at
once with an error.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor


def main() -> int:
    if os.environ.get("FAKE_DIE"):
        print("the model file is missing", file=sys.stderr)
        return 3
    import grpc
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    prefix = f"KERF_{sys.argv[1].upper()}_"
    for name in (
        "NATS_URL",
        "NATS_USER",
        "NATS_PASSWORD",
        "S3_ENDPOINT",
        "S3_ACCESS_KEY",
        "S3_SECRET_KEY",
        "S3_BUCKET",
    ):
        assert os.environ[prefix + name], name
    if os.environ.get("FAKE_CHILD"):
        subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    done = threading.Event()
    ignored = bool(os.environ.get("FAKE_STUBBORN"))
    signal.signal(signal.SIGTERM, signal.SIG_IGN if ignored else lambda *_: done.set())
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(f"{os.environ[prefix + 'GRPC_HOST']}:{os.environ[prefix + 'GRPC_PORT']}")
    server.start()
    done.wait()
    server.stop(None)
    print("drained")
    return 0


if __name__ == "__main__":
    sys.exit(main())
