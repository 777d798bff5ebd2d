"""The manifests render, fit together and fit the services; every rule about them finds what is planted."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from deploy.checks import kubernetes_pods, kubernetes_wiring
from deploy.checks.images import not_pinned
from deploy.checks.kubernetes_pods import Rule, quantity, syncs_always
from deploy.checks.manifests import Stack
from deploy.checks.planted import changed_stack, named, without_offender
from deploy.checks.planted_manifests import KUBERNETES, SCHEMA, Change
from deploy.checks.rendering import (
    COMPONENTS,
    CannotCheck,
    component_sets,
    component_stack,
    kustomize_program,
    overlay_stack,
    overlays,
    schema_problems,
)

RULES = (*kubernetes_wiring.RULES, *kubernetes_pods.RULES)


def renders() -> bool:
    try:
        return bool(kustomize_program())
    except CannotCheck:
        return False


rendering = pytest.mark.skipif(
    not renders(), reason="neither kubectl nor kustomize is here; `make k8s-check` fails then"
)


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stack]:
    work = tmp_path_factory.mktemp("renderings")
    # The base, each component alone, all of them, and the overlays; `make k8s-check` takes every combination.
    some = [chosen for chosen in component_sets() if len(chosen) <= 1 or len(chosen) > len(COMPONENTS)]
    made = [component_stack(chosen, work) for chosen in some] + [overlay_stack(each) for each in overlays()]
    return {stack.name: stack for stack in made}


@pytest.fixture(scope="module")
def production(stacks: Mapping[str, Stack]) -> Stack:
    return stacks["overlays/production"]


@rendering
def test_every_rendering_keeps_all_rules(stacks: Mapping[str, Stack]) -> None:
    problems = [f"{stack.name}: {problem}" for stack in stacks.values() for rule in RULES for problem in rule(stack)]
    assert problems == []
    assert {"base", "base+nats", "base+nats+minio+gpu+keda+single", "overlays/dev"} <= stacks.keys()


@rendering
def test_the_schemas_of_kubernetes_agree(stacks: Mapping[str, Stack], tmp_path: Path) -> None:
    assert schema_problems((each for stack in stacks.values() for each in stack.manifests), tmp_path) == []


@rendering
@pytest.mark.parametrize(("rule", "what", "change"), KUBERNETES, ids=named)
def test_a_planted_offender_is_found(production: Stack, rule: Rule, what: str, change: Change) -> None:
    assert set(rule(changed_stack(production, change))) - set(rule(production)), what


@rendering
@pytest.mark.parametrize(("what", "change"), SCHEMA, ids=named)
def test_the_schemas_find_what_is_planted(production: Stack, tmp_path: Path, what: str, change: Change) -> None:
    assert schema_problems(changed_stack(production, change).manifests, tmp_path), what


def test_every_rule_has_a_planted_offender() -> None:
    assert list(without_offender()) == []


@rendering
def test_production_has_a_nats_cluster_and_copies_of_every_stream(production: Stack) -> None:
    nats = production.named("StatefulSet", "kerf-nats")
    platform = next(each["data"] for each in production.of("ConfigMap") if "nats_replicas" in each["data"])
    assert nats is not None
    assert (nats["spec"]["replicas"], platform["nats_replicas"]) == (3, "3")


@rendering
def test_production_computes_on_gpus_and_leaves_the_replicas_to_keda(production: Stack) -> None:
    for service in ("diffusion", "captioner", "trainer"):
        deployment = production.named("Deployment", f"kerf-{service}")
        assert deployment is not None
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        assert container["image"].endswith("-cuda")
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert "replicas" not in deployment["spec"]
        assert production.named("ScaledObject", f"kerf-{service}") is not None


@rendering
def test_dev_has_one_of_each_and_a_nats_without_peers(stacks: Mapping[str, Stack]) -> None:
    dev = stacks["overlays/dev"]
    for name in ("kerf-nats", "kerf-minio"):
        workload = dev.named("StatefulSet", name)
        assert workload is not None
        assert workload["spec"]["replicas"] == 1
    config = next(each["data"]["nats.conf"] for each in dev.of("ConfigMap") if "nats.conf" in each["data"])
    assert "cluster {" not in config


@rendering
def test_no_secret_is_rendered(stacks: Mapping[str, Stack]) -> None:
    assert [stack.name for stack in stacks.values() if list(stack.of("Secret"))] == []


def test_a_missing_renderer_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotCheck, match=r"kubectl .* nor kustomize .* install"):
        kustomize_program()


@rendering
def test_what_does_not_render_says_why(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [missing.yaml]\n")
    with pytest.raises(CannotCheck, match=r"missing\.yaml"):
        overlay_stack(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", Decimal("0.5")), ("2", Decimal(2)), ("1Gi", Decimal(2**30)), ("1.5G", Decimal(1_500_000_000))],
)
def test_quantities_are_read(text: str, value: Decimal) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "2GB", "-1", "1 Gi", "many", "1e3e"])
def test_what_is_no_quantity_is_none(text: str) -> None:
    assert quantity(text) is None


@pytest.mark.parametrize(
    "image",
    [
        "nats:2.15.1-alpine",
        "registry.example:5000/kerf/gateway:0.1.0",
        "minio/minio:RELEASE.2025-09-07T16-13-09Z",
        "kerf/gateway@sha256:" + "0" * 64,
    ],
)
def test_an_exact_image_is_pinned(image: str) -> None:
    assert not_pinned(image) == ""


@pytest.mark.parametrize(
    "image",
    [
        "nats",
        "nats:latest",
        "nats:2",
        "kerf/gateway:main",
        "kerf/gateway:0.0.9",
        "registry.example:5000/kerf",
        "",
        "A:1.0",
        "a b:1.0",
    ],
)
def test_any_other_image_is_not(image: str) -> None:
    assert not_pinned(image) != ""


def test_a_comment_does_not_sync() -> None:
    assert syncs_always("jetstream {\n  sync_interval: always\n}")
    assert not syncs_always("# sync_interval: always\nsync_interval: 2m # always")
