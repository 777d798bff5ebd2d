"""The fake gateway beside code that blocks or runs its own loop."""

from __future__ import annotations

import asyncio
import threading

from kerf.monitor.v1.monitor_pb2_grpc import MonitorServiceServicer
from unit.client.client_fake_gateway import FakeGateway, Produce


class ThreadedGateway:
    """A fake gateway on a loop and a thread of its own, for code that blocks or runs its own loop."""

    def __init__(self, produce: Produce | None = None, monitor: MonitorServiceServicer | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        # Two loops of one process share grpc's poller; the second hears a harmless BlockingIOError.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

        async def make() -> FakeGateway:
            gateway = FakeGateway(produce, monitor)
            await gateway.start()
            return gateway

        self.gateway = asyncio.run_coroutine_threadsafe(make(), self._loop).result(10)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.gateway.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
