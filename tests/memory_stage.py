"""A store and a stage in memory, for tests of what a service does with them. The real ones are tested end to end."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import Stage
from kerf_core.errors import NotFound
from kerf_core.stages import CancelToken, JobId, TenantId

P = ParamSpec("P")
R = TypeVar("R")
TENANT = TenantId("tenant-1")


class MemoryStore:
    """What `BlobStore` promises, without S3."""

    def __init__(self) -> None:
        self.kept: dict[tuple[TenantId, str], tuple[bytes, Artifact]] = {}

    async def put(
        self,
        tenant: TenantId,
        data: bytes,
        media_type: str,
        *,
        size_px: tuple[int, int] = (0, 0),
        size_mm: tuple[float, float] = (0.0, 0.0),
    ) -> Artifact:
        sha256 = hashlib.sha256(data).hexdigest()
        artifact = Artifact(
            name=f"artifacts/{sha256}",
            sha256=sha256,
            media_type=media_type,
            size_bytes=len(data),
            width_px=size_px[0],
            height_px=size_px[1],
            width_mm=size_mm[0],
            height_mm=size_mm[1],
        )
        self.kept[tenant, sha256] = (data, artifact)
        return artifact

    async def get(self, tenant: TenantId, sha256: str) -> bytes:
        await self.stat(tenant, sha256)
        return self.kept[tenant, sha256][0]

    async def stat(self, tenant: TenantId, sha256: str) -> Artifact:
        if (tenant, sha256) not in self.kept:
            raise NotFound("ARTIFACT_NOT_FOUND", f"artifacts/{sha256} does not exist")
        return self.kept[tenant, sha256][1]


@dataclass
class MemoryStage:
    """A `StageContext` over a `MemoryStore`."""

    stage: Stage
    inputs: list[list[Artifact]] = field(default_factory=list)
    store_: MemoryStore = field(default_factory=MemoryStore)
    tenant: TenantId = TENANT
    job: JobId = JobId("job-1")  # noqa: RUF009 - a string
    attempt: int = 1
    cancel: CancelToken = field(default_factory=CancelToken)
    steps: list[tuple[int, int]] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    previews: list[bytes] = field(default_factory=list)
    checkpoints: list[tuple[int, bytes]] = field(default_factory=list)
    saved: list[Artifact] = field(default_factory=list)
    at_step: Callable[[int], None] = lambda step: None
    """Called with every step of progress, in the thread that reports it."""

    async def read(self, artifact: Artifact) -> bytes:
        return await self.store_.get(self.tenant, artifact.sha256)

    async def store(
        self,
        data: bytes,
        media_type: str,
        *,
        size_px: tuple[int, int] = (0, 0),
        size_mm: tuple[float, float] = (0.0, 0.0),
        labels: dict[str, str] | None = None,
        rebuildable: bool = False,
    ) -> Artifact:
        self.cancel.raise_if_cancelled()
        artifact = await self.store_.put(self.tenant, data, media_type, size_px=size_px, size_mm=size_mm)
        artifact.labels.update(labels or {})
        artifact.rebuildable = rebuildable
        return artifact

    async def compute(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(work, *args, **kwargs)

    def progress(
        self,
        step: int,
        total: int,
        *,
        eta_seconds: float = -1.0,
        message: str = "",
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        self.steps.append((step, total))
        if metrics:
            self.metrics.append(dict(metrics))
        self.at_step(step)

    def log(self, message: str, level: str = "info") -> None:
        self.lines.append((level, message))

    def preview(self, image: int, step: int, png: bytes) -> None:
        self.previews.append(png)

    async def save_checkpoint(self, step: int, data: bytes) -> None:
        self.checkpoints.append((step, data))

    async def latest_checkpoint(self) -> tuple[int, bytes] | None:
        return self.checkpoints[-1] if self.checkpoints else None

    async def save_on_cancel(self, data: bytes, media_type: str, *, labels: dict[str, str] | None = None) -> Artifact:
        artifact = await self.store_.put(self.tenant, data, media_type)
        artifact.labels.update(labels or {})
        self.saved.append(artifact)
        return artifact
