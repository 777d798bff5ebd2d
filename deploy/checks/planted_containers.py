"""Changes of the good Dockerfile of the gateway, and of the good compose file, that the rules must find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deploy.checks import compose as compose_rules
from deploy.checks import dockerfiles
from deploy.checks.compose import Compose

Alteration = Callable[[Compose], object]

DOCKERFILE: list[tuple[dockerfiles.Rule, str, str, str]] = [
    (dockerfiles.sources_exist, "a source that is not there", "COPY libs/kerf_core ", "COPY libs/kerf_cores "),
    (dockerfiles.sources_exist, "a source that .dockerignore keeps out", "COPY constraints.txt", "COPY Makefile"),
    (dockerfiles.packages_are_installed, "a library that is not copied", "COPY libs/kerf_core libs/kerf_core\n", ""),
    (dockerfiles.packages_are_installed, "a library that is not installed", "./libs/kerf_media ", ""),
    (dockerfiles.packages_are_installed, "a library too many", "./libs/kerf_core ", "./libs/kerf_core ./libs/kerf_sd "),
    (
        dockerfiles.packages_are_installed,
        "versions of the day",
        "install --constraint constraints.txt /w",
        "install /w",
    ),
    (
        dockerfiles.light_images_hold_no_torch,
        "PyTorch in the gateway",
        "constraints.txt /w",
        "constraints.txt torch /w",
    ),
    (
        dockerfiles.light_images_hold_no_torch,
        "a library that needs PyTorch",
        "COPY libs/kerf_core libs/kerf_core",
        "COPY libs/kerf_sd libs/kerf_sd",
    ),
    (dockerfiles.image_is_confined, "root", "USER 65532:65532", "USER root"),
    (dockerfiles.image_is_confined, "nobody in particular", "USER 65532:65532\n", ""),
    (dockerfiles.image_is_confined, "build tools in the image", "STOPSIGNAL", "RUN apt-get install gcc\nSTOPSIGNAL"),
    (dockerfiles.image_is_confined, "ADD", "COPY constraints.txt", "ADD constraints.txt"),
    (
        dockerfiles.it_starts_and_stops_as_a_service,
        "a shell before the service",
        'ENTRYPOINT ["/opt/kerf/bin/python", "-m", "kerf_gateway"]',
        "ENTRYPOINT /opt/kerf/bin/python -m kerf_gateway",
    ),
    (dockerfiles.it_starts_and_stops_as_a_service, "another service", '"kerf_gateway"]', '"kerf_monitor"]'),
    (dockerfiles.it_starts_and_stops_as_a_service, "SIGKILL", "STOPSIGNAL SIGTERM", "STOPSIGNAL SIGKILL"),
    (dockerfiles.it_starts_and_stops_as_a_service, "other ports", "EXPOSE 50051", "EXPOSE 8080"),
    (dockerfiles.environment_is_understood, "a misspelt variable", "KERF_GATEWAY_GRPC_PORT", "KERF_GATEWAY_PORT"),
    (dockerfiles.environment_is_understood, "a value that is none", "GRPC_PORT=50051", "GRPC_PORT=grpc"),
    (dockerfiles.environment_is_understood, "a deaf service", "GRPC_HOST=0.0.0.0", "GRPC_HOST=127.0.0.1"),
    (dockerfiles.base_is_pinned, "any Python", "python:3.11.14-slim-bookworm", "python:latest"),
    (dockerfiles.base_is_pinned, "no tag", "python:3.11.14-slim-bookworm", "python"),
]
"""Rule, what is planted in the gateway's Dockerfile, text, text instead."""


def _put(place: Any, key: Any, value: object) -> None:
    place[key] = value


def _of(compose: Compose, name: str) -> dict[str, Any]:
    return compose.services[name]


COMPOSE: list[tuple[compose_rules.Rule, str, Alteration]] = [
    (compose_rules.services_are_all_there, "no trainer", lambda c: c.services.pop("trainer")),
    (
        compose_rules.services_are_all_there,
        "a Dockerfile that is not there",
        lambda c: _put(_of(c, "gateway")["build"], "dockerfile", "services/gatway/Dockerfile"),
    ),
    (
        compose_rules.services_are_all_there,
        "a build argument that nobody reads",
        lambda c: _put(_of(c, "diffusion")["build"], "args", {"VARIATION": "cpu"}),
    ),
    (compose_rules.services_are_all_there, "any NATS", lambda c: _put(_of(c, "nats"), "image", "nats:latest")),
    (
        compose_rules.files_exist,
        "a file that is not there",
        lambda c: _of(c, "nats")["volumes"].append("./nats.cfg:/etc/nats/nats.cfg:ro"),
    ),
    (compose_rules.files_exist, "an undeclared volume", lambda c: _of(c, "nats")["volumes"].append("data:/d")),
    (
        compose_rules.dependencies_exist,
        "waiting for nobody",
        lambda c: _put(_of(c, "gateway")["depends_on"], "redis", {"condition": "service_started"}),
    ),
    (
        compose_rules.dependencies_exist,
        "waiting for ever",
        lambda c: _put(_of(c, "prepare-bucket"), "restart", "always"),
    ),
    (compose_rules.dependencies_exist, "health that nobody tells", lambda c: _of(c, "nats").pop("healthcheck")),
    (
        compose_rules.settings_hold,
        "a misspelt variable",
        lambda c: _put(_of(c, "gateway")["environment"], "KERF_GATEWAY_S3_BUCKETS", "kerf"),
    ),
    (
        compose_rules.settings_hold,
        "a value that the service refuses",
        lambda c: _put(_of(c, "gateway")["environment"], "KERF_GATEWAY_GRPC_PORT", "http"),
    ),
    (
        compose_rules.addresses_exist,
        "a server that is not there",
        lambda c: _put(_of(c, "gateway")["environment"], "KERF_GATEWAY_NATS_URL", "nats://natz:4222"),
    ),
    (
        compose_rules.settings_hold,
        "less time than a drain takes",
        lambda c: _put(_of(c, "gateway"), "stop_grace_period", "10s"),
    ),
    (
        compose_rules.settings_hold,
        "a health check at another port",
        lambda c: _put(_of(c, "gateway"), "healthcheck", {"test": ["CMD", "probe", "127.0.0.1:50052"]}),
    ),
    (
        compose_rules.settings_hold,
        "a published port where nobody listens",
        lambda c: _put(_of(c, "gateway"), "ports", ["127.0.0.1:50051:50052"]),
    ),
    (
        compose_rules.only_loopback_is_published,
        "the gateway for the whole network",
        lambda c: _put(_of(c, "gateway"), "ports", ["50051:50051"]),
    ),
    (
        compose_rules.secrets_must_be_given,
        "a password in the file",
        lambda c: _put(_of(c, "gateway")["environment"], "KERF_GATEWAY_NATS_PASSWORD", "kerf"),
    ),
    (
        compose_rules.secrets_must_be_given,
        "a password with a default",
        lambda c: _put(_of(c, "minio")["environment"], "MINIO_ROOT_PASSWORD", "${S3_SECRET_KEY:-minioadmin}"),
    ),
    (
        compose_rules.secrets_must_be_given,
        "a variable that the example lacks",
        lambda c: _put(_of(c, "nats")["environment"], "NATS_ROLE", "${NATS_ROLE:-}"),
    ),
    (compose_rules.containers_are_confined, "a writable root", lambda c: _of(c, "gateway").pop("read_only")),
    (compose_rules.containers_are_confined, "no health check", lambda c: _of(c, "gateway").pop("healthcheck")),
    (compose_rules.containers_are_confined, "capabilities", lambda c: _of(c, "nats").pop("cap_drop")),
    (
        compose_rules.nats_syncs_always,
        "NATS with its defaults",
        lambda c: _put(_of(c, "nats"), "command", ["nats-server", "-js"]),
    ),
]
