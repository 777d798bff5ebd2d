"""What is written down about the deletion of tenants, and what is refused meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerf.admin.v1.admin_pb2 import TenantDeletion
from kerf_core.bus import Conflict, OutcomeUnknown, Stored
from kerf_core.errors import FailedPrecondition, NotFound, ResourceExhausted
from kerf_core.stages import TenantId
from kerf_gateway.admission import Admission
from kerf_gateway.settings import GatewaySettings
from kerf_gateway.tenants.deletions import DeletionBook

ACME, OTHER = TenantId("acme"), TenantId("other")


class Config:
    """`kerf_config` in memory. Each trouble befalls one append: another writer was first, or the answer is lost."""

    def __init__(self) -> None:
        self.stored: Stored | None = None
        self.troubles: list[str] = []

    async def last(self, stream: str, subject: str) -> Stored | None:
        return self.stored

    async def append(self, subject: str, data: bytes, *, expected: int, timeout: float) -> int:
        trouble = self.troubles.pop(0) if self.troubles else ""
        if trouble == "lost on the way":
            raise OutcomeUnknown
        at = self.stored.sequence if self.stored else 0
        if trouble == "another first":
            self.stored = Stored(at + 1, subject, self.stored.data if self.stored else b"")
            raise Conflict
        assert expected == at
        self.stored = Stored(at + 1, subject, data)
        if trouble == "answer lost":
            raise OutcomeUnknown
        return at + 1


@pytest.fixture
def config() -> Config:
    return Config()


@pytest.fixture
def book(config: Config) -> DeletionBook:
    return DeletionBook(config)  # type: ignore[arg-type]  # the two calls that a book makes


@pytest.mark.parametrize("trouble", ["", "another first", "answer lost", "lost on the way"])
async def test_figures_are_added_once_whatever_happens_to_the_answer(
    trouble: str, book: DeletionBook, config: Config
) -> None:
    await book.begin(ACME)
    await book.add(TenantDeletion(tenant=ACME, jobs=2), done=False)
    config.troubles = [trouble]
    await book.add(TenantDeletion(tenant=ACME, jobs=3, artifacts=1), done=False)
    shown = await book.show(ACME)
    assert (shown.jobs, shown.artifacts) == (5, 1)


async def test_a_deletion_is_begun_once_and_again_after_its_end(book: DeletionBook) -> None:
    first = TenantDeletion()
    first.CopyFrom(await book.begin(ACME))
    await book.add(TenantDeletion(tenant=ACME, jobs=2), done=False)
    assert (await book.begin(ACME)).create_time == first.create_time
    assert [deletion.tenant for deletion in book.in_state(done=False)] == [ACME]
    await book.add(TenantDeletion(tenant=ACME), done=True)
    assert [deletion.jobs for deletion in book.in_state(done=True)] == [2]
    assert (await book.begin(ACME)).jobs == 0
    with pytest.raises(NotFound):
        await book.show(OTHER)


async def test_nothing_comes_in_for_a_tenant_that_is_being_deleted(book: DeletionBook) -> None:
    admission = Admission(book, GatewaySettings())
    await book.begin(ACME)
    admission.check(OTHER)
    with pytest.raises(FailedPrecondition) as refusal:
        admission.check(ACME)
    assert refusal.value.reason == "TENANT_BEING_DELETED"
    await book.add(TenantDeletion(tenant=ACME), done=True)
    admission.check(ACME)


@pytest.mark.parametrize("least, admitted", [(0, True), (1 << 62, False)])
def test_what_is_left_of_the_disk_is_kept(least: int, admitted: bool, book: DeletionBook, tmp_path: Path) -> None:
    Admission(book, GatewaySettings(min_free_bytes=least)).check(ACME)  # no embedded store: no disk to look at
    unknown = GatewaySettings(min_free_bytes=least, s3_flush_path=tmp_path / "away")
    Admission(book, unknown).check(ACME)
    admission = Admission(book, GatewaySettings(min_free_bytes=least, s3_flush_path=tmp_path))
    if admitted:
        admission.check(ACME)
    else:
        with pytest.raises(ResourceExhausted) as refusal:
            admission.check(ACME)
        assert refusal.value.reason == "STORAGE_FULL"
        assert refusal.value.retry_after is not None
