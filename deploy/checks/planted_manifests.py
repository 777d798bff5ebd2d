"""Changes of good manifests that the rules, and the schemas of Kubernetes, must find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deploy.checks import kubernetes_pods, kubernetes_wiring
from deploy.checks.manifests import Manifest, Stack

Change = Callable[[Stack], object]


def _at(stack: Stack, kind: str, name: str) -> Manifest:
    found = stack.named(kind, name)
    assert found is not None, f"the planted offender needs {kind}/{name}"
    return found


def _pod(stack: Stack, name: str = "kerf-gateway", kind: str = "Deployment") -> Manifest:
    spec: Manifest = _at(stack, kind, name)["spec"]["template"]["spec"]
    return spec


def _container(stack: Stack, name: str = "kerf-gateway", kind: str = "Deployment") -> Manifest:
    container: Manifest = _pod(stack, name, kind)["containers"][0]
    return container


def _set_env(stack: Stack, service: str, variable: str, value: str) -> None:
    entries = _container(stack, f"kerf-{service}")["env"]
    entries[:] = [entry for entry in entries if entry["name"] != variable] + [{"name": variable, "value": value}]


def _reference(stack: Stack, field: str) -> Manifest:
    entries = _container(stack)["env"]
    found: Manifest = next(entry["valueFrom"][field] for entry in entries if field in entry.get("valueFrom", {}))
    return found


def _put(place: Any, key: Any, value: object) -> None:
    place[key] = value


def _platform(stack: Stack) -> Manifest:
    found = next(each for each in stack.of("ConfigMap") if "nats_url" in each["data"])
    data: Manifest = found["data"]
    return data


def _unsynced(stack: Stack) -> None:
    for each in stack.of("ConfigMap"):
        if "nats.conf" in each["data"]:
            each["data"]["nats.conf"] = each["data"]["nats.conf"].replace(
                "sync_interval: always", "# sync_interval: always"
            )


KUBERNETES: list[tuple[kubernetes_pods.Rule, str, Change]] = [
    (
        kubernetes_wiring.names_are_unique,
        "the same Service twice",
        lambda s: s.manifests.append(_at(s, "Service", "kerf-gateway")),
    ),
    (
        kubernetes_wiring.selectors_fit,
        "a Deployment that does not select its own pods",
        lambda s: _put(_at(s, "Deployment", "kerf-gateway")["spec"]["selector"]["matchLabels"], "app", "else"),
    ),
    (
        kubernetes_wiring.selectors_fit,
        "a Deployment that selects the pods of all",
        lambda s: _at(s, "Deployment", "kerf-gateway")["spec"]["selector"]["matchLabels"].pop("app.kubernetes.io/name"),
    ),
    (
        kubernetes_wiring.something_is_selected,
        "a Service that selects nothing",
        lambda s: _put(_at(s, "Service", "kerf-gateway")["spec"]["selector"], "app.kubernetes.io/name", "gatway"),
    ),
    (
        kubernetes_wiring.something_is_selected,
        "a NetworkPolicy for nobody",
        lambda s: _put(_at(s, "NetworkPolicy", "kerf-metrics")["spec"], "podSelector", {"matchLabels": {"a": "b"}}),
    ),
    (
        kubernetes_wiring.selectors_fit,
        "pods spread by other pods' labels",
        lambda s: _put(_pod(s)["topologySpreadConstraints"][0], "labelSelector", {"matchLabels": {"a": "b"}}),
    ),
    (
        kubernetes_wiring.ports_exist,
        "a targetPort that no container has",
        lambda s: _put(_at(s, "Service", "kerf-gateway")["spec"]["ports"][0], "targetPort", "http"),
    ),
    (
        kubernetes_wiring.ports_exist,
        "a probe at another port",
        lambda s: _put(_container(s)["readinessProbe"]["grpc"], "port", 50052),
    ),
    (
        kubernetes_wiring.ports_exist,
        "metrics scraped at another port",
        lambda s: _put(
            _at(s, "Deployment", "kerf-gateway")["spec"]["template"]["metadata"]["annotations"],
            "prometheus.io/port",
            "9090",
        ),
    ),
    (
        kubernetes_wiring.ports_exist,
        "a NetworkPolicy for a port that nobody has",
        lambda s: _put(_at(s, "NetworkPolicy", "kerf-metrics")["spec"]["ingress"][0]["ports"][0], "port", "prometheus"),
    ),
    (
        kubernetes_wiring.references_exist,
        "a ConfigMap that is not there",
        lambda s: _put(_reference(s, "configMapKeyRef"), "name", "kerf-platfrom"),
    ),
    (
        kubernetes_wiring.references_exist,
        "a key that the Secret lacks",
        lambda s: _put(_reference(s, "secretKeyRef"), "key", "nats_pasword"),
    ),
    (
        kubernetes_wiring.references_exist,
        "a service account that is not there",
        lambda s: _put(_pod(s), "serviceAccountName", "gateway"),
    ),
    (
        kubernetes_wiring.references_exist,
        "a mount without its volume",
        lambda s: _put(_pod(s), "volumes", []),
    ),
    (
        kubernetes_wiring.references_exist,
        "a StatefulSet without its headless Service",
        lambda s: _put(_at(s, "StatefulSet", "kerf-nats")["spec"], "serviceName", "kerf-nats-peers"),
    ),
    (
        kubernetes_wiring.addresses_exist,
        "NATS at a name that is no Service",
        lambda s: _put(_platform(s), "nats_url", "nats://nats:4222"),
    ),
    (
        kubernetes_wiring.addresses_exist,
        "S3 at a port that its Service lacks",
        lambda s: _put(_platform(s), "s3_endpoint", "http://kerf-minio:80"),
    ),
    (
        kubernetes_wiring.scaling_is_sound,
        "a ScaledObject for nobody",
        lambda s: _put(_at(s, "ScaledObject", "kerf-trainer")["spec"]["scaleTargetRef"], "name", "trainer"),
    ),
    (
        kubernetes_wiring.scaling_is_sound,
        "a Deployment that sets replicas although KEDA does",
        lambda s: _put(_at(s, "Deployment", "kerf-trainer")["spec"], "replicas", 2),
    ),
    (
        kubernetes_wiring.scaling_is_sound,
        "a query for a metric that does not exist",
        lambda s: _put(
            _at(s, "ScaledObject", "kerf-trainer")["spec"]["triggers"][0]["metadata"],
            "query",
            'max(kerf_waiting{kind="trainer"})',
        ),
    ),
    (
        kubernetes_wiring.every_service_is_deployed,
        "a stack without optimizer",
        lambda s: s.manifests.remove(_at(s, "Deployment", "kerf-optimizer")),
    ),
    (
        kubernetes_wiring.every_service_is_deployed,
        "a Service with one address for all pods",
        lambda s: _at(s, "Service", "kerf-optimizer")["spec"].pop("clusterIP"),
    ),
    (
        kubernetes_wiring.every_service_is_deployed,
        "the image of another service",
        lambda s: _put(_container(s), "image", "kerf/optimizer:0.1.0"),
    ),
    (
        kubernetes_pods.settings_hold,
        "a misspelt variable",
        lambda s: _set_env(s, "gateway", "KERF_GATEWAY_NATS_ULR", "nats://kerf-nats:4222"),
    ),
    (
        kubernetes_pods.settings_hold,
        "a variable of a service that does not exist",
        lambda s: _set_env(s, "gateway", "KERF_GATEAWY_NATS_URL", "nats://kerf-nats:4222"),
    ),
    (
        kubernetes_pods.settings_hold,
        "a value that the service refuses",
        lambda s: _set_env(s, "gateway", "KERF_GATEWAY_LOG_LEVEL", "LOUD"),
    ),
    (
        kubernetes_pods.settings_hold,
        "timings that do not hold together",
        lambda s: _set_env(s, "gateway", "KERF_GATEWAY_HEARTBEAT", "10"),
    ),
    (
        kubernetes_pods.settings_hold,
        "a port that is not the container's",
        lambda s: _set_env(s, "gateway", "KERF_GATEWAY_GRPC_PORT", "50052"),
    ),
    (
        kubernetes_pods.settings_hold,
        "a service that listens to itself only",
        lambda s: _set_env(s, "gateway", "KERF_GATEWAY_GRPC_HOST", "127.0.0.1"),
    ),
    (
        kubernetes_pods.a_drain_has_time,
        "less time than a drain takes",
        lambda s: _put(_pod(s), "terminationGracePeriodSeconds", 20),
    ),
    (
        kubernetes_pods.a_drain_has_time,
        "the default, which the service does not know of",
        lambda s: _pod(s).pop("terminationGracePeriodSeconds"),
    ),
    (
        kubernetes_pods.probes_ask_the_right_thing,
        "liveness that follows NATS",
        lambda s: _put(_container(s), "livenessProbe", {"grpc": {"port": 50051}}),
    ),
    (
        kubernetes_pods.probes_ask_the_right_thing,
        "no readiness",
        lambda s: _container(s).pop("readinessProbe"),
    ),
    (
        kubernetes_pods.resources_are_bounded,
        "a request above the limit",
        lambda s: _put(_container(s)["resources"]["requests"], "memory", "4Gi"),
    ),
    (
        kubernetes_pods.resources_are_bounded,
        "a quantity that is none",
        lambda s: _put(_container(s)["resources"]["limits"], "memory", "2GB"),
    ),
    (
        kubernetes_pods.resources_are_bounded,
        "no limits",
        lambda s: _container(s)["resources"].pop("limits"),
    ),
    (
        kubernetes_pods.resources_are_bounded,
        "a folder for temporary files without an end",
        lambda s: _put(_pod(s)["volumes"][0], "emptyDir", {}),
    ),
    (
        kubernetes_pods.images_are_pinned,
        "the latest image",
        lambda s: _put(_container(s), "image", "kerf/gateway:latest"),
    ),
    (
        kubernetes_pods.images_are_pinned,
        "the image of another version",
        lambda s: _put(_container(s), "image", "kerf/gateway:0.0.9"),
    ),
    (
        kubernetes_pods.images_are_pinned,
        "an image without a tag",
        lambda s: _put(_container(s), "image", "registry.example:5000/kerf/gateway"),
    ),
    (
        kubernetes_pods.pods_are_confined,
        "root",
        lambda s: _put(_pod(s)["securityContext"], "runAsUser", 0),
    ),
    (
        kubernetes_pods.pods_are_confined,
        "a writable root file system",
        lambda s: _container(s)["securityContext"].pop("readOnlyRootFilesystem"),
    ),
    (
        kubernetes_pods.pods_are_confined,
        "capabilities",
        lambda s: _container(s)["securityContext"].pop("capabilities"),
    ),
    (
        kubernetes_pods.pods_are_confined,
        "service links, which would set KERF_ variables",
        lambda s: _pod(s).pop("enableServiceLinks"),
    ),
    (
        kubernetes_pods.pods_are_confined,
        "a token",
        lambda s: _at(s, "ServiceAccount", "kerf-gateway").pop("automountServiceAccountToken"),
    ),
    (
        kubernetes_pods.nothing_is_open,
        "a pod that no policy denies anything",
        lambda s: s.manifests.remove(_at(s, "NetworkPolicy", "kerf-default-deny")),
    ),
    (
        kubernetes_pods.nothing_is_open,
        "a Service for the whole world",
        lambda s: _put(_at(s, "Service", "kerf-nats")["spec"], "type", "LoadBalancer"),
    ),
    (
        kubernetes_pods.replicas_are_kept_apart,
        "no PodDisruptionBudget",
        lambda s: s.manifests.remove(_at(s, "PodDisruptionBudget", "kerf-nats")),
    ),
    (
        kubernetes_pods.replicas_are_kept_apart,
        "a budget that lets no node be drained",
        lambda s: _put(_at(s, "PodDisruptionBudget", "kerf-gateway")["spec"], "maxUnavailable", 0),
    ),
    (
        kubernetes_pods.replicas_are_kept_apart,
        "all pods on one node",
        lambda s: _pod(s).pop("topologySpreadConstraints"),
    ),
    (kubernetes_pods.nats_syncs_always, "NATS that loses what it acknowledged", _unsynced),
]

SCHEMA: list[tuple[str, Change]] = [
    ("a field that does not exist", lambda s: _put(_container(s), "livenesProbe", {})),
    ("a number that is a word", lambda s: _put(_at(s, "StatefulSet", "kerf-nats")["spec"], "replicas", "three")),
    ("a kind that lacks what it needs", lambda s: _at(s, "Deployment", "kerf-gateway")["spec"].pop("selector")),
]
