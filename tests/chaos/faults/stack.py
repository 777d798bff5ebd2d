"""The stack that is put under faults: two gateways and four workers, each on links of its own to NATS and S3."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chaos.faults.proxy import Link, Protocol
from chaos.faults.schedule import DOORS, GATEWAYS, SERVICES, link
from kerf_embedded.nats_server import nats_url
from kerf_embedded.s3_server import s3_endpoint
from kerf_embedded.service import ServiceSpec
from kerf_embedded.state import StackInfo
from kerf_embedded.supervisor import EmbeddedStack
from stack_thread import QUICK

ACK_WAIT_S = float(QUICK["ACK_WAIT"])
MAX_ATTEMPTS = 20
_KINDS = {"draw1": "diffusion", "draw2": "diffusion", "burn1": "optimizer", "train1": "trainer"}
_MODULES = Path(__file__).resolve().parents[2]
_PATIENCE = {
    "MAX_ATTEMPTS": str(MAX_ATTEMPTS),
    "S3_TIMEOUT": "2",
    "S3_RETRY_FOR": "8",
    "STAGE_SLOTS": "4",
    "LOG_LEVEL": "INFO",
}


@dataclass
class FaultyStack:
    """What runs, and the places where it can be disturbed."""

    stack: EmbeddedStack
    links: dict[str, Link]
    doors: list[str]
    """Targets of the gateways, through the clients' links."""
    journals: Path
    info: StackInfo = field(init=False)


@asynccontextmanager
async def faulty_stack(root: Path) -> AsyncIterator[FaultyStack]:
    """A running stack whose processes die with the body."""
    journals = root / "journals"
    journals.mkdir(parents=True)
    stack_root = root / "stack"
    async with AsyncExitStack() as exits:
        links: dict[str, Link] = {}
        ports: dict[str, int] = {}
        for name, protocol, upstream in _wanted_links():
            links[name] = Link(name, protocol, _port_of(stack_root, upstream))
            ports[name] = await links[name].start()
            exits.push_async_callback(links[name].stop)
        stack = EmbeddedStack(stack_root, services=[_service(name, ports, journals) for name in SERVICES])
        faulty = FaultyStack(stack, links, [f"127.0.0.1:{ports[door]}" for door in DOORS], journals)
        faulty.info = await stack.start()
        exits.push_async_callback(stack.stop)
        yield faulty


def _wanted_links() -> list[tuple[str, Protocol, str]]:
    """(name of the link, what is spoken on it, name of the port that it leads to)."""
    wanted = [(link(service, "nats"), Protocol.NATS, "nats") for service in SERVICES]
    wanted += [(link(service, "s3"), Protocol.S3, "s3") for service in SERVICES]
    doors = zip(DOORS, GATEWAYS, strict=True)
    return wanted + [(door, Protocol.GRPC, f"{gateway}_grpc") for door, gateway in doors]


def _port_of(root: Path, name: str) -> Callable[[], int]:
    """The stack writes its ports down before it starts anything."""
    return lambda: int(json.loads((root / "ports.json").read_text())[name])


def _service(name: str, ports: dict[str, int], journals: Path) -> ServiceSpec:
    values = QUICK | _PATIENCE
    values |= {
        "NATS_URL": nats_url(ports[link(name, "nats")]),
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
