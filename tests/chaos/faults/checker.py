"""Judges a history: a pure function from what happened to the promises that were broken."""

from __future__ import annotations

from itertools import chain

from chaos.faults.client_rules import (
    check_cancels,
    check_deliveries,
    check_ends,
    check_requests,
    check_sameness,
    check_streams,
    check_told,
)
from chaos.faults.history import History
from chaos.faults.log_rules import check_log
from chaos.faults.violations import Violation


def violations(history: History) -> list[Violation]:
    """Everything that is wrong with a history; empty if it keeps all promises."""
    logs = history.logs()
    executions = {execution.execution: execution for execution in history.executions}
    return list(
        chain(
            *(check_log(log, history.bounds, executions, history.faults) for log in logs.values()),
            check_requests(history.asked, logs),
            check_ends(history.asked, history.cancels, logs),
            check_cancels(history.cancels, logs),
            check_told(history.told, logs),
            check_streams(history.sittings, logs),
            check_deliveries(history.deliveries),
            check_sameness(logs),
        )
    )
