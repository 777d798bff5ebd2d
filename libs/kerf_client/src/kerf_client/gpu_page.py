"""The page that shows how a node and its GPUs do: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from kerf.monitor.v1.monitor_pb2 import (
    GetHealthResponse,
    GetNodeResponse,
    HealthState,
    NodeSnapshot,
    Session,
)
from kerf_client.page import heading, html_page, table
from kerf_client.plot import Curve, line_plot
from kerf_client.readings import (
    SESSION_HEADER,
    Row,
    Track,
    gpu_rows,
    gpu_support_text,
    health_lines,
    health_word,
    host_rows,
    moment,
    session_row,
    snapshots_of,
    tracks,
)

_COLOR = "#c2410c"


@dataclass(frozen=True)
class NodeFacts:
    """All that the monitor said."""

    node: GetNodeResponse
    health: GetHealthResponse
    sessions: Sequence[Session] = field(default_factory=list)


def render_gpu_page(facts: NodeFacts) -> bytes:
    """The page as UTF-8."""
    now = facts.node.now
    title = f"Node {now.node or 'of unknown name'}"
    head = {"Health": health_word(facts.health.state), "GPU": gpu_support_text(now.gpu_support), "CPU": _cpu(now)}
    body = "\n".join(
        [
            heading(title, f"As it was at {moment(now.time)}", head),
            _health(facts.health),
            _gpus(now),
            "<h2>Host</h2>" + _rows(host_rows(now.host)),
            _history(facts.node),
            _sessions(facts.sessions),
            "<footer>made with kerf. What could not be measured is said in words; it is never shown as 0.</footer>",
        ]
    )
    return html_page(title, body)


def _cpu(now: NodeSnapshot) -> str:
    rows = dict(host_rows(now.host))
    return f"{rows['CPU busy']} busy of {rows['CPUs']}"


def _health(health: GetHealthResponse) -> str:
    verdict, *found = health_lines(health)
    if not found:
        style = "calm" if health.state == HealthState.HEALTH_STATE_OK else "safety"
        return f'<h2>Health</h2><p class="{style}">{escape(verdict)}</p>'
    listed = "".join(f"<li>{escape(line)}</li>" for line in found)
    return f'<h2>Health</h2><ul class="warnings">{listed}</ul>'


def _gpus(now: NodeSnapshot) -> str:
    support = f'<h2>GPUs</h2><p class="safety">{escape(gpu_support_text(now.gpu_support))}</p>'
    parts = [
        f"<h2>GPU {gpu.index}: {escape(gpu.name or 'name unknown')}</h2>{_rows(gpu_rows(gpu))}" for gpu in now.gpus
    ]
    return support + "".join(parts)


def _rows(rows: list[Row]) -> str:
    return table(("Figure", "Reading"), [(escape(name), escape(text)) for name, text in rows])


def _history(node: GetNodeResponse) -> str:
    history = snapshots_of(node)
    if not history:
        return '<h2>History</h2><p class="dim">None was asked for, or the monitor has none.</p>'
    newest = history[-1].time.ToNanoseconds()
    minutes = [(snapshot.time.ToNanoseconds() - newest) / 60e9 for snapshot in history]
    return "<h2>History</h2>" + "".join(_plot(track, minutes) for track in tracks(history))


def _plot(track: Track, minutes: list[float]) -> str:
    return line_plot(
        [Curve(track.name, minutes, track.values, _COLOR)],
        title=f"{track.name}: {track.summary}",
        x_label="minutes before the newest reading",
        y_label=f"{track.name} ({track.unit})",
        from_zero=True,
    )


def _sessions(sessions: Sequence[Session]) -> str:
    if not sessions:
        return '<h2>Sessions</h2><p class="dim">No stage of this tenant ran here that the monitor knows of.</p>'
    rows = [tuple(escape(text) for text in session_row(session)) for session in sessions]
    return "<h2>Sessions</h2>" + table(SESSION_HEADER, rows)
