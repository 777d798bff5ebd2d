"""A gate that never failed is no gate: for every rule, changes of what is good that the rule must find.

`missed` makes each change to a copy and asks the rule; `python -m deploy.checks` does so at every run.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator

from deploy.checks import compose as compose_rules
from deploy.checks import dockerfiles, kubernetes_pods, kubernetes_wiring
from deploy.checks.compose import Compose
from deploy.checks.dockerfiles import Dockerfile
from deploy.checks.manifests import Stack
from deploy.checks.planted_containers import COMPOSE, DOCKERFILE, Alteration
from deploy.checks.planted_manifests import KUBERNETES, SCHEMA, Change

COUNT = len(KUBERNETES) + len(SCHEMA) + len(DOCKERFILE) + len(COMPOSE)


def named(value: object) -> str:
    """A planted offender's rule, or what is planted, as a test's name shows it."""
    return str(getattr(value, "__name__", value)).strip("<>")[:60]


def changed_stack(stack: Stack, change: Change) -> Stack:
    """A copy of a stack with the change made to it."""
    bad = dataclasses.replace(stack, manifests=copy.deepcopy(stack.manifests))
    change(bad)
    # Whatever the copy worked out about itself while it was changed is out of date.
    return dataclasses.replace(bad)


def changed_compose(compose: Compose, change: Alteration) -> Compose:
    """A copy of a compose file with the change made to it."""
    bad = dataclasses.replace(compose, content=copy.deepcopy(dict(compose.content)))
    change(bad)
    return dataclasses.replace(bad, content={**bad.content, "services": bad.services})


def changed_dockerfile(docker: Dockerfile, text: str, instead: str) -> Dockerfile:
    """A copy of a Dockerfile with a piece of text replaced."""
    assert text in docker.text, f"the planted offender needs {text!r}"
    return dataclasses.replace(docker, text=docker.text.replace(text, instead))


def missed(stack: Stack, docker: Dockerfile, compose: Compose) -> Iterator[str]:
    """The planted offenders that their rule did not find, and the rules without one."""
    for rule, what, change in KUBERNETES:
        if not set(rule(changed_stack(stack, change))) - set(rule(stack)):
            yield f"{rule.__name__} does not find: {what}"
    for docker_rule, what, text, instead in DOCKERFILE:
        if not set(docker_rule(changed_dockerfile(docker, text, instead))) - set(docker_rule(docker)):
            yield f"{docker_rule.__name__} does not find: {what}"
    for compose_rule, what, alter in COMPOSE:
        if not set(compose_rule(changed_compose(compose, alter))) - set(compose_rule(compose)):
            yield f"{compose_rule.__name__} does not find: {what}"
    yield from without_offender()


def without_offender() -> Iterator[str]:
    """Rules that have no planted offender."""
    planted = {rule.__name__ for rule, *_ in KUBERNETES}
    planted |= {rule.__name__ for rule, *_ in DOCKERFILE} | {rule.__name__ for rule, *_ in COMPOSE}
    names = [rule.__name__ for rule in (*kubernetes_wiring.RULES, *kubernetes_pods.RULES)]
    names += [rule.__name__ for rule in dockerfiles.RULES] + [rule.__name__ for rule in compose_rules.RULES]
    yield from (f"{name} has no planted offender" for name in names if name not in planted)
