"""Several processes that train one model: each takes steps alone, and now and then they take the mean of their states.

This is local SGD (Stich, 2019). Threads that share every operation wait for one another all the time when the machine
is busy with something else; processes that meet every few steps do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.multiprocessing

# How long a worker waits for the slowest before it takes it for dead.
_MEETING_TIMEOUT_S = 900.0


class Barrier(Protocol):
    """Where `size` workers wait for one another: that of `multiprocessing` or of `threading`."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all have come."""
        ...


@dataclass(frozen=True, slots=True)
class Team:
    """One worker's place among `size` workers; `shared` is their memory, (size, N) float32."""

    rank: int
    size: int
    shared: torch.Tensor
    barrier: Barrier | None

    def meet(self) -> None:
        """Wait until all workers are here, so that none saves what another has yet to read."""
        if self.barrier is not None:
            self.barrier.wait(_MEETING_TIMEOUT_S)

    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace the tensors, of N elements in all, by their mean over the workers; all must call it.

        Raises threading.BrokenBarrierError if another worker has died.
        """
        if self.size == 1:
            return
        with torch.no_grad():
            torch.cat([tensor.reshape(-1) for tensor in tensors], out=self.shared[self.rank])
            self.meet()
            mean = self.shared.mean(dim=0)
            self.meet()
            parts = mean.split([tensor.numel() for tensor in tensors])
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view_as(tensor))


@contextmanager
def team(size: int, elements: int, work: Callable[[Team], object]) -> Iterator[Team]:
    """Run `work` in `size - 1` other processes; the caller works as rank 0 with the team that it gets.

    `work` must be picklable; each process has one thread. When the block ends or fails, the others end too.
    """
    shared = torch.zeros((size, elements)).share_memory_()
    context = torch.multiprocessing.get_context("spawn")
    barrier = context.Barrier(size) if size > 1 else None
    others = [
        context.Process(target=_work_alone, args=(work, Team(rank, size, shared, barrier)), daemon=True)
        for rank in range(1, size)
    ]
    for process in others:
        process.start()
    try:
        yield Team(0, size, shared, barrier)
    except BaseException:
        if barrier is not None:
            barrier.abort()
        raise
    finally:
        for process in others:
            process.join()


def _work_alone(work: Callable[[Team], object], place: Team) -> None:
    torch.set_num_threads(1)
    work(place)
