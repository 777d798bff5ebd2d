"""Runs one job to its end: progress on the way, cancelled if the person leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from kerf.jobs.v1.event_pb2 import JobEvent
from kerf.jobs.v1.job_pb2 import Job, JobState
from kerf_client.aio import AsyncKerf
from kerf_client.cli.console import Output
from kerf_client.errors import KerfError, ending_error
from kerf_client.progress import JobProgress

_CANCEL_TIMEOUT_S = 5.0
Listen = Callable[[JobEvent], None]


async def run_job(client: AsyncKerf, job: Job, output: Output) -> Job:
    """Create `job`, show its progress, return it after it ended well.

    If this is cancelled (Ctrl-C), the job is cancelled too. Raises JobFailed, JobCancelled and other KerfErrors.
    """
    creating = asyncio.ensure_future(client.create_job(job))
    try:
        # Shielded: an interrupt in the middle of accepting must not leave a job that nobody knows of.
        accepted = await asyncio.shield(creating)
        return await follow_job(client, accepted.name, output)
    except asyncio.CancelledError:
        await _cancel(client, creating, output)
        raise


async def follow_job(
    client: AsyncKerf, name: str, output: Output, *, after_sequence: int = 0, listen: Listen | None = None
) -> Job:
    """Show a job's progress, return it after it ended well; `listen` hears every event.

    Raises JobFailed and JobCancelled.
    """
    progress = JobProgress(name=name)
    with output.progress() as view:
        async with aclosing(client.watch(name, after_sequence=after_sequence)) as events:
            async for event in events:
                if listen is not None:
                    listen(event)
                view.update(progress, progress.apply(event))
    job = await client.get_job(name)
    if job.state != JobState.JOB_STATE_SUCCEEDED:
        raise ending_error(job)
    return job


async def _cancel(client: AsyncKerf, creating: asyncio.Future[Job], output: Output) -> None:
    name = "the job"
    try:
        async with asyncio.timeout(_CANCEL_TIMEOUT_S):
            name = (await creating).name
            await client.cancel_job(name, "interrupted by the user")
        output.note(f"{name} cancelled")
    except TimeoutError:
        output.warn(f"{name} could not be cancelled in time; `kerf jobs cancel` does it later")
    except KerfError as error:
        output.warn(f"{name} could not be cancelled: {error.message}")
