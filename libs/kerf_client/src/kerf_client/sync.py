"""The synchronous client: the asynchronous one, driven from a thread of its own. One implementation of the logic."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from kerf.admin.v1.admin_pb2 import TenantDeletion
from kerf.artifacts.v1.artifacts_pb2 import Artifact, CreateDownloadUrlResponse
from kerf.jobs.v1.batch_pb2 import Batch
from kerf.jobs.v1.estimate_pb2 import JobEstimate
from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import Job
from kerf.jobs.v1.job_service_pb2 import DeadLetter, JobFilter
from kerf.jobs.v1.queue_pb2 import QueueStats
from kerf.monitor.v1.monitor_pb2 import GetHealthResponse, GetNodeResponse, NodeSnapshot, Session
from kerf.optimizer.v1.optimizer_pb2 import (
    ListPresetsResponse,
    MakeKerfTestRequest,
    MakeKerfTestResponse,
    MakeTestGridRequest,
    MakeTestGridResponse,
)
from kerf.optimizer.v1.plan_pb2 import OperationKind
from kerf_client import transfers
from kerf_client.aio import AsyncKerf
from kerf_client.calls import ConnectedClient
from kerf_client.connection import RetryPolicy, Tls
from kerf_client.datasets import Uploaded, UploadedDataset
from kerf_client.monitor import AsyncMonitor
from kerf_client.optimizer import AsyncOptimizer

T = TypeVar("T")
Client = TypeVar("Client", bound=ConnectedClient)
_END: Any = object()


def _drop_poller_noise(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # grpc.aio polls one descriptor from every loop of the process; the loop that comes second logs a harmless
    # BlockingIOError (grpc issue 35297). Anything else is reported as usual.
    if not isinstance(context.get("exception"), BlockingIOError):
        loop.default_exception_handler(context)


class _LoopThread:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_drop_poller_noise)
        self._thread = threading.Thread(target=self._loop.run_forever, name="kerf-client", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the loop and wait; an interrupt of the caller (Ctrl-C) cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, make: Callable[[], AsyncGenerator[T, None]]) -> Iterator[T]:
        """The items of an asynchronous generator, which is closed when the caller leaves."""
        source = make()

        async def following() -> T:
            return await anext(source, _END)

        try:
            while (item := self.call(following())) is not _END:
                yield item
        finally:
            self.call(source.aclose())

    def stop(self) -> None:
        """End the loop and the thread."""
        if self._loop.is_closed():
            return
        self.call(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Blocking(Generic[Client]):
    """A client of the kind `_kind`, driven from a thread of its own. Use it as a context manager; thread-safe."""

    _kind: type[Client]

    def __init__(self, target: str, api_key: str, *, tls: Tls | None = None, policy: RetryPolicy | None = None) -> None:
        self._runner = _LoopThread()

        async def connect() -> Client:
            return self._kind(target, api_key, tls=tls, policy=policy)

        try:
            self._client = self._runner.call(connect())
        except BaseException:
            self._runner.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all calls, close the connection, end the thread."""
        self._runner.call(self._client.close())
        self._runner.stop()


class Kerf(_Blocking[AsyncKerf]):
    """The same as `AsyncKerf`, for code without an event loop. Use it as a context manager; thread-safe."""

    _kind = AsyncKerf

    def create_job(self, job: Job, *, request_id: str = "") -> Job:
        """See `AsyncKerf.create_job`."""
        return self._runner.call(self._client.create_job(job, request_id=request_id))

    def get_job(self, name: str) -> Job:
        """See `AsyncKerf.get_job`."""
        return self._runner.call(self._client.get_job(name))

    def list_jobs(self, *, filter: JobFilter | None = None, page_size: int = 0) -> Iterator[Job]:
        """See `AsyncKerf.list_jobs`."""
        return self._runner.iterate(lambda: self._client.list_jobs(filter=filter, page_size=page_size))

    def cancel_job(self, name: str, reason: str = "") -> Job:
        """See `AsyncKerf.cancel_job`."""
        return self._runner.call(self._client.cancel_job(name, reason))

    def retry_job(self, name: str, *, request_id: str = "") -> Job:
        """See `AsyncKerf.retry_job`."""
        return self._runner.call(self._client.retry_job(name, request_id=request_id))

    def watch(self, name: str, *, after_sequence: int = 0, durable_only: bool = False) -> Iterator[JobEvent]:
        """See `AsyncKerf.watch`."""
        return self._runner.iterate(
            lambda: self._client.watch(name, after_sequence=after_sequence, durable_only=durable_only)
        )

    def run(self, job: Job, *, request_id: str = "", durable_only: bool = False) -> Iterator[JobEvent]:
        """See `AsyncKerf.run`."""
        return self._runner.iterate(lambda: self._client.run(job, request_id=request_id, durable_only=durable_only))

    def wait(self, name: str) -> Job:
        """See `AsyncKerf.wait`."""
        return self._runner.call(self._client.wait(name))

    def create_batch(self, jobs: Iterable[Job], *, request_id: str = "") -> Batch:
        """See `AsyncKerf.create_batch`."""
        return self._runner.call(self._client.create_batch(jobs, request_id=request_id))

    def get_batch(self, name: str) -> Batch:
        """See `AsyncKerf.get_batch`."""
        return self._runner.call(self._client.get_batch(name))

    def watch_batch(self, name: str) -> Iterator[Batch]:
        """See `AsyncKerf.watch_batch`."""
        return self._runner.iterate(lambda: self._client.watch_batch(name))

    def cancel_batch(self, name: str, reason: str = "") -> Batch:
        """See `AsyncKerf.cancel_batch`."""
        return self._runner.call(self._client.cancel_batch(name, reason))

    def estimate_job(self, job: Job) -> JobEstimate:
        """See `AsyncKerf.estimate_job`."""
        return self._runner.call(self._client.estimate_job(job))

    def get_queue_stats(self) -> QueueStats:
        """See `AsyncKerf.get_queue_stats`."""
        return self._runner.call(self._client.get_queue_stats())

    def watch_queue(self, *, interval: timedelta | None = None) -> Iterator[QueueStats]:
        """See `AsyncKerf.watch_queue`."""
        return self._runner.iterate(lambda: self._client.watch_queue(interval=interval))

    def list_dead_letters(self, *, page_size: int = 0) -> Iterator[DeadLetter]:
        """See `AsyncKerf.list_dead_letters`."""
        return self._runner.iterate(lambda: self._client.list_dead_letters(page_size=page_size))

    def retry_dead_letter(self, tenant: str, name: str, *, request_id: str = "") -> Job:
        """See `AsyncKerf.retry_dead_letter`."""
        return self._runner.call(self._client.retry_dead_letter(tenant, name, request_id=request_id))

    def delete_tenant(self, tenant: str) -> TenantDeletion:
        """See `AsyncKerf.delete_tenant`."""
        return self._runner.call(self._client.delete_tenant(tenant))

    def get_tenant_deletion(self, tenant: str) -> TenantDeletion:
        """See `AsyncKerf.get_tenant_deletion`."""
        return self._runner.call(self._client.get_tenant_deletion(tenant))

    def upload(self, source: bytes | Path, *, max_bytes: int = transfers.DEFAULT_MAX_UPLOAD_BYTES) -> Artifact:
        """See `AsyncKerf.upload`."""
        return self._runner.call(self._client.upload(source, max_bytes=max_bytes))

    def upload_dataset(
        self, folder: Path, *, caption_suffix: str = "", uploaded: Uploaded | None = None
    ) -> UploadedDataset:
        """See `AsyncKerf.upload_dataset`; `uploaded` is called from the client's own thread."""
        return self._runner.call(self._client.upload_dataset(folder, caption_suffix=caption_suffix, uploaded=uploaded))

    def download(self, name: str, *, job: str = "", max_bytes: int = transfers.DEFAULT_MAX_DOWNLOAD_BYTES) -> bytes:
        """See `AsyncKerf.download`."""
        return self._runner.call(self._client.download(name, job=job, max_bytes=max_bytes))

    def get_artifact(self, name: str) -> Artifact:
        """See `AsyncKerf.get_artifact`."""
        return self._runner.call(self._client.get_artifact(name))

    def list_artifacts(self, *, page_size: int = 0) -> Iterator[Artifact]:
        """See `AsyncKerf.list_artifacts`."""
        return self._runner.iterate(lambda: self._client.list_artifacts(page_size=page_size))

    def delete_artifact(self, name: str) -> None:
        """See `AsyncKerf.delete_artifact`."""
        self._runner.call(self._client.delete_artifact(name))

    def create_download_url(self, name: str, *, expires_in: timedelta) -> CreateDownloadUrlResponse:
        """See `AsyncKerf.create_download_url`."""
        return self._runner.call(self._client.create_download_url(name, expires_in=expires_in))


class Monitor(_Blocking[AsyncMonitor]):
    """The same as `AsyncMonitor`, for code without an event loop. Use it as a context manager; thread-safe."""

    _kind = AsyncMonitor

    def get_node(self, *, history: timedelta | None = None, max_snapshots: int = 0) -> GetNodeResponse:
        """See `AsyncMonitor.get_node`."""
        return self._runner.call(self._client.get_node(history=history, max_snapshots=max_snapshots))

    def get_health(self) -> GetHealthResponse:
        """See `AsyncMonitor.get_health`."""
        return self._runner.call(self._client.get_health())

    def list_sessions(self, *, job: str = "", page_size: int = 0) -> Iterator[Session]:
        """See `AsyncMonitor.list_sessions`."""
        return self._runner.iterate(lambda: self._client.list_sessions(job=job, page_size=page_size))

    def watch_node(self, *, interval: timedelta | None = None) -> Iterator[NodeSnapshot]:
        """See `AsyncMonitor.watch_node`."""
        return self._runner.iterate(lambda: self._client.watch_node(interval=interval))


class Optimizer(_Blocking[AsyncOptimizer]):
    """The same as `AsyncOptimizer`, for code without an event loop. Use it as a context manager; thread-safe."""

    _kind = AsyncOptimizer

    def list_presets(
        self,
        *,
        machine: str = "",
        material: str = "",
        kind: OperationKind.ValueType = OperationKind.OPERATION_KIND_UNSPECIFIED,
    ) -> ListPresetsResponse:
        """See `AsyncOptimizer.list_presets`."""
        return self._runner.call(self._client.list_presets(machine=machine, material=material, kind=kind))

    def make_test_grid(self, request: MakeTestGridRequest) -> MakeTestGridResponse:
        """See `AsyncOptimizer.make_test_grid`."""
        return self._runner.call(self._client.make_test_grid(request))

    def make_kerf_test(self, request: MakeKerfTestRequest) -> MakeKerfTestResponse:
        """See `AsyncOptimizer.make_kerf_test`."""
        return self._runner.call(self._client.make_kerf_test(request))
