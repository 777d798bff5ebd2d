"""Reads the compose file and its GPU form, and checks them against the checkout."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from deploy.checks.dockerfiles import read_dockerfile
from deploy.checks.images import not_pinned
from deploy.checks.kubernetes_pods import syncs_always
from deploy.checks.service_settings import read_settings, services, unknown_variables
from kerf_core.settings import ServiceSettings

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?P<operator>:[-?])?(?P<rest>[^}]*)\}")


@dataclass(frozen=True)
class Compose:
    """A compose file with everything that lies on top of it."""

    folder: Path
    content: Mapping[str, Any]
    example: Mapping[str, str]
    """The example of the .env file."""

    @cached_property
    def services(self) -> dict[str, dict[str, Any]]:
        """The services by name."""
        return dict(self.content["services"])

    def environment(self, name: str) -> dict[str, str]:
        """Environment of a service, with its variables filled in."""
        return {key: self._filled(str(value)) for key, value in self.services[name].get("environment", {}).items()}

    def _filled(self, text: str) -> str:
        def fill(found: re.Match[str]) -> str:
            return self.example.get(found["name"]) or (found["rest"] if found["operator"] == ":-" else "a-value")

        return _VARIABLE.sub(fill, text)

    def filled_ports(self, name: str) -> list[str]:
        """Published ports of a service, with their variables filled in."""
        return [self._filled(str(port)) for port in self.services[name].get("ports", [])]


def read_compose(folder: Path, *names: str) -> Compose:
    """Read compose files, later ones on top of the first."""
    content: dict[str, Any] = {}
    for name in names:
        _merge(content, yaml.safe_load((folder / name).read_text(encoding="utf-8")))
    lines = (folder / "env.example").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return Compose(folder, content, {name: value for name, _, value in pairs})


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _merge(below[key], value)
        else:
            below[key] = value


def seconds(text: str) -> float:
    """`1m30s` -> 90."""
    return sum(
        float(number) * {"h": 3600, "m": 60, "s": 1, "ms": 0.001}[unit]
        for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", str(text))
    )


Rule = Callable[[Compose], Iterator[str]]


def services_are_all_there(compose: Compose) -> Iterator[str]:
    """Each service of kerf, built from its own Dockerfile, with an image name that is pinned."""
    yield from (f"{name} is missing" for name in services() if name not in compose.services)
    for name, entry in compose.services.items():
        if why := not_pinned(entry.get("image", "")):
            yield f"{name}: {why}"
        build = entry.get("build")
        if build:
            dockerfile = compose.folder / build["context"] / build["dockerfile"]
            if not dockerfile.resolve().is_file():
                yield f"{name}: {build['dockerfile']} does not exist in the context"
                continue
            known = read_dockerfile(dockerfile.resolve().parents[2], dockerfile.parent.name).arguments
            yield from (
                f"{name}: its Dockerfile has no ARG {argument}"
                for argument in build.get("args", {}).keys() - known.keys()
            )
        elif name in services():
            yield f"{name}: it is not built"


def files_exist(compose: Compose) -> Iterator[str]:
    """What is mounted from this folder exists; named volumes are declared."""
    for name, entry in compose.services.items():
        for volume in entry.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                if not (compose.folder / source).exists():
                    yield f"{name}: {source} does not exist"
            elif source not in compose.content.get("volumes", {}):
                yield f"{name}: the volume {source} is not declared"


def dependencies_exist(compose: Compose) -> Iterator[str]:
    """What a service waits for exists, and can come to the state that it waits for."""
    for name, entry in compose.services.items():
        for other, wish in entry.get("depends_on", {}).items():
            if other not in compose.services:
                yield f"{name} waits for {other}, which does not exist"
                continue
            one_shot = compose.services[other].get("restart") == "no"
            if wish["condition"] == "service_healthy" and "healthcheck" not in compose.services[other]:
                yield f"{name} waits for the health of {other}, which has no health check"
            if wish["condition"] == "service_completed_successfully" and not one_shot:
                yield f"{name} waits for the end of {other}, which is restarted for ever"


def addresses_exist(compose: Compose) -> Iterator[str]:
    """NATS and S3 are services of this file."""
    for name in compose.services:
        for key, value in compose.environment(name).items():
            host = re.sub(r"^\w+://|:\d+$", "", value)
            if key.endswith(("_NATS_URL", "_S3_ENDPOINT")) and host not in compose.services:
                yield f"{name}: {key} names {host}, which is no service of this file"


def settings_hold(compose: Compose) -> Iterator[str]:
    """Every KERF_ variable is known, and each service would start with them."""
    for name in compose.services:
        yield from (f"{name}: {problem}" for problem in unknown_variables(compose.environment(name)))
        if name not in services():
            continue
        settings = read_settings(name, compose.environment(name))
        found = settings if isinstance(settings, list) else _beside_settings(compose, name, settings)
        yield from (f"{name}: {problem}" for problem in found)


def _beside_settings(compose: Compose, name: str, settings: ServiceSettings) -> Iterator[str]:
    entry = compose.services[name]
    allowed = seconds(entry.get("stop_grace_period", "10s"))
    drain = (settings.drain_notice + settings.drain_grace).total_seconds()
    if allowed <= drain:
        yield f"stop_grace_period is {allowed:g} s, a drain takes up to {drain:g} s"
    if allowed != settings.termination_grace.total_seconds():
        yield f"stop_grace_period is {allowed:g} s, the service is told another time"
    probe = entry.get("healthcheck", {}).get("test", [""])
    if not str(probe[-1]).endswith(f":{settings.grpc_port}"):
        yield f"its health check does not ask at its gRPC port {settings.grpc_port}"
    for port in compose.filled_ports(name):
        if port.rpartition(":")[2] not in (str(settings.grpc_port), str(settings.metrics_port)):
            yield f"it publishes {port}, where it does not listen"


def only_loopback_is_published(compose: Compose) -> Iterator[str]:
    """Ports are published on the loopback address only."""
    for name in compose.services:
        for port in compose.filled_ports(name):
            if not port.startswith("127.0.0.1:"):
                yield f"{name}: it publishes {port} on every address of the machine"


def secrets_must_be_given(compose: Compose) -> Iterator[str]:
    """No secret stands in the file or its example; without it nothing starts; every variable is in the example."""
    for name, entry in compose.services.items():
        for key, value in entry.get("environment", {}).items():
            secret = re.search(r"PASSWORD|SECRET|API_KEY|ACCESS_KEY|NATS_USER|ROOT_USER", key)
            found = _VARIABLE.fullmatch(str(value))
            if secret and (found is None or found["operator"] != ":?"):
                yield f"{name}: {key} must be ${{NAME:?…}}, so that nothing starts without it"
    for found in _VARIABLE.finditer(yaml.safe_dump(dict(compose.content))):
        if found["name"] not in compose.example:
            yield f"{found['name']} is not in env.example"
    for key, value in compose.example.items():
        if re.search(r"PASSWORD|SECRET|API_KEY", key) and value:
            yield f"env.example has a value for {key}: somebody will use it"


def containers_are_confined(compose: Compose) -> Iterator[str]:
    """kerf's containers: read-only, without capabilities, not root; and everything has a health check or ends."""
    for name, entry in compose.services.items():
        if "ALL" not in entry.get("cap_drop", []):
            yield f"{name}: it keeps capabilities"
        if "no-new-privileges:true" not in entry.get("security_opt", []):
            yield f"{name}: it may gain privileges"
        if str(entry.get("image", "")).startswith("kerf/"):
            if entry.get("read_only") is not True:
                yield f"{name}: its root file system is writable"
            if not re.match(r"[1-9]", str(entry.get("user", ""))):
                yield f"{name}: it runs as root"
        if "healthcheck" not in entry and entry.get("restart") != "no":
            yield f"{name}: it has no health check"


def nats_syncs_always(compose: Compose) -> Iterator[str]:
    """NATS gets a configuration that syncs each write."""
    for name, entry in compose.services.items():
        if str(entry.get("image", "")).startswith("nats:"):
            mounted = [volume.split(":") for volume in entry.get("volumes", [])]
            used = [compose.folder / source for source, place, *_ in mounted if place in entry.get("command", [])]
            if not any(path.is_file() and syncs_always(path.read_text(encoding="utf-8")) for path in used):
                yield f"{name}: its configuration has no `sync_interval: always`"


RULES: tuple[Rule, ...] = (
    services_are_all_there,
    files_exist,
    dependencies_exist,
    addresses_exist,
    settings_hold,
    only_loopback_is_published,
    secrets_must_be_given,
    containers_are_confined,
    nats_syncs_always,
)
