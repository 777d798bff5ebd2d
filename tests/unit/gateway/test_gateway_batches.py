"""A batch that was accepted a moment ago: the view may not have heard of it yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from kerf.jobs.v1.event_pb2 import Accepted, BatchPlace, JobEvent, JobHead
from kerf.jobs.v1.job_pb2 import Job, JobState, NoopTask, Stage
from kerf_core.errors import NotFound
from kerf_core.jobs.names import JobRef, drawn_at, new_job_id
from kerf_core.jobs.view import JobView
from kerf_core.stages import TenantId
from kerf_gateway.batches import Batches
from kerf_gateway.settings import GatewaySettings

TENANT = TenantId("local")
LONG_AGO = "000000001" + "0" * 11


class Feed:
    """Tells what the test says, when it says so."""

    def listen(self, listener: Callable[[JobRef, JobEvent], None]) -> None:
        self.tell = listener


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture
def batches(feed: Feed) -> Batches:
    view = JobView(feed)  # type: ignore[arg-type]  # all of a feed that a view uses
    return Batches(None, view, GatewaySettings())  # type: ignore[arg-type]  # showing asks the view alone


def tell_of(feed: Feed, name: str) -> None:
    place = BatchPlace(name=name, index=0, size=1)
    head = JobHead(state=JobState.JOB_STATE_QUEUED, kinds=["noop"], batch=place)
    accepted = Accepted(job=Job(stages=[Stage(id="a", noop=NoopTask())]), batch=place)
    feed.tell(JobRef(TENANT, new_job_id()), JobEvent(sequence=1, accepted=accepted, head=head))


async def test_a_batch_that_is_not_heard_of_yet_is_waited_for(batches: Batches, feed: Feed) -> None:
    name = f"batches/{new_job_id()}"
    asked = asyncio.create_task(batches.show(TENANT, name))
    await asyncio.sleep(0)
    assert not asked.done()
    tell_of(feed, name)
    assert (await asked).size == 1


async def test_a_batch_that_never_was_is_refused(batches: Batches) -> None:
    began = time.monotonic()
    with pytest.raises(NotFound, match="does not exist"):
        await batches.show(TENANT, f"batches/{LONG_AGO}")
    assert time.monotonic() - began < 1  # an old id is not waited for
    with pytest.raises(NotFound, match="does not exist"):
        await batches.show(TENANT, f"batches/{new_job_id()}")


def test_an_id_tells_when_it_was_drawn() -> None:
    drawn = drawn_at(new_job_id())
    assert drawn is not None
    assert abs(drawn - time.time()) < 1
    assert drawn_at(LONG_AGO) == 0.001
    assert drawn_at("christmas") is None
