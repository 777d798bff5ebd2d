"""The checker finds every planted bug, and nothing in a protocol without bugs."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.faults.bugs import Bug
from chaos.faults.checker import violations
from chaos.faults.model import Model

SEEDS = range(200)


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_protocol_without_bugs_breaks_no_promise(seed: int) -> None:
    assert violations(Model(seed).run()) == []


@pytest.mark.parametrize("bug", Bug, ids=lambda bug: bug.name)
def test_every_planted_bug_is_found(bug: Bug) -> None:
    for seed in SEEDS:
        if bug.found_as in {violation.kind for violation in violations(Model(seed, bug).run())}:
            return
    pytest.fail(f"{bug.value[0]}: no {bug.found_as.name} in {len(SEEDS)} runs")


def test_the_model_gives_the_same_history_for_the_same_seed() -> None:
    assert Model(7).run() == Model(7).run()


def test_the_model_is_disturbed() -> None:
    """A checker that passes an idle model proves nothing."""
    histories = [Model(seed).run() for seed in range(10)]
    entries = [entry for history in histories for entry in history.entries]
    assert sum(entry.takes_over for entry in entries) > 10
    assert {entry.body for entry in entries} >= {"cancelled", "failed", "succeeded", "attempt_lost", "cancel_requested"}
    assert all(len(history.deliveries) > 3 for history in histories)
    assert sum(not sitting.closed for history in histories for sitting in history.sittings) > 10
