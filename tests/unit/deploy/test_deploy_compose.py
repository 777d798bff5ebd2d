"""The compose file fits the checkout, and every rule about it finds what is planted."""

from __future__ import annotations

import pytest

from deploy.checks.__main__ import COMPOSE_FORMS
from deploy.checks.compose import RULES, Rule, read_compose, seconds
from deploy.checks.planted import changed_compose, named
from deploy.checks.planted_containers import COMPOSE, Alteration
from deploy.checks.service_settings import ROOT

FOLDER = ROOT / "deploy" / "compose"


@pytest.mark.parametrize("names", COMPOSE_FORMS, ids=lambda names: names[-1])
def test_a_form_keeps_all_rules(names: tuple[str, ...]) -> None:
    content = read_compose(FOLDER, *names)
    assert [f"{rule.__name__}: {problem}" for rule in RULES for problem in rule(content)] == []


@pytest.mark.parametrize(("rule", "what", "change"), COMPOSE, ids=named)
def test_a_planted_offender_is_found(rule: Rule, what: str, change: Alteration) -> None:
    good = read_compose(FOLDER, "compose.yaml")
    assert set(rule(changed_compose(good, change))) - set(rule(good)), what


def test_the_gpu_form_changes_what_it_says() -> None:
    gpu = read_compose(FOLDER, *COMPOSE_FORMS[-1])
    assert gpu.services["diffusion"]["image"].endswith("-cuda")
    assert gpu.services["diffusion"]["build"]["args"]["VARIANT"] == "cuda"
    assert gpu.environment("diffusion")["KERF_DIFFUSION_DEVICE"] == "cuda"
    assert gpu.environment("diffusion")["KERF_DIFFUSION_GRPC_PORT"] == "50051"


@pytest.mark.parametrize(("text", "value"), [("45s", 45), ("1m30s", 90), ("500ms", 0.5), ("2h", 7200)])
def test_durations_are_read(text: str, value: float) -> None:
    assert seconds(text) == value
