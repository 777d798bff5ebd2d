"""kerf's side: a real embedded stack with a gateway and a worker that does nothing."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats

from bench.no_work.sides import Side, client_process, family
from kerf_core.streams import EVENTS, REQUESTS, WORK
from kerf_embedded.service import ServiceSpec, python_service
from kerf_embedded.state import StackInfo
from kerf_embedded.supervisor import EmbeddedStack

SLOTS = 64


@dataclass(frozen=True)
class KerfSides:
    """The whole path, the protocol's writes alone on the same NATS, and how many messages NATS has stored."""

    kerf: Side
    writes: Side
    info: StackInfo

    async def stored_messages(self) -> dict[str, int]:
        """Messages that each stream has stored so far; with `sync_interval: always` each is one synced write."""
        client = await nats.connect(self.info.nats_url, user=self.info.nats_user, password=self.info.nats_password)
        try:
            js = client.jetstream()
            names = (EVENTS, WORK, f"KV_{REQUESTS}")
            return {name: int((await js.stream_info(name)).state.last_seq) for name in names}
        finally:
            await client.close()


@asynccontextmanager
async def kerf_sides(folder: Path) -> AsyncIterator[KerfSides]:
    """Everything of kerf's side for the body, with the settings that an installation has by default."""
    noop = ServiceSpec("noop", (sys.executable, "-m", "kerf_core.noop"), {"KERF_NOOP_STAGE_SLOTS": str(SLOTS)})
    services = (python_service("gateway"), noop)
    async with AsyncExitStack() as exits:
        stack = await exits.enter_async_context(EmbeddedStack(folder, services=services, keep_data=False))
        info = stack.info
        caller = {"target": info.gateway_target, "api_key": info.api_key}
        server = {"url": info.nats_url, "user": info.nats_user, "password": info.nats_password}
        jobs = await exits.enter_async_context(client_process(sys.executable, "kerf_client", caller))
        writes = await exits.enter_async_context(client_process(sys.executable, "protocol_writes", server))

        def all_of_it() -> Mapping[str, Sequence[int]]:
            return {role: family(stack.pid(role)) for role in ("gateway", "noop", "nats", "s3")}

        def nats_alone() -> Mapping[str, Sequence[int]]:
            return {"nats": family(stack.pid("nats"))}

        yield KerfSides(Side("kerf", jobs, all_of_it), Side("protocol writes", writes, nats_alone), info)
        died = [name for name in stack.names if stack.restarts(name)]
        if died:
            raise RuntimeError(f"{', '.join(died)} died during the run: the figures mean nothing")
