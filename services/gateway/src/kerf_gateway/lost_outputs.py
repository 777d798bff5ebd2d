"""A job's output that S3 has lost: made again if that can be done, while whoever wants it waits and asks again."""

from __future__ import annotations

from datetime import timedelta

from kerf_core.bus import Bus
from kerf_core.errors import KerfError, NotFound, Unavailable
from kerf_core.jobs.log import read_entries
from kerf_core.jobs.names import JobRef
from kerf_core.jobs.outcome import completed_stages
from kerf_core.jobs.rebuild import ask_for_rebuild
from kerf_gateway.retention import Archive
from kerf_gateway.settings import GatewaySettings

_ASK_AGAIN = timedelta(seconds=1)


class LostOutputs:
    """Knows from a job's log what its outputs were."""

    def __init__(self, bus: Bus, archive: Archive, settings: GatewaySettings) -> None:
        self._bus = bus
        self._archive = archive
        self._settings = settings

    async def make_again(self, ref: JobRef, sha256: str) -> KerfError:
        """What to tell a caller whose output is gone from the store, or damaged there.

        Unavailable while a job makes it again. Raises NotFound (the job has no such output), DataLoss (it cannot be
        made again), Unavailable (NATS).
        """
        entries = await read_entries(self._bus, ref) or await self._archive.read(ref)
        outputs = [output for done in completed_stages(entries).values() for output in done.outputs]
        lost = next((output for output in outputs if output.sha256 == sha256), None)
        if lost is None:
            raise NotFound("ARTIFACT_NOT_FOUND", f"artifacts/{sha256} does not exist, and is no output of {ref.name}")
        maker = await ask_for_rebuild(self._bus, self._settings, ref, entries, lost)
        return Unavailable(
            "ARTIFACT_BEING_REBUILT",
            f"the store has lost artifacts/{sha256}, which {maker} makes again: ask again in a moment",
            retry_after=_ASK_AGAIN,
            metadata={"job": maker},
        )
