"""`kerf gpu` and the monitor's clients: what is not known is said in words, never as 0."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from kerf.monitor.v1 import monitor_pb2 as api
from kerf_client import AsyncMonitor, Monitor, ServiceUnavailable, Unauthenticated
from kerf_client.cli import main
from kerf_client.readings import gpu_support_text, monitor_json, reading_text, session_row, share, tracks
from unit.client.client_fake_gateway import API_KEY
from unit.client.client_fake_monitor import FakeMonitor, measured, unknown
from unit.client.client_threaded import ThreadedGateway

MONITOR = FakeMonitor()


@pytest.fixture(scope="module")
def running() -> Iterator[ThreadedGateway]:
    threaded = ThreadedGateway(None, MONITOR)
    yield threaded
    threaded.close()


@pytest.fixture
def monitor(running: ThreadedGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeMonitor:
    monkeypatch.delenv("KERF_CLIENT_GATEWAY", raising=False)
    monkeypatch.setenv("KERF_CLIENT_MONITOR", running.gateway.target)
    monkeypatch.setenv("KERF_CLIENT_API_KEY", API_KEY)
    monkeypatch.chdir(tmp_path)
    MONITOR.with_gpu = False
    return MONITOR


@pytest.mark.parametrize(
    "reading, text",
    [
        (measured(0.0), "0 %"),
        (measured(0.25), "25 %"),
        (measured(math.nan), "unknown"),
        (unknown(), "unknown"),
        (unknown("NVML said no"), "unknown (NVML said no)"),
        (api.Reading(), "unknown"),
        (api.Reading(availability=api.AVAILABILITY_UNSUPPORTED), "not supported"),
        (api.Reading(availability=api.AVAILABILITY_STALE, value=0.5, reason="old"), "50 %, stale (old)"),
        (api.Reading(value=0.5), "unknown"),
    ],
)
def test_a_reading_is_a_figure_or_says_why_not(reading: api.Reading, text: str) -> None:
    assert reading_text(reading, share) == text


@pytest.mark.parametrize(
    "state, message, text",
    [
        (api.GPU_STATE_ABSENT, "no GPU: no driver", "no GPU: no driver"),
        (api.GPU_STATE_ABSENT, "no driver", "no GPU: no driver"),
        (api.GPU_STATE_ABSENT, "", "no GPU"),
        (api.GPU_STATE_PRESENT, "driver 570", "GPU present: driver 570"),
        (api.GPU_STATE_UNKNOWN, "", "GPU unknown"),
        (api.GPU_STATE_UNSPECIFIED, "", "GPU unknown"),
    ],
)
def test_whether_there_are_gpus_is_said_plainly(state: api.GpuState.ValueType, message: str, text: str) -> None:
    assert gpu_support_text(api.GpuSupport(state=state, message=message)) == text


@pytest.mark.usefixtures("monitor")
def test_no_gpu_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpu"]) == 0
    said = capsys.readouterr().out
    assert "no GPU: no NVIDIA driver on this host" in said
    assert "CPU busy       25 %" in said
    assert "memory         1.0 GiB of unknown" in said
    assert "load (1 min)   unknown" in said
    assert "health: warning" in said
    assert "DISK_NEARLY_FULL: 91 % of the disk is used, limit 90 %" in said
    assert "jobs/j2  train  trainer  w1" in said
    assert "1 min 10 s  completed  0.0 s  unknown" in said


def test_a_gpu_is_shown_and_drives_no_terminal(monitor: FakeMonitor, capsys: pytest.CaptureFixture[str]) -> None:
    monitor.with_gpu = True
    assert main(["gpu", "--sessions", "0"]) == 0
    said = capsys.readouterr().out
    assert "<b>H200</b>\\x1b[2J" in said
    assert "\x1b" not in said
    rows = {line[2:26].strip(): line[26:].strip() for line in said.partition("GPU 0")[2].splitlines()[1:]}
    assert rows["busy"] == "0 %"
    assert rows["memory"] == "1.0 GiB, stale (NVML is silent) of 139.0 GiB"
    assert rows["temperature"] == "unknown (NVML said no)"
    assert rows["power"] == "unknown"
    assert rows["uncorrected ECC errors"] == "not supported"
    assert rows["held down by"] == "unknown"
    assert rows["processes"] == "none"
    assert "jobs/" not in said


def test_json_tells_zero_from_unknown(monitor: FakeMonitor, capsys: pytest.CaptureFixture[str]) -> None:
    monitor.with_gpu = True
    assert main(["gpu", "--history", "10m", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    gpu = found["node"]["gpus"][0]
    assert gpu["utilization"]["value"] == 0.0
    assert gpu["temperature_celsius"]["value"] is None
    assert gpu["memory_used_bytes"]["value"] == 2.0**30
    assert len(found["history"]) == 2
    assert found["history"][0]["host"]["cpu_utilization"]["value"] is None
    assert monitor.history_seconds[-1] == 600
    assert found["health"]["findings"][0]["reason"] == "DISK_NEARLY_FULL"
    assert [session["name"] for session in found["sessions"]] == ["sessions/j2.1", "sessions/j1.1"]
    assert found["sessions"][1]["device_seconds"]["value"] == 0.0
    assert monitor_json(api.Reading()) == {"availability": "AVAILABILITY_UNSPECIFIED", "value": None}


def test_the_page_shows_all_and_runs_nothing(
    monitor: FakeMonitor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor.with_gpu = True
    assert main(["gpu", "--html", "gpu.html", "--history", "2h"]) == 0
    page = (tmp_path / "gpu.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;H200&lt;/b&gt;" in page
    assert "<b>H200" not in page
    assert "jobs/j1" in page
    assert page.count("<svg") == 6
    assert "CPU busy: least 25 %, mean 25 %, most 25 % (2 of 3 measured)" in page
    assert "GPU 0 temperature: not measured" in page
    assert "history since" in capsys.readouterr().out
    assert main(["gpu", "--html", "gpu.html"]) == 2, "an existing file stays"
    assert (tmp_path / "gpu.html").read_text(encoding="utf-8") == page
    assert main(["gpu", "--html", "gpu.html", "--force"]) == 0


def test_watching_tells_one_line_a_reading(monitor: FakeMonitor, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpu", "--watch", "--interval", "0.5"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "CPU unknown (first reading)" in first
    assert "CPU 25 %  no GPU" in second
    assert monitor.watch_interval_seconds[-1] == 0.5


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["gpu", "--history", "10"], "such as 10m"),
        (["gpu", "--history", "0m"], "such as 10m"),
        (["gpu", "--watch", "--json"], "does not go with"),
        (["gpu", "--interval", "nan"], "no number"),
    ],
)
@pytest.mark.usefixtures("monitor")
def test_wrong_usage(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(arguments)
    except SystemExit as left:
        code = int(left.code or 0)
    assert code == 2
    assert text in capsys.readouterr().err


def test_without_a_monitor_it_says_what_to_do(
    running: ThreadedGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERF_CLIENT_MONITOR", "")
    monkeypatch.setenv("KERF_CLIENT_GATEWAY", running.gateway.target)
    monkeypatch.setenv("KERF_CLIENT_API_KEY", API_KEY)
    monkeypatch.setenv("KERF_EMBEDDED_ROOT", str(tmp_path / "root"))
    assert main(["gpu"]) == 3
    assert "--monitor HOST:PORT or KERF_CLIENT_MONITOR" in capsys.readouterr().err
    monkeypatch.setenv("KERF_CLIENT_GATEWAY", "")
    assert main(["gpu"]) == 3
    assert "kerf up" in capsys.readouterr().err


async def test_the_asynchronous_client_pages_through_the_sessions(running: ThreadedGateway) -> None:
    async with AsyncMonitor(running.gateway.target, API_KEY) as client:
        assert [session.name async for session in client.list_sessions()] == ["sessions/j2.1", "sessions/j1.1"]
        assert (await client.get_health()).state == api.HEALTH_STATE_WARNING
    async with AsyncMonitor(running.gateway.target, "another") as stranger:
        with pytest.raises(Unauthenticated):
            await stranger.get_node()
    with pytest.raises(ServiceUnavailable, match="closed"):
        await client.get_health()


def test_the_synchronous_client_does_the_same(running: ThreadedGateway) -> None:
    with Monitor(running.gateway.target, API_KEY) as client:
        assert client.get_node().now.node == "node-1"
        assert len(client.get_node(history=timedelta(minutes=1)).history) == 2
        assert client.get_health().state == api.HEALTH_STATE_WARNING
        assert len(list(client.list_sessions(page_size=1))) == 2
        assert len(list(client.watch_node())) == 2
    with pytest.raises(ValueError, match="API key"):
        Monitor(running.gateway.target, "")


def test_a_session_of_unknown_length_is_not_zero_long() -> None:
    lost = api.Session(job="jobs/j", stage="s", outcome="lost")
    assert session_row(lost)[4:] == ("unknown", "unknown", "lost", "unknown", "unknown")


def test_a_track_that_was_never_measured_says_so() -> None:
    cpu, memory = tracks([api.NodeSnapshot(), api.NodeSnapshot()])
    assert cpu.summary == memory.summary == "not measured"
