"""The stack that is put under faults: two gateways and four workers, each on links of its own to NATS and S3."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from chaos.faults.nodes import ROUTES, ClusterStack, copies_agree, route_port, routes_of
from chaos.faults.power import VOLUMES, Mains
from chaos.faults.proxy import Link, Protocol
from chaos.faults.schedule import DOORS, GATEWAYS, NODES, SERVICES, WORKERS, link
from kerf_core.errors import FailedPrecondition
from kerf_embedded.nats_server import nats_url
from kerf_embedded.s3_server import s3_endpoint
from kerf_embedded.service import ServiceSpec
from kerf_embedded.state import StackInfo
from kerf_embedded.supervisor import EmbeddedStack
from stack_thread import QUICK

ACK_WAIT_S = float(QUICK["ACK_WAIT"])
MAX_ATTEMPTS = 20
STACK = "stack"
"""Its folder, below that of the run."""
_KINDS = {"draw1": "diffusion", "draw2": "diffusion", "burn1": "optimizer", "train1": "trainer"}
_MODULES = Path(__file__).resolve().parents[2]
SETTINGS = {
    "MAX_ATTEMPTS": str(MAX_ATTEMPTS),
    "S3_TIMEOUT": "2",
    "S3_RETRY_FOR": "8",
    "STAGE_SLOTS": "4",
    "LOG_LEVEL": "INFO",
}


@dataclass
class FaultyStack:
    """What runs, and the places where it can be disturbed."""

    root: Path
    services: list[ServiceSpec]
    stack: EmbeddedStack
    links: dict[str, Link]
    doors: list[str]
    """Targets of the gateways, through the clients' links."""
    journals: Path
    info: StackInfo = field(init=False)
    _restarts_before: Counter[str] = field(default_factory=Counter)

    def restarts(self, name: str) -> int:
        """How often its supervisor started a process again, those of before a power cut too."""
        return self._restarts_before[name] + self.stack.restarts(name)

    def link_of(self, target: str) -> Link:
        """Of a service's links to the servers of a cluster, the one that is in use."""
        service, _, server = target.partition(">")
        if target in self.links:
            return self.links[target]
        ways = [self.links[link(service, node)] for node in NODES if server == "nats"]
        return next((way for way in ways if way.carries), ways[0])

    def routes_of(self, node: str) -> list[Link]:
        """What a server of a cluster hears of the others, and they of it."""
        return [self.links[name] for name in routes_of(node)]

    async def nodes_agree(self, within: timedelta) -> None:
        """Return once all servers of the cluster answer, and have the same in their streams."""
        for node in NODES:
            await self.stack.wait_ready(node, within)
        await copies_agree(self.info, within)

    async def stop(self) -> None:
        """The stack as it is by then."""
        await self.stack.stop()

    async def lose_power(self, power: Mains) -> None:
        """Everything on this machine ends at once; then somebody starts it again as he always does."""
        for name in self.stack.names:
            with suppress(FailedPrecondition):  # it is down just now
                self.stack.kill(name, signal.SIGSTOP)
        await asyncio.to_thread(power.fail, VOLUMES)
        self._restarts_before.update({name: self.stack.restarts(name) for name in self.stack.names})
        self.stack.kill_all()
        await self.stack.stop()
        self.stack = EmbeddedStack(self.root, services=self.services)
        self.info = await self.stack.start()


@asynccontextmanager
async def faulty_stack(
    root: Path, *, cluster: bool = False, workers: Mapping[str, str] | None = None
) -> AsyncIterator[FaultyStack]:
    """A running stack whose processes die with the body. `workers`: settings of theirs in place of the usual ones."""
    journals = root / "journals"
    journals.mkdir(parents=True)
    stack_root = root / STACK
    async with AsyncExitStack() as exits:
        links: dict[str, Link] = {}
        ports: dict[str, int] = {}
        for name, protocol, upstream in _wanted_links(cluster=cluster):
            links[name] = Link(name, protocol, _port_of(stack_root, upstream))
            ports[name] = await links[name].start()
            exits.push_async_callback(links[name].stop)
        services = [_service(name, ports, journals, (workers or {}) if name in WORKERS else {}) for name in SERVICES]
        stack = EmbeddedStack(stack_root, services=services)
        if cluster:
            stack = ClusterStack(stack_root, services=services, links=ports)
        doors = [f"127.0.0.1:{ports[door]}" for door in DOORS]
        faulty = FaultyStack(stack_root, services, stack, links, doors, journals)
        faulty.info = await stack.start()
        exits.push_async_callback(faulty.stop)
        yield faulty


def _wanted_links(*, cluster: bool) -> list[tuple[str, Protocol, str]]:
    """(name of the link, what is spoken on it, name of the port that it leads to)."""
    nodes = NODES if cluster else ("nats",)
    wanted = [(link(service, node), Protocol.NATS, node) for service in SERVICES for node in nodes]
    wanted += [(link(*ends), Protocol.ROUTE, route_port(ends[1])) for ends in ROUTES if cluster]
    wanted += [(link(service, "s3"), Protocol.S3, "s3") for service in SERVICES]
    doors = zip(DOORS, GATEWAYS, strict=True)
    return wanted + [(door, Protocol.GRPC, f"{gateway}_grpc") for door, gateway in doors]


def _port_of(root: Path, name: str) -> Callable[[], int]:
    """The stack writes its ports down before it starts anything."""
    return lambda: int(json.loads((root / "ports.json").read_text())[name])


def _service(name: str, ports: dict[str, int], journals: Path, more: Mapping[str, str]) -> ServiceSpec:
    values = QUICK | SETTINGS | dict(more)
    servers = [ports[way] for node in ("nats", *NODES) if (way := link(name, node)) in ports]
    values |= {
        "NATS_URL": ",".join(map(nats_url, servers)),
        "NATS_REPLICAS": str(len(servers)),
        "S3_ENDPOINT": s3_endpoint(ports[link(name, "s3")]),
        "WORKER_ID": name,
    }
    if name in GATEWAYS:
        service, module = "gateway", "kerf_gateway"
    else:
        service, module = "faultworker", "chaos.faults.worker"
        values |= {"KIND": _KINDS[name], "JOURNAL": str(journals)}
    environment = {f"KERF_{name.upper()}_{key}": value for key, value in values.items()}
    environment["PYTHONPATH"] = os.pathsep.join([str(_MODULES), *filter(None, [os.environ.get("PYTHONPATH")])])
    return ServiceSpec(name, (sys.executable, "-m", "chaos.faults.named", name, service, module), environment)
