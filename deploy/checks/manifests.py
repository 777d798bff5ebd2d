"""A rendered set of Kubernetes manifests, and what the rules ask of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from deploy.checks.service_settings import services

Manifest = dict[str, Any]
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job")


@dataclass(frozen=True)
class Stack:
    """What one kustomization renders to."""

    name: str
    manifests: list[Manifest]
    provided: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Secrets that the operator provides: name -> keys."""
    complete: bool = False
    """True if it is to run as it is: everything that it names must be in it."""

    def of(self, *kinds: str) -> Iterator[Manifest]:
        """The manifests of some kinds."""
        return (manifest for manifest in self.manifests if manifest["kind"] in kinds)

    @cached_property
    def pods(self) -> list[Pod]:
        """The pods that the workloads make."""
        return [Pod(manifest) for manifest in self.of(*WORKLOADS)]

    def selected(self, labels: Mapping[str, str]) -> list[Pod]:
        """The pods that a selector of labels fits."""
        return [pod for pod in self.pods if labels.items() <= pod.labels.items()]

    def named(self, kind: str, name: str) -> Manifest | None:
        """One manifest."""
        return next((each for each in self.of(kind) if each["metadata"]["name"] == name), None)


@dataclass(frozen=True)
class Pod:
    """The pod template of a workload."""

    workload: Manifest

    @property
    def name(self) -> str:
        """`Deployment/kerf-gateway`."""
        return f"{self.workload['kind']}/{self.workload['metadata']['name']}"

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the pods."""
        return dict(self.workload["spec"]["template"]["metadata"].get("labels", {}))

    @property
    def spec(self) -> Manifest:
        """The pod's spec."""
        spec: Manifest = self.workload["spec"]["template"]["spec"]
        return spec

    @property
    def containers(self) -> list[Manifest]:
        """All containers, those for the start included."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def service(self) -> str:
        """The service of kerf that runs in it, by its label; empty for anything else."""
        name = self.labels.get("app.kubernetes.io/name", "")
        return name if name in services() else ""

    @property
    def ports(self) -> dict[str, int]:
        """Name -> number of the containers' ports."""
        return {
            port["name"]: int(port["containerPort"])
            for container in self.containers
            for port in container.get("ports", [])
        }

    def has_port(self, port: str | int) -> bool:
        """True if one of the containers declares that port, by name or number."""
        return port in self.ports if isinstance(port, str) else port in self.ports.values()


def read_manifests(text: str) -> list[Manifest]:
    """The documents of a YAML stream."""
    return [document for document in yaml.safe_load_all(text) if document]


def resolved_environment(stack: Stack, container: Manifest) -> dict[str, str]:
    """The environment that a container will see; what only the cluster knows gets a value of the right kind."""
    environment: dict[str, str] = {}
    for entry in container.get("env", []):
        source = entry.get("valueFrom", {})
        if "configMapKeyRef" in source:
            config = stack.named("ConfigMap", source["configMapKeyRef"]["name"]) or {}
            environment[entry["name"]] = str(config.get("data", {}).get(source["configMapKeyRef"]["key"], ""))
        elif "resourceFieldRef" in source:
            environment[entry["name"]] = "1"
        elif source:
            environment[entry["name"]] = "a-value"
        else:
            environment[entry["name"]] = str(entry.get("value", ""))
    return environment
