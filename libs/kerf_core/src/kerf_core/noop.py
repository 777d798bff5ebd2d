"""A worker that does nothing, or fails on purpose: `python -m kerf_core.noop`. It proves the path and measures it."""

from __future__ import annotations

from pydantic import Field

from kerf_core.errors import Unavailable
from kerf_core.service import Parts, Runtime, run_service
from kerf_core.settings import ServiceSettings, load_settings, service_config
from kerf_core.stages import StageContext, StageResult


class NoopSettings(ServiceSettings):
    """kerf noop worker: runs stages that do nothing."""

    model_config = service_config("noop")

    stage_slots: int = Field(64, ge=1, le=1024, description="Stages at once.")


class NoopHandler:
    """Succeeds at once, or fails with the reason that the task names, retryably."""

    kind = "noop"

    async def run(self, context: StageContext) -> StageResult:
        """See StageHandler."""
        reason = context.stage.noop.fail_with
        if reason:
            raise Unavailable("NOOP_FAILED", reason)
        return StageResult(outputs=[], device_seconds=0.0)


def main() -> None:
    """Run until told to stop."""

    async def build(runtime: Runtime) -> Parts:
        return Parts(service_names=[], add=[], handler=NoopHandler())

    run_service("noop", load_settings(NoopSettings), build)


if __name__ == "__main__":
    main()
