"""The stack with three NATS servers that keep three copies of every stream, on routes that can be held."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import nats.errors
import nats.js.errors

from chaos.faults.schedule import NODES, link
from kerf_core.bus import Bus
from kerf_core.errors import DeadlineExceeded
from kerf_core.settings import ServiceSettings
from kerf_core.streams import bucket_configs, stream_configs
from kerf_embedded.bootstrap import bootstrap
from kerf_embedded.credentials import Credentials
from kerf_embedded.files import write_private
from kerf_embedded.nats_server import NAME, nats_program, nats_url
from kerf_embedded.ports import LOOPBACK, PortBook
from kerf_embedded.process import Program
from kerf_embedded.service import ServiceSpec
from kerf_embedded.state import StackInfo
from kerf_embedded.supervisor import EmbeddedStack

ROUTES = tuple((dialer, listener) for dialer in NODES for listener in NODES if dialer > listener)
"""Who connects to whom. One way only: a route that nobody else may open can be held."""
_NOWHERE = f"{LOOPBACK}:1"
_LOOK_S = 0.2


def routes_of(node: str) -> list[str]:
    """The links between a server and the other two."""
    return [link(*ends) for ends in ROUTES if node in ends]


def route_port(node: str) -> str:
    """Name of the port on which a server expects the others."""
    return f"{node}_route"


class ClusterStack(EmbeddedStack):
    """An `EmbeddedStack` with the servers of `NODES` in place of `nats`; `links` has the ports of the routes' links."""

    def __init__(self, root: Path, *, services: Sequence[ServiceSpec], links: Mapping[str, int]) -> None:
        super().__init__(root, services=services, bootstrap=_bootstrap)
        self._ports: dict[str, int] = {}
        self._folder = root
        self._links = links

    def _programs(self, ports: Mapping[str, int], credentials: Credentials) -> list[Program]:
        book = PortBook(self._folder / "ports.json")  # the others are free, and so they stay as they are
        self._ports = book.assign([*ports, *NODES, *map(route_port, NODES)])
        others = [program for program in super()._programs(ports, credentials) if program.name != NAME]
        return [self._node(name, credentials) for name in NODES] + others

    def _node(self, name: str, credentials: Credentials) -> Program:
        """The embedded server's own configuration, and the cluster."""
        folder, port = self._folder / name, self._ports[name]
        program = nats_program(folder, self._folder / "logs" / f"{name}.log", port, credentials)
        own = self._ports[route_port(name)]  # who is given no route starts alone; one to itself it forgets
        dials = [own, *(self._links[link(*ends)] for ends in ROUTES if ends[0] == name)]
        config = folder / "nats.conf"
        # The others hear of an address where nobody answers: else they would meet past the links.
        cluster = f"""cluster {{
  name: kerf
  host: "{LOOPBACK}"
  port: {own}
  advertise: "{_NOWHERE}"
  no_advertise: true
  routes: {json.dumps([nats_url(dial) for dial in dials])}
}}
"""
        write_private(config, config.read_text().replace("kerf-embedded", name) + cluster)
        return replace(program, name=name, ports=(port, own))

    def _describe(self, ports: Mapping[str, int], credentials: Credentials) -> StackInfo:
        urls = ",".join(nats_url(self._ports[name]) for name in NODES)
        return replace(super()._describe(ports, credentials), nats_url=urls)


async def _bootstrap(info: StackInfo) -> None:
    """At the start any of the servers will do."""
    await bootstrap(replace(info, nats_url=info.nats_url.partition(",")[0]))


@asynccontextmanager
async def bus_of(info: StackInfo) -> AsyncIterator[Bus]:
    """A connection to NATS past every link."""
    settings = ServiceSettings.model_construct(
        nats_url=info.nats_url,
        nats_user=info.nats_user,
        nats_password=ServiceSettings.model_validate({"nats_password": info.nats_password}).nats_password,
    )
    bus = await Bus.connect(settings, "faults")
    try:
        yield bus
    finally:
        await bus.close()


async def copies_agree(info: StackInfo, within: timedelta) -> None:
    """Return once every stream has a leader that has heard from all its copies. Raises DeadlineExceeded."""
    give_up_at = time.monotonic() + within.total_seconds()
    streams = [str(config.name) for config in stream_configs(len(NODES))]
    streams += [f"KV_{config.bucket}" for config in bucket_configs(ServiceSettings.model_construct())]
    async with bus_of(info) as bus:
        while not all([await _agrees(bus, stream) for stream in streams]):
            if time.monotonic() > give_up_at:
                raise DeadlineExceeded("NOT_READY", f"the copies of the streams do not agree after {within}")
            await asyncio.sleep(_LOOK_S)


async def _agrees(bus: Bus, stream: str) -> bool:
    try:
        cluster = (await bus.js.stream_info(stream)).cluster
    except (nats.errors.Error, nats.js.errors.Error, TimeoutError):
        return False
    copies = [] if cluster is None else cluster.replicas or []
    return len(copies) == len(NODES) - 1 and all(copy.current and not copy.offline for copy in copies)
