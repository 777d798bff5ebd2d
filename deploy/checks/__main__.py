"""Check everything under deploy/ and the Dockerfiles: `python -m deploy.checks`, `make k8s-check`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.checks import compose, dockerfiles, kubernetes_pods, kubernetes_wiring, planted, planted_manifests
from deploy.checks.manifests import Stack
from deploy.checks.rendering import (
    CannotCheck,
    component_sets,
    component_stack,
    is_custom,
    overlay_stack,
    overlays,
    schema_problems,
)
from deploy.checks.service_settings import ROOT, services

COMPOSE_FORMS = (("compose.yaml",), ("compose.yaml", "compose.gpu.yaml"))


def rendered(work: Path) -> list[Stack]:
    """The base, every combination of components, and the overlays."""
    return [component_stack(chosen, work) for chosen in component_sets()] + [overlay_stack(each) for each in overlays()]


def manifest_problems(stacks: list[Stack], work: Path) -> Iterator[str]:
    """What is wrong with the manifests, said once, with the first stack that shows it."""
    said: set[str] = set()
    for stack in stacks:
        for rule in (*kubernetes_wiring.RULES, *kubernetes_pods.RULES):
            for problem in rule(stack):
                if problem not in said:
                    said.add(problem)
                    yield f"{stack.name}: {problem}"
    yield from schema_problems((each for stack in stacks for each in stack.manifests), work / "schemas")


def container_problems() -> Iterator[str]:
    """What is wrong with the Dockerfiles and the compose files."""
    for service in services():
        docker = dockerfiles.read_dockerfile(ROOT, service)
        for rule in dockerfiles.RULES:
            yield from (f"services/{service}/Dockerfile: {problem}" for problem in rule(docker))
    said: set[str] = set()
    for names in COMPOSE_FORMS:
        content = compose.read_compose(ROOT / "deploy" / "compose", *names)
        for compose_rule in compose.RULES:
            for problem in compose_rule(content):
                if problem not in said:
                    said.add(problem)
                    yield f"deploy/compose/{names[-1]}: {problem}"


def missed_offenders(stacks: list[Stack], work: Path) -> Iterator[str]:
    """Planted offenders that were not found."""
    production = stacks[-1]
    gateway = dockerfiles.read_dockerfile(ROOT, "gateway")
    yield from planted.missed(production, gateway, compose.read_compose(ROOT / "deploy" / "compose", "compose.yaml"))
    for what, change in planted_manifests.SCHEMA:
        if not schema_problems(planted.changed_stack(production, change).manifests, work / "planted"):
            yield f"the schemas do not find: {what}"


def main() -> int:
    """Check everything; the exit status."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="k8s-check-", dir=build))
    try:
        stacks = rendered(work)
        problems = [*manifest_problems(stacks, work), *container_problems()]
        problems += [f"planted: {each}" for each in missed_offenders(stacks, work)]
    except CannotCheck as error:
        print(f"k8s-check: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work)
    for problem in problems:
        print(f"k8s-check: {problem}", file=sys.stderr)
    custom = sorted(
        {f"{each['kind']} ({each['apiVersion']})" for stack in stacks for each in stack.manifests if is_custom(each)}
    )
    print(f"k8s-check: {len(stacks)} renderings, {len(services())} Dockerfiles, {len(COMPOSE_FORMS)} compose forms")
    print(f"k8s-check: {planted.COUNT} planted offenders were tried")
    print(f"k8s-check: no schema here for {', '.join(custom)}: only kerf's own rules saw it")
    print(f"k8s-check: {f'{len(problems)} problems' if problems else 'clean'}")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
