"""Renders the kustomizations, and lets the Kubernetes schemas judge the outcome."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import yaml

from deploy.checks.manifests import Manifest, Stack, read_manifests
from deploy.checks.service_settings import ROOT

K8S = ROOT / "deploy" / "k8s"
COMPONENTS = ("nats", "minio", "gpu", "keda")
"""Components that may be combined freely."""
ON_TOP = {"single": ("nats", "minio")}
"""Component -> the components that it changes and therefore needs."""
_TIMEOUT_S = 60


class CannotCheck(Exception):
    """Says what is missing or broken, and what to do."""


def component_sets() -> list[tuple[str, ...]]:
    """Every combination of components that can be asked for."""
    free = [chosen for count in range(len(COMPONENTS) + 1) for chosen in combinations(COMPONENTS, count)]
    more = [(*chosen, name) for name, needed in ON_TOP.items() for chosen in free if set(needed) <= set(chosen)]
    return free + more


def kustomize_program() -> list[str]:
    """What renders a kustomization. Raises CannotCheck."""
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    raise CannotCheck("neither kubectl (1.27 or later) nor kustomize (5 or later) is on PATH: install one of them")


def render(folder: Path) -> list[Manifest]:
    """What a kustomization renders to. Raises CannotCheck."""
    command = [*kustomize_program(), str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    if result.returncode != 0:
        raise CannotCheck(f"{folder} does not render: {result.stderr.strip()}")
    return read_manifests(result.stdout)


def render_with(components: Iterable[str], work: Path) -> list[Manifest]:
    """The base with some components. `work` is an empty folder for the kustomization that names them."""
    work.mkdir(parents=True, exist_ok=True)

    def relative(folder: Path) -> str:  # kustomize takes folders outside of its own only by a relative path
        return os.path.relpath(folder.resolve(), work.resolve())

    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [relative(K8S / "base")],
        "components": [relative(K8S / "components" / name) for name in components],
    }
    (work / "kustomization.yaml").write_text(json.dumps(kustomization), encoding="utf-8")
    return render(work)


def operator_provided() -> dict[str, frozenset[str]]:
    """The Secrets that the operator makes, by the example that lies beside the base: name -> keys."""
    text = (K8S / "base" / "secret.example.yaml").read_text(encoding="utf-8")
    return {each["metadata"]["name"]: frozenset(each["stringData"]) for each in read_manifests(text)}


def component_stack(components: tuple[str, ...], work: Path) -> Stack:
    """The base with some components, as a stack."""
    name = "+".join(("base", *components))
    return Stack(name, render_with(components, work / name), operator_provided())


def overlay_stack(folder: Path) -> Stack:
    """An overlay, as a stack that is to run as it is."""
    return Stack(f"overlays/{folder.name}", render(folder), operator_provided(), complete=True)


def overlays() -> list[Path]:
    """The folders of the overlays."""
    return sorted(path.parent for path in (K8S / "overlays").glob("*/kustomization.yaml"))


def is_custom(manifest: Manifest) -> bool:
    """True if its schema belongs to an operator, not to Kubernetes."""
    group = manifest["apiVersion"].rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def schema_problems(manifests: Iterable[Manifest], work: Path) -> list[str]:
    """What the schemas of Kubernetes say, unknown fields included. Custom resources have none here and are left out."""
    program = Path(sys.executable).parent / "kubernetes-validate"
    if not program.exists():
        raise CannotCheck("kubernetes-validate is not installed: run `make setup`")
    unique = {json.dumps(each, sort_keys=True): each for each in manifests if not is_custom(each)}
    work.mkdir(parents=True, exist_ok=True)
    file = work / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(unique.values()), encoding="utf-8")
    command = [str(program), "--strict", "--quiet", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    lines = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    if result.returncode == 0 and not lines:
        return []
    return lines or [f"kubernetes-validate ended with {result.returncode} and said nothing"]
