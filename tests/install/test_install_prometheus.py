"""A real Prometheus scrapes every service of a running stack and answers the questions that an operator has.

The program is taken from PATH, or once from Debian's package into build/tools, without root. Uses the package registry.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2

from e2e_calls import Caller
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest
from kerf.jobs.v1.job_pb2 import Job, Stage, StageInput, StageOutputs
from kerf.optimizer.v1.raster_pb2 import OptimizeRequest, PhysicalSize
from kerf_embedded.ports import LOOPBACK, draw
from kerf_embedded.service import default_services
from stack_thread import StackThread, running_stack, service

pytestmark = [pytest.mark.install, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "build" / "tools" / "prometheus"
HOW = "install it (Debian and Ubuntu: apt-get install prometheus), or put a `prometheus` on PATH"
ABSENT = "absent"
"""Name of the planted target, where nothing listens."""
SOON = 60.0
POLL = 0.2


class NoPrometheus(Exception):
    """There is no Prometheus and none could be fetched; says what to do."""


def find_prometheus(tools: Path = TOOLS) -> Path:
    """The program: on PATH, kept from the last time, or fetched now. Raises NoPrometheus."""
    if found := shutil.which("prometheus"):
        return Path(found)
    kept = tools / "usr" / "bin" / "prometheus"
    if not kept.exists():
        fetch_prometheus(tools)
    if not kept.exists():
        raise NoPrometheus(f"Debian's package has no {kept.name}: {HOW}")
    return kept


def fetch_prometheus(tools: Path) -> None:
    """Unpack Debian's package, without root and without installing it. Raises NoPrometheus."""
    work = tools.with_name(tools.name + ".part")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        call(["apt-get", "download", "prometheus"], work)
        packages = list(work.glob("prometheus_*.deb"))
        if not packages:
            raise NoPrometheus(f"apt-get downloaded no package: {HOW}")
        call(["dpkg", "-x", packages[0].name, "content"], work)
        shutil.rmtree(tools, ignore_errors=True)
        (work / "content").rename(tools)  # whole or not at all
    finally:
        shutil.rmtree(work, ignore_errors=True)


def call(command: list[str], folder: Path) -> None:
    """Run a command. Raises NoPrometheus with what it said."""
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoPrometheus(f"{command[0]}: {error}; {HOW}") from error
    if result.returncode != 0:
        raise NoPrometheus(f"{' '.join(command)}: exit {result.returncode}: {result.stderr[-1000:]}; {HOW}")


class Prometheus:
    """Asks a running Prometheus."""

    def __init__(self, port: int) -> None:
        self._base = f"http://{LOOPBACK}:{port}"

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._base}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def query(self, promql: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Value by labels, of an instant query."""
        address = f"{self._base}/api/v1/query?{urllib.parse.urlencode({'query': promql})}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            told: dict[str, Any] = json.load(answer)
        assert told["status"] == "success", told
        return {tuple(sorted(each["metric"].items())): float(each["value"][1]) for each in told["data"]["result"]}

    def by(self, label: str, promql: str) -> dict[str, float]:
        """Value by one label."""
        return {dict(labels).get(label, ""): value for labels, value in self.query(promql).items()}

    def one(self, promql: str) -> float:
        """The value of a query with one answer."""
        (value,) = self.query(promql).values()
        return value


def configuration(targets: Mapping[str, str]) -> str:
    """A job for each target; JSON is YAML."""
    jobs = [
        {
            "job_name": name,
            "metrics_path": urllib.parse.urlsplit(url).path,
            "static_configs": [{"targets": [urllib.parse.urlsplit(url).netloc]}],
        }
        for name, url in targets.items()
    ]
    # The time-out leaves room for a machine that is busy with other tests.
    return json.dumps({"global": {"scrape_interval": "3s", "scrape_timeout": "3s"}, "scrape_configs": jobs})


@contextmanager
def scraping(targets: Mapping[str, str], folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `targets` (name -> URL), with its files below `folder`; it ends with the body."""
    folder.mkdir()
    (folder / "prometheus.yml").write_text(configuration(targets), encoding="utf-8")
    port = draw()
    command = [
        str(find_prometheus()),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={LOOPBACK}:{port}",
        "--log.level=warn",
    ]
    log = folder / "log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, cwd=folder) as process:
        try:
            prometheus = Prometheus(port)
            wait_for(lambda: process.poll() is not None or prometheus.ready(), "Prometheus is ready")
            assert process.poll() is None, log.read_text(encoding="utf-8")
            yield prometheus
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, f"not within {SOON:g} s: {what}"
        time.sleep(POLL)


@dataclass(frozen=True)
class Ran:
    """What ran on the stack before it was scraped."""

    created: int
    succeeded: int
    failed: int


DRAW = GenerateRequest(prompt="a silhouette of a heart", seed=3, steps=3)
BAD = GenerateRequest(prompt="a heart", seed=3, steps=3, width_px=8)
"""Smaller than the worker's settings allow: the gateway does not know them, so that the stage fails."""


async def run_jobs(stack: StackThread) -> Ran:
    """Two jobs that work, of a stage that computes on the device and one that does not, and one that fails."""
    caller = Caller(stack.info.gateway_target, stack.info.api_key)
    source = StageInput(from_stage=StageOutputs(stage="draw"))
    optimize = OptimizeRequest(size=PhysicalSize(width_mm=20))
    good = Job(stages=[Stage(id="draw", generate=DRAW), Stage(id="raster", inputs=[source], optimize=optimize)])
    try:
        for _ in range(2):
            assert (await caller.run(good))[-1].HasField("succeeded")
        assert (await caller.run(Job(stages=[Stage(id="draw", generate=BAD)])))[-1].HasField("failed")
    finally:
        await caller.channel.close()
    return Ran(created=3, succeeded=2, failed=1)


async def knock(target: str) -> str:
    """Call the first unary method of a service's own door without a key; returns its full name.

    Every call is counted, a refused one too, so this works for a service that the test knows nothing of.
    """
    async with grpc.aio.insecure_channel(target) as channel:
        method = await first_unary_method(channel)
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(b"", timeout=20)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED, method
    return method


async def first_unary_method(channel: grpc.aio.Channel) -> str:
    """By reflection."""
    reflect = channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )

    async def ask(**question: str) -> reflection_pb2.ServerReflectionResponse:
        async def questions() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
            yield reflection_pb2.ServerReflectionRequest(**question)  # type: ignore[arg-type]  # names of string fields

        stream = reflect(questions())
        try:
            return await anext(aiter(stream))
        finally:
            stream.cancel()

    listed = await ask(list_services="")
    own = sorted(each.name for each in listed.list_services_response.service if each.name.startswith("kerf."))
    for name in own:
        for raw in (await ask(file_containing_symbol=name)).file_descriptor_response.file_descriptor_proto:
            parsed = FileDescriptorProto.FromString(raw)
            for each in parsed.service:
                if f"{parsed.package}.{each.name}" == name:
                    for method in each.method:
                        if not method.client_streaming and not method.server_streaming:
                            return f"/{name}/{method.name}"
    raise AssertionError(f"no unary method among {own}")


async def prepare(stack: StackThread, names: list[str]) -> Ran:
    ran = await run_jobs(stack)
    for name in names:
        await knock(stack.info.targets[name])
    return ran


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, list[str], Ran]]:
    """A Prometheus that has seen all services of a stack after jobs ran, and one target that does not exist."""
    find_prometheus()  # before the stack starts: a machine without one should say so at once
    specs = [
        replace(spec, environment={**service(spec.name).environment, **spec.environment}) for spec in default_services()
    ]
    names = [spec.name for spec in specs]
    folder = tmp_path_factory.mktemp("prometheus")
    with running_stack(folder / "stack", *specs) as stack:
        ran = asyncio.run(prepare(stack, names))
        targets = {name: stack.info.metrics[name] for name in names}
        with scraping(targets | {ABSENT: f"http://{LOOPBACK}:{draw()}/metrics"}, folder / "prometheus") as prometheus:
            seen = dict.fromkeys(names, 1.0) | {ABSENT: 0.0}  # a target that was not scraped yet has no `up` at all
            wait_for(lambda: prometheus.by("job", "up") == seen, f"every target was scraped, and {ABSENT} was tried")
            yield prometheus, names, ran


Scraped = tuple[Prometheus, list[str], Ran]


def test_every_service_is_up_and_a_target_that_is_not_there_is_down(scraped: Scraped) -> None:
    prometheus, names, _ = scraped
    assert prometheus.by("job", "up") == dict.fromkeys(names, 1.0) | {ABSENT: 0.0}


def test_requests_are_counted_for_every_service_by_method_and_code(scraped: Scraped) -> None:
    prometheus, names, ran = scraped
    refused = prometheus.by("job", 'sum by (job) (kerf_grpc_server_seconds_count{code="UNAUTHENTICATED"})')
    assert refused == dict.fromkeys(names, 1.0)
    created = 'kerf_grpc_server_seconds_count{job="gateway",method="/kerf.jobs.v1.JobService/CreateJob",code="OK"}'
    assert prometheus.one(created) == ran.created


def test_latencies_are_a_histogram(scraped: Scraped) -> None:
    prometheus, _, ran = scraped
    method = 'job="gateway",method="/kerf.jobs.v1.JobService/CreateJob"'
    spent = prometheus.one(f"sum(kerf_grpc_server_seconds_sum{{{method}}})")
    assert 0 < spent < SOON
    buckets = f"sum by (le) (kerf_grpc_server_seconds_bucket{{{method}}})"
    within = {float(bound): count for bound, count in prometheus.by("le", buckets).items()}
    counts = [within[bound] for bound in sorted(within)]
    assert counts == sorted(counts)
    assert within[float("inf")] >= ran.created
    assert 0 < prometheus.one(f"histogram_quantile(0.95, {buckets})") < SOON


def test_queue_time_and_device_time_are_told_apart(scraped: Scraped) -> None:
    prometheus, _, ran = scraped
    queued = prometheus.by("kind", "sum by (kind) (kerf_stage_queue_seconds_count)")
    assert queued == {"diffusion": ran.created, "optimizer": ran.succeeded}
    # What failed before it drew used no device: only completed stages report device time.
    device = prometheus.by("kind", "sum by (kind) (kerf_stage_device_seconds_count)")
    assert device["diffusion"] == ran.succeeded
    waited = prometheus.by("kind", "sum by (kind) (kerf_stage_queue_seconds_sum)")["diffusion"]
    drew = prometheus.by("kind", "sum by (kind) (kerf_stage_device_seconds_sum)")["diffusion"]
    took = prometheus.one('sum(kerf_stage_seconds_sum{kind="diffusion",outcome="completed"})')
    assert waited >= 0
    assert 0 < drew <= took
    assert waited != drew


def test_outcomes_of_stages_and_of_jobs(scraped: Scraped) -> None:
    prometheus, _, ran = scraped
    stages = prometheus.by("outcome", 'sum by (outcome) (kerf_stage_seconds_count{kind="diffusion"})')
    assert stages == {"completed": ran.succeeded, "failed": ran.failed}
    jobs = prometheus.by("state", "sum by (state) (kerf_jobs_ended_total)")
    assert jobs == {"succeeded": ran.succeeded, "failed": ran.failed}
    reasons = prometheus.by("reason", 'sum by (reason) (kerf_jobs_ended_total{state="failed"})')
    assert reasons == {"INVALID_REQUEST": ran.failed}
    assert prometheus.one("sum(kerf_jobs_accepted_total)") == ran.created


def test_what_nobody_counts_has_no_series(scraped: Scraped) -> None:
    assert scraped[0].query("kerf_such_a_thing_does_not_exist") == {}


def test_a_machine_without_prometheus_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # neither prometheus nor apt-get
    with pytest.raises(NoPrometheus, match="apt-get install prometheus"):
        find_prometheus(tmp_path / "tools")
    assert list(tmp_path.iterdir()) == []
