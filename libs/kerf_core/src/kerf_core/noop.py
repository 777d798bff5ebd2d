"""A worker that does nothing, or fails on purpose: `python -m kerf_core.noop`. It proves the path and measures it."""

from __future__ import annotations

import asyncio
import time

from pydantic import Field

from kerf_core.errors import Unavailable
from kerf_core.service import Parts, Runtime, run_service
from kerf_core.settings import ServiceSettings, load_settings, service_config
from kerf_core.stages import StageContext, StageResult

_STEP_SECONDS = 0.25


class NoopSettings(ServiceSettings):
    """kerf noop worker: runs stages that do nothing."""

    model_config = service_config("noop")

    stage_slots: int = Field(64, ge=1, le=1024, description="Stages at once.")


class NoopHandler:
    """Holds its slot as long as the task says, then succeeds, or fails with the reason that it names, retryably."""

    kind = "noop"

    async def run(self, context: StageContext) -> StageResult:
        """See StageHandler."""
        task = context.stage.noop
        ends_at = time.monotonic() + task.seconds
        while (left := ends_at - time.monotonic()) > 0:
            context.cancel.raise_if_cancelled()
            context.progress(int(100 * (1 - left / task.seconds)), 100, eta_seconds=left)
            await asyncio.sleep(min(left, _STEP_SECONDS))
        reason = task.fail_with
        if reason:
            raise Unavailable("NOOP_FAILED", reason)
        return StageResult(outputs=[], device_seconds=task.seconds)


def main() -> None:
    """Run until told to stop."""

    async def build(runtime: Runtime) -> Parts:
        return Parts(service_names=[], add=[], handler=NoopHandler())

    run_service("noop", load_settings(NoopSettings), build)


if __name__ == "__main__":
    main()
