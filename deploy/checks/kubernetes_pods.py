"""Rules about single pods: settings, time to stop, resources, images, confinement, what happens when nodes go."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal

from deploy.checks.images import not_pinned
from deploy.checks.manifests import Manifest, Pod, Stack, resolved_environment
from deploy.checks.service_settings import read_settings, unknown_variables

Rule = Callable[[Stack], Iterator[str]]
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_UNITS = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGT", 1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGT", 1)},
}


def quantity(text: str | float) -> Decimal | None:
    """The value of a Kubernetes quantity; None if it is none."""
    found = _QUANTITY.fullmatch(str(text))
    return Decimal(found[1]) * _UNITS[found[2] or ""] if found else None


def settings_hold(stack: Stack) -> Iterator[str]:
    """Every KERF_ variable is known, the service would start with them, and it listens where the ports say."""
    for pod in stack.pods:
        for container in pod.containers:
            environment = resolved_environment(stack, container)
            yield from (f"{pod.name}: {problem}" for problem in unknown_variables(environment))
        if not pod.service:
            continue
        settings = read_settings(pod.service, resolved_environment(stack, pod.spec["containers"][0]))
        if isinstance(settings, list):
            yield from (f"{pod.name}: {problem}" for problem in settings)
            continue
        listens = {"grpc": settings.grpc_port, "metrics": settings.metrics_port}
        if pod.ports != listens:
            yield f"{pod.name}: it listens on {listens}, its ports are {pod.ports}"
        if settings.grpc_host != "0.0.0.0":  # noqa: S104 - inside a pod this is what makes it reachable
            yield f"{pod.name}: it listens on {settings.grpc_host}, where nobody outside of the pod reaches it"
        if not settings.nats_user or not settings.s3_access_key:
            yield f"{pod.name}: it has no NATS user or no S3 key"


def a_drain_has_time(stack: Stack) -> Iterator[str]:
    """Kubernetes waits longer than a drain takes, and the service knows how long."""
    for pod in stack.pods:
        if not pod.service:
            continue
        settings = read_settings(pod.service, resolved_environment(stack, pod.spec["containers"][0]))
        if isinstance(settings, list):
            continue  # settings_hold says so
        given = pod.spec.get("terminationGracePeriodSeconds", 30)
        drain = (settings.drain_notice + settings.drain_grace).total_seconds()
        if given <= drain:
            yield f"{pod.name}: terminationGracePeriodSeconds is {given}, a drain takes up to {drain:g}"
        if given != settings.termination_grace.total_seconds():
            told = settings.termination_grace.total_seconds()
            yield f"{pod.name}: terminationGracePeriodSeconds is {given}, the service is told {told:g}"


def probes_ask_the_right_thing(stack: Stack) -> Iterator[str]:
    """A service has all three probes; start and readiness are gRPC, liveness does not follow NATS."""
    for pod in stack.pods:
        if not pod.service:
            continue
        container = pod.spec["containers"][0]
        for name in ("startupProbe", "readinessProbe"):
            if "grpc" not in container.get(name, {}):
                yield f"{pod.name}: {name} does not ask gRPC health"
        liveness = container.get("livenessProbe", {})
        if "grpc" in liveness or "exec" in liveness:
            yield f"{pod.name}: livenessProbe asks gRPC health, which follows NATS: an outage would kill all workers"
        elif not liveness:
            yield f"{pod.name}: it has no livenessProbe"


def resources_are_bounded(stack: Stack) -> Iterator[str]:
    """CPU and memory have requests and limits that parse, and no request exceeds its limit."""
    for pod in stack.pods:
        for container in pod.containers:
            resources = container.get("resources", {})
            where = f"{pod.name}: {container['name']}"
            for kind in ("cpu", "memory"):
                for part in ("requests", "limits"):
                    if kind not in resources.get(part, {}):
                        yield f"{where} has no {part} of {kind}"
            yield from (f"{where}: {problem}" for problem in _beyond_limits(resources))
        for volume in pod.spec.get("volumes", []):
            if "emptyDir" in volume and quantity((volume["emptyDir"] or {}).get("sizeLimit", "")) is None:
                yield f"{pod.name}: the emptyDir {volume['name']} has no sizeLimit that parses"


def _beyond_limits(resources: Manifest) -> Iterator[str]:
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    values = {}
    for part, amounts in (("requests", requests), ("limits", limits)):
        for name, text in amounts.items():
            values[part, name] = quantity(text)
            if values[part, name] is None:
                yield f"{part} of {name}: {text!r} is no quantity"
    for name in requests.keys() & limits.keys():
        asked, most = values["requests", name], values["limits", name]
        if asked is not None and most is not None and asked > most:
            yield f"it requests {requests[name]} of {name} and is limited to {limits[name]}"


def images_are_pinned(stack: Stack) -> Iterator[str]:
    """Every image has a version or a digest."""
    for pod in stack.pods:
        for container in pod.containers:
            if why := not_pinned(container.get("image", "")):
                yield f"{pod.name}: {why}"


def pods_are_confined(stack: Stack) -> Iterator[str]:
    """No root, nothing writable but what is mounted, no capabilities, no token, nothing of the host."""
    for pod in stack.pods:
        own = pod.spec.get("securityContext", {})
        wanted: list[tuple[bool, str]] = [
            (own.get("runAsNonRoot") is True, "runAsNonRoot is not true"),
            (isinstance(own.get("runAsUser"), int) and own["runAsUser"] > 0, "runAsUser is no user but root's"),
            (own.get("seccompProfile", {}).get("type") == "RuntimeDefault", "seccompProfile is not RuntimeDefault"),
            (pod.spec.get("automountServiceAccountToken") is False, "it mounts a service account's token"),
            (pod.spec.get("enableServiceLinks") is False, "enableServiceLinks adds KERF_ variables to its environment"),
            (not {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys(), "it shares namespaces of the host"),
            (not any("hostPath" in volume for volume in pod.spec.get("volumes", [])), "it mounts a path of the host"),
        ]
        for container in pod.containers:
            context = container.get("securityContext", {})
            wanted += [
                (context.get("readOnlyRootFilesystem") is True, "its root file system is writable"),
                (context.get("allowPrivilegeEscalation") is False, "privileges can be raised"),
                (context.get("capabilities", {}).get("drop") == ["ALL"], "it keeps capabilities"),
                (not context.get("privileged"), "it is privileged"),
            ]
        yield from (f"{pod.name}: {text}" for holds, text in wanted if not holds)
    for account in stack.of("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount/{account['metadata']['name']} mounts its token"


def nothing_is_open(stack: Stack) -> Iterator[str]:
    """One NetworkPolicy denies what no other one allows, for every pod; nothing is published outside of the cluster."""
    denied = [
        each["spec"]["podSelector"].get("matchLabels", {})
        for each in stack.of("NetworkPolicy")
        if set(each["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not each["spec"].get("ingress")
        and not each["spec"].get("egress")
    ]
    for pod in stack.pods:
        if not any(selector.items() <= pod.labels.items() for selector in denied):
            yield f"{pod.name}: no NetworkPolicy denies it anything"
    for each in stack.of("Service"):
        if each["spec"].get("type", "ClusterIP") != "ClusterIP":
            name, kind = each["metadata"]["name"], each["spec"]["type"]
            yield f"Service/{name} is a {kind}: publishing it is the operator's decision"


def replicas_are_kept_apart(stack: Stack) -> Iterator[str]:
    """What has replicas has a PodDisruptionBudget that lets a node be drained, and is spread over nodes."""
    for pod in stack.pods:
        if pod.workload["kind"] not in ("Deployment", "StatefulSet"):
            continue
        budgets = [
            each
            for each in stack.of("PodDisruptionBudget")
            if each["spec"]["selector"]["matchLabels"].items() <= pod.labels.items()
        ]
        if not budgets:
            yield f"{pod.name} has no PodDisruptionBudget"
        for each in budgets:
            if each["spec"].get("maxUnavailable") in (None, 0, "0%"):
                yield f"{pod.name}: its PodDisruptionBudget allows no pod to go: nodes could never be drained"
        if not _spread(pod):
            yield f"{pod.name}: nothing spreads its pods over nodes"


def _spread(pod: Pod) -> bool:
    keys = {each["topologyKey"] for each in pod.spec.get("topologySpreadConstraints", [])}
    apart = pod.spec.get("affinity", {}).get("podAntiAffinity", {})
    keys |= {each["topologyKey"] for each in apart.get("requiredDuringSchedulingIgnoredDuringExecution", [])}
    preferred = apart.get("preferredDuringSchedulingIgnoredDuringExecution", [])
    keys |= {each["podAffinityTerm"]["topologyKey"] for each in preferred}
    return "kubernetes.io/hostname" in keys


def nats_syncs_always(stack: Stack) -> Iterator[str]:
    """Every configuration of NATS syncs each write: a power cut would lose acknowledged messages otherwise."""
    for each in stack.of("ConfigMap"):
        for name, text in each.get("data", {}).items():
            if name == "nats.conf" and not syncs_always(text):
                yield f"ConfigMap/{each['metadata']['name']}: nats.conf has no `sync_interval: always`"


def syncs_always(text: str) -> bool:
    """True if a configuration of NATS says so, outside of comments."""
    lines = [line.partition("#")[0] for line in text.splitlines()]
    return any(re.fullmatch(r"\s*sync_interval\s*[:=]?\s*\"?always\"?\s*", line) for line in lines)


RULES: tuple[Rule, ...] = (
    settings_hold,
    a_drain_has_time,
    probes_ask_the_right_thing,
    resources_are_bounded,
    images_are_pinned,
    pods_are_confined,
    nothing_is_open,
    replicas_are_kept_apart,
    nats_syncs_always,
)
