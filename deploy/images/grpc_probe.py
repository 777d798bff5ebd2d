"""The health check of a container: `python grpc_probe.py HOST:PORT`. Exit status 0 = the service says SERVING.

Kubernetes asks over gRPC by itself and does not need this; an engine that can only run a command does.
"""

from __future__ import annotations

import sys

import grpc
from grpc_health.v1 import health_pb2

_TIMEOUT_S = 3.0


def main(arguments: list[str]) -> int:
    """Ask once; say what is wrong on stderr."""
    if len(arguments) != 1:
        print("usage: grpc_probe.py HOST:PORT", file=sys.stderr)
        return 2
    with grpc.insecure_channel(arguments[0]) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(service=""), timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            print(f"{arguments[0]}: {error.code().name}: {error.details()}", file=sys.stderr)
            return 1
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        print(f"{arguments[0]}: {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
