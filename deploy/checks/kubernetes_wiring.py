"""Rules about what belongs together in a set of manifests: selectors, ports, references, addresses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import urlparse

from prometheus_client import REGISTRY

import kerf_core.metrics
from deploy.checks.manifests import Manifest, Pod, Stack, resolved_environment
from deploy.checks.service_settings import services

Rule = Callable[[Stack], Iterator[str]]
SPREAD = "topologySpreadConstraints"


def title(manifest: Manifest) -> str:
    """`Service/kerf-gateway`."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def names_are_unique(stack: Stack) -> Iterator[str]:
    """No two manifests of one kind have the same name."""
    counted = Counter((title(each), each["metadata"].get("namespace", "")) for each in stack.manifests)
    yield from (f"{name} is there {count} times" for (name, _), count in counted.items() if count > 1)


def selectors_fit(stack: Stack) -> Iterator[str]:
    """A workload's selectors fit its own pods, and no others."""
    for pod in stack.pods:
        if pod.workload["kind"] == "Job":
            continue
        wanted = pod.workload["spec"]["selector"]["matchLabels"]
        if not wanted.items() <= pod.labels.items():
            yield f"{pod.name}: its selector {wanted} does not fit its own pods"
        others = [other.name for other in stack.selected(wanted) if other.name != pod.name]
        if others:
            yield f"{pod.name}: its selector fits the pods of {', '.join(others)} too"
        for constraint in pod.spec.get(SPREAD, []):
            if not constraint["labelSelector"]["matchLabels"].items() <= pod.labels.items():
                yield f"{pod.name}: {SPREAD} counts other pods than its own"


def something_is_selected(stack: Stack) -> Iterator[str]:
    """A Service and a PodDisruptionBudget speak of one workload, a NetworkPolicy of one at least."""
    for each in stack.of("Service", "PodDisruptionBudget"):
        selector = each["spec"].get("selector", {})
        found = stack.selected(selector.get("matchLabels", {}) if each["kind"] != "Service" else selector)
        if len(found) != 1:
            yield f"{title(each)}: its selector fits {len(found)} workloads, not one"
    for each in stack.of("NetworkPolicy"):
        if not _under(stack, each):
            yield f"{title(each)}: its podSelector fits no pod"


def _under(stack: Stack, policy: Manifest) -> list[Pod]:
    selector = policy["spec"]["podSelector"]
    found = stack.selected(selector.get("matchLabels", {}))
    for expression in selector.get("matchExpressions", []):
        found = [pod for pod in found if pod.labels.get(expression["key"]) in expression["values"]]
    return found


def ports_exist(stack: Stack) -> Iterator[str]:
    """Ports that services, probes, policies and annotations name are ports of the containers."""
    for each in stack.of("Service"):
        targets = [port.get("targetPort", port["port"]) for port in each["spec"]["ports"]]
        for pod in stack.selected(each["spec"].get("selector", {})):
            yield from (
                f"{title(each)}: targetPort {target} is no port of {pod.name}"
                for target in targets
                if not pod.has_port(target)
            )
    for pod in stack.pods:
        yield from _probes_without_port(pod)
        scraped = pod.workload["spec"]["template"]["metadata"].get("annotations", {}).get("prometheus.io/port")
        if scraped and not pod.has_port(int(scraped)):
            yield f"{pod.name}: prometheus.io/port {scraped} is no port of it"
    for each in stack.of("NetworkPolicy"):
        opened = [port["port"] for rule in each["spec"].get("ingress", []) for port in rule.get("ports", [])]
        for port in opened:
            if not any(pod.has_port(port) for pod in _under(stack, each)):
                yield f"{title(each)}: no pod that it covers has the port {port}"


def _probes_without_port(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        own = {port.get("name") for port in container.get("ports", [])}
        own |= {port["containerPort"] for port in container.get("ports", [])}
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            for action in ("grpc", "httpGet", "tcpSocket"):
                port = container.get(name, {}).get(action, {}).get("port")
                if port is not None and port not in own:
                    yield f"{pod.name}: {name} asks at the port {port}, which the container does not have"


def references_exist(stack: Stack) -> Iterator[str]:
    """ConfigMaps, Secrets, their keys, service accounts, volumes and headless services that are named exist."""
    for pod in stack.pods:
        account = pod.spec.get("serviceAccountName", "")
        if stack.named("ServiceAccount", account) is None:
            yield f"{pod.name}: the service account {account!r} does not exist"
        front = pod.workload["spec"].get("serviceName")
        if front is not None and stack.named("Service", front) is None:
            yield f"{pod.name}: its serviceName {front} does not exist"
        yield from (f"{pod.name}: {problem}" for problem in _volumes_missing(stack, pod))
        for container in pod.containers:
            for entry in container.get("env", []):
                source = entry.get("valueFrom", {})
                for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                    if field in source and (why := _missing(stack, kind, source[field]["name"], source[field]["key"])):
                        yield f"{pod.name}: {entry['name']}: {why}"


def _volumes_missing(stack: Stack, pod: Pod) -> Iterator[str]:
    templates = pod.workload["spec"].get("volumeClaimTemplates", [])
    volumes = {volume["name"] for volume in pod.spec.get("volumes", [])}
    volumes |= {template["metadata"]["name"] for template in templates}
    for container in pod.containers:
        mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
        yield from (f"{name} is mounted and is no volume" for name in sorted(mounted - volumes))
    for volume in pod.spec.get("volumes", []):
        if "configMap" in volume and (why := _missing(stack, "ConfigMap", volume["configMap"]["name"], None)):
            yield f"volume {volume['name']}: {why}"
        if "secret" in volume and (why := _missing(stack, "Secret", volume["secret"]["secretName"], None)):
            yield f"volume {volume['name']}: {why}"


def _missing(stack: Stack, kind: str, name: str, key: str | None) -> str:
    manifest = stack.named(kind, name)
    if manifest is None and kind == "Secret" and name in stack.provided:
        keys = set(stack.provided[name])
    elif manifest is None:
        return f"{kind}/{name} does not exist, nor does the operator provide it"
    else:
        keys = {*manifest.get("data", {}), *manifest.get("stringData", {})}
    return "" if key is None or key in keys else f"{kind}/{name} has no key {key!r}"


def addresses_exist(stack: Stack) -> Iterator[str]:
    """NATS and S3 are at names and ports of Services of the stack, or outside of it (a name with dots)."""
    for pod in stack.pods if stack.complete else []:
        for container in pod.containers:
            for name, value in resolved_environment(stack, container).items():
                if name.endswith(("_NATS_URL", "_S3_ENDPOINT")):
                    for url in value.split(","):
                        yield from (f"{pod.name}: {name}: {why}" for why in _no_service(stack, url))


def _no_service(stack: Stack, url: str) -> Iterator[str]:
    host, port = urlparse(url).hostname or "", urlparse(url).port
    if "." in host:
        return
    service = stack.named("Service", host)
    if service is None:
        yield f"{url}: there is no Service {host}"
    elif port not in {entry["port"] for entry in service["spec"]["ports"]}:
        yield f"{url}: the Service {host} has no port {port}"


def scaling_is_sound(stack: Stack) -> Iterator[str]:
    """A ScaledObject's target exists and sets no replicas itself; its query asks for metrics that kerf has."""
    metrics = _metrics()
    for each in stack.of("ScaledObject"):
        target = each["spec"]["scaleTargetRef"]
        workload = stack.named(target.get("kind", "Deployment"), target["name"])
        if workload is None:
            yield f"{title(each)}: there is no {target.get('kind', 'Deployment')}/{target['name']}"
        elif "replicas" in workload["spec"]:
            yield f"{title(each)}: {target['name']} sets replicas itself: every apply would undo the scaling"
        for trigger in each["spec"]["triggers"]:
            query = trigger["metadata"].get("query", "")
            yield from (
                f"{title(each)}: kerf has no metric {name}"
                for name in sorted(set(re.findall(r"\bkerf_\w+", query)) - metrics)
            )
            kinds = set(re.findall(r'kind="(\w+)"', query))
            if kinds != {target["name"].removeprefix("kerf-")}:
                yield f"{title(each)}: it asks for the kind {sorted(kinds)} and scales {target['name']}"


def _metrics() -> set[str]:
    """The names under which Prometheus knows the metrics that every service has."""
    assert kerf_core.metrics.JOBS_WAITING is not None  # importing the module registers them
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    return {f"{family.name}{end}" for family in REGISTRY.collect() for end in endings.get(family.type, ())}


def every_service_is_deployed(stack: Stack) -> Iterator[str]:
    """Each service of the checkout has a workload and a headless Service of its own, and its own image."""
    for service in services():
        pods = [pod for pod in stack.pods if pod.service == service]
        if len(pods) != 1:
            yield f"{service} has {len(pods)} workloads, not one"
        for pod in pods:
            image = pod.spec["containers"][0]["image"].partition(":")[0].rpartition("/")[2]
            if image != service:
                yield f"{pod.name} runs the image of {image}"
        front = stack.named("Service", f"kerf-{service}")
        if front is None or front["spec"].get("clusterIP") != "None":
            yield f"{service} has no headless Service kerf-{service}: gRPC would stay with one pod"


RULES: tuple[Rule, ...] = (
    names_are_unique,
    selectors_fit,
    something_is_selected,
    ports_exist,
    references_exist,
    addresses_exist,
    scaling_is_sound,
    every_service_is_deployed,
)
