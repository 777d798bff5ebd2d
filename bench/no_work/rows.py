"""From what was measured to the rows of the report. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bench._report import Result, target_against
from bench.no_work.client_loop import Load, Moments

KERF, KERF_REQUEST_ID = "kerf", "kerf with request_id"
CELERY, CELERY_TRACKED = "celery", "celery with task_track_started"
WRITES = "protocol writes alone"
LEVELS = (1, 8, 64)
MAX_LATENCY_FACTOR = 2.0
MIN_THROUGHPUT_FACTORS = {1: 0.5, 8: 0.5, 64: 1.0}
"""By clients."""
_NO_TARGET = "no target, shown for comparison"
_CLIENT_BOUND = 0.8
"""Share of one core from which on a client process is taken for the bottleneck: Python uses one at most."""


@dataclass
class Measured:
    """Everything that the rounds brought, by series."""

    peer: str = ""
    peer_missing: str = ""
    latency: dict[str, Moments] = field(default_factory=dict)
    load: dict[tuple[str, int], list[Load]] = field(default_factory=dict)
    cpu_seconds: dict[tuple[str, int], dict[str, float]] = field(default_factory=dict)
    writes_per_job: dict[str, float] = field(default_factory=dict)
    fsync_ms: float = 0.0

    def add_latency(self, series: str, moments: Moments) -> None:
        """Pool the samples of all rounds."""
        pooled = self.latency.setdefault(series, Moments(accepted=[], started=[], ended=[]))
        for key in ("accepted", "started", "ended"):
            pooled[key].extend(moments[key])

    def add_load(self, series: str, clients: int, load: Load, cpu_seconds: dict[str, float]) -> None:
        """Keep a round's count, and add up its CPU time."""
        self.load.setdefault((series, clients), []).append(load)
        used = self.cpu_seconds.setdefault((series, clients), {})
        for role, seconds in {**cpu_seconds, "client": load["client_cpu_seconds"]}.items():
            used[role] = used.get(role, 0.0) + seconds


def percentile(samples: Sequence[float], percent: int) -> float | None:
    """With linear interpolation between the two nearest samples; None where there are fewer than two."""
    if len(samples) < 2:
        return None
    return statistics.quantiles(samples, n=100, method="inclusive")[percent - 1]


def rows(measured: Measured) -> list[Result]:
    """All rows, those with a target first."""
    return [
        *_latency_rows(measured),
        *_throughput_rows(measured),
        *_write_rows(measured),
        *_cost_rows(measured),
        Result(
            "disk: append 1 KiB + fdatasync, p50", measured.fsync_ms, "ms", lower_is_better=True, why=_NO_TARGET
        ),
    ]  # fmt: skip  # one row per line


def _latency_rows(measured: Measured) -> Iterable[Result]:
    first = "the peer's first event is STARTED, with task_track_started; kerf's is Accepted, stored for good"
    accepted = "no target: the peer's call returned, so Redis has the message"
    for percent in (50, 99):
        peer_started = _moment_ms(measured, CELERY_TRACKED, "started", percent)
        peer_accepted = _moment_ms(measured, CELERY, "accepted", percent)
        peer_ended = _moment_ms(measured, CELERY, "ended", percent)
        kerf = {key: _moment_ms(measured, KERF, key, percent) for key in ("accepted", "started", "ended")}
        named = {key: _moment_ms(measured, KERF_REQUEST_ID, key, percent) for key in ("accepted", "ended")}
        yield _limited(measured, f"create → first event, p{percent}", kerf["accepted"], peer_started, first)
        yield _limited(measured, f"create → terminal, p{percent}", kerf["ended"], peer_ended)
        yield _limited(measured, f"create → terminal with request_id, p{percent}", named["ended"], peer_ended)
        yield _shown(measured, f"create → accepted, p{percent}", kerf["accepted"], peer_accepted, accepted)
        yield _shown(measured, f"create → accepted with request_id, p{percent}", named["accepted"], peer_accepted)
        yield _shown(measured, f"create → started, p{percent}", kerf["started"], peer_started)


def _throughput_rows(measured: Measured) -> Iterable[Result]:
    for series, suffix in ((KERF, ""), (KERF_REQUEST_ID, " with request_id")):
        for clients in LEVELS:
            peer_value = _jobs_per_second(measured, CELERY, clients)
            factor = MIN_THROUGHPUT_FACTORS[clients]
            yield Result(
                f"{_clients(clients)}{suffix}",
                _jobs_per_second(measured, series, clients),
                "jobs/s",
                lower_is_better=False,
                peer=measured.peer,
                peer_value=peer_value,
                target=target_against(peer_value, factor, lower_is_better=False),
                why=_why(measured, f"target: at least {factor:g} × the peer"),
            )
    for clients in LEVELS:
        alone = _jobs_per_second(measured, WRITES, clients)
        if alone is not None:
            yield Result(
                f"{_clients(clients)}, beside the protocol's own writes",
                _jobs_per_second(measured, KERF, clients),
                "jobs/s",
                lower_is_better=False,
                peer="the same writes on the same NATS, without gRPC, gateway, worker and S3",
                peer_value=alone,
                why=_NO_TARGET,
            )


def _write_rows(measured: Measured) -> Iterable[Result]:
    peer_value = measured.writes_per_job.get(CELERY)
    why = "no target: kerf counts messages stored, each synced; the peer changes of keys, several in one sync"
    for series, suffix in ((KERF, ""), (KERF_REQUEST_ID, " with request_id")):
        value = measured.writes_per_job.get(series)
        yield Result(
            f"synced writes per job{suffix}",
            value,
            "writes",
            lower_is_better=True,
            peer=measured.peer,
            peer_value=peer_value,
            why=why,
        )


def _cost_rows(measured: Measured) -> Iterable[Result]:
    """CPU time per job: what a busy neighbour distorts least."""
    for clients in LEVELS:
        kerf = _cpu_ms_per_job(measured, KERF, clients)
        peer = _cpu_ms_per_job(measured, CELERY, clients)
        parts = [
            f"{role} {value:.2f}" for role, value in (*kerf.items(), *((f"peer's {r}", v) for r, v in peer.items()))
        ]
        bound = [name for name in (KERF, CELERY) if _client_share(measured, name, clients) > _CLIENT_BOUND]
        note = f"; the client process is the bottleneck of {', '.join(bound)}" if bound else ""
        yield Result(
            f"CPU time per job at {_clients(clients)}",
            sum(kerf.values()) if kerf else None,
            "ms",
            lower_is_better=True,
            peer=measured.peer,
            peer_value=sum(peer.values()) if peer else None,
            why=f"no target; {', '.join(parts)}{note}",
        )


def _limited(measured: Measured, name: str, value: float | None, peer_value: float | None, why: str = "") -> Result:
    target = target_against(peer_value, MAX_LATENCY_FACTOR, lower_is_better=True)
    why = "; ".join(part for part in (f"target: at most {MAX_LATENCY_FACTOR:g} × the peer", why) if part)
    return Result(
        name,
        value,
        "ms",
        lower_is_better=True,
        peer=measured.peer,
        peer_value=peer_value,
        target=target,
        why=_why(measured, why),
    )


def _shown(
    measured: Measured, name: str, value: float | None, peer_value: float | None, why: str = _NO_TARGET
) -> Result:
    return Result(name, value, "ms", lower_is_better=True, peer=measured.peer, peer_value=peer_value, why=why)


def _why(measured: Measured, why: str) -> str:
    return f"the peer did not run: {measured.peer_missing}" if measured.peer_missing else why


def _clients(number: int) -> str:
    return f"{number} client{'s' if number > 1 else ''}"


def _moment_ms(measured: Measured, series: str, key: str, percent: int) -> float | None:
    moments = measured.latency.get(series)
    if moments is None:
        return None
    samples = {"accepted": moments["accepted"], "started": moments["started"], "ended": moments["ended"]}[key]
    value = percentile(samples, percent)
    return None if value is None else value * 1000


def _jobs_per_second(measured: Measured, series: str, clients: int) -> float | None:
    """Median of the rounds."""
    loads = measured.load.get((series, clients))
    return statistics.median(load["jobs"] / load["seconds"] for load in loads) if loads else None


def _cpu_ms_per_job(measured: Measured, series: str, clients: int) -> dict[str, float]:
    jobs = sum(load["all_jobs"] for load in measured.load.get((series, clients), []))
    used = measured.cpu_seconds.get((series, clients), {})
    return {role: 1000 * seconds / jobs for role, seconds in used.items()} if jobs else {}


def _client_share(measured: Measured, series: str, clients: int) -> float:
    """Cores that the client process used."""
    seconds = sum(load["all_seconds"] for load in measured.load.get((series, clients), []))
    return measured.cpu_seconds[series, clients]["client"] / seconds if seconds else 0.0
