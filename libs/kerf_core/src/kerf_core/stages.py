"""What a worker service implements, and what it is given, to run the stages of jobs.

The stage runner (`kerf_core.jobs.runner`) owns the protocol: delivery, attempts, heartbeat, commit. A handler owns the
work: it reads its inputs, computes in a worker thread, stores its outputs and returns them. It never sees NATS.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NewType, ParamSpec, Protocol, TypeVar

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import ItemFailure, ModelUse, Stage
from kerf_core.errors import WorkCancelled

TenantId = NewType("TenantId", str)
JobId = NewType("JobId", str)
P = ParamSpec("P")
R = TypeVar("R")


class CancelToken:
    """Tells a compute thread to stop. Thread-safe; set once, never reset."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason = ""

    def cancel(self, reason: str) -> None:
        """Ask the holder to stop; the first reason stays."""
        if not self._event.is_set():
            self.reason = reason
            self._event.set()

    @property
    def cancelled(self) -> bool:
        """True once somebody asked to stop."""
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Raise `WorkCancelled` if somebody asked to stop. Call it at least once per denoising step."""
        if self._event.is_set():
            raise WorkCancelled("CANCELLED", self.reason)


@dataclass(frozen=True)
class StageResult:
    """What a handler returns. Outputs were stored through the context; their order is the order of the items."""

    outputs: list[Artifact]
    item_failures: list[ItemFailure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    models: list[ModelUse] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    numeric_class: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    device_seconds: float = -1.0  # negative = not known


class StageContext(Protocol):
    """What a handler is given."""

    tenant: TenantId
    job: JobId
    stage: Stage
    attempt: int
    inputs: list[list[Artifact]]
    """One list per `stage.inputs`, references already resolved."""
    cancel: CancelToken

    async def read(self, artifact: Artifact) -> bytes:
        """The bytes of an input, checked against their SHA-256.

        Raises NotFound, DataLoss, Unavailable.
        """
        ...

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
        """Store an output under its SHA-256. Nothing is visible to anybody before the stage commits."""
        ...

    async def compute(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run blocking work in a worker thread, off the event loop. The thread must look at `cancel` by itself."""
        ...

    def progress(
        self,
        step: int,
        total: int,
        *,
        eta_seconds: float = -1.0,
        message: str = "",
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Report how far the stage is, and that it advances. Thread-safe, cheap, may be called at any rate."""
        ...

    def log(self, message: str, level: str = "info") -> None:
        """Write a line for people into the job's log (`info`, `warning` or `error`). Thread-safe, bounded."""
        ...

    async def save_checkpoint(self, step: int, data: bytes) -> None:
        """Save what a later attempt continues from; `step` need not be done again. Allowed when cancelled too.

        Raises WorkCancelled if another attempt took over, ResourceExhausted, Unavailable.
        """
        ...

    async def latest_checkpoint(self) -> tuple[int, bytes] | None:
        """The newest checkpoint of this stage whose bytes are whole: (step, bytes). Raises Unavailable."""
        ...

    async def save_on_cancel(self, data: bytes, media_type: str, *, labels: dict[str, str] | None = None) -> Artifact:
        """Store what there is, although the stage is cancelled; the job's last entry names it."""
        ...

    def preview(self, image: int, step: int, png: bytes) -> None:
        """Show a picture in the making (at most 64 KiB). Thread-safe; may be lost."""
        ...


class StageHandler(Protocol):
    """The work of one kind of worker."""

    kind: str
    """Name of its queue: `diffusion`, `optimizer` …"""

    async def run(self, context: StageContext) -> StageResult:
        """Do `context.stage`.

        Raises KerfError: with `retryable` the stage is tried again, otherwise the job fails with it. A failure of one
        item among several belongs into `item_failures`; if every item failed, raise the first item's error.
        """
        ...
