"""The embedded stack: NATS, S3 and kerf's services as children of this process, on free ports of the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from kerf_core.errors import FailedPrecondition, InvalidArgument, KerfError
from kerf_core.tasks import end_tasks
from kerf_embedded import nats_server, s3_server
from kerf_embedded.bootstrap import bootstrap as store_key
from kerf_embedded.credentials import Credentials, load_or_draw
from kerf_embedded.disk_watch import DiskWatch
from kerf_embedded.guard import Guard
from kerf_embedded.ports import LOOPBACK, PortBook
from kerf_embedded.process import Limits, PortTaken, Program, Supervised
from kerf_embedded.service import ServiceSpec, default_services, port_names, service_program
from kerf_embedded.state import Root, StackInfo

LOG = logging.getLogger(__name__)
_START_ATTEMPTS = 3
Bootstrap = Callable[[StackInfo], Awaitable[None]]


class EmbeddedStack:
    """All processes of a kerf installation on one machine, under this process.

    Children die with the thread that runs the event loop, whatever kills it. Ports stay the same while the stack runs
    and, where they are free, from run to run; so do credentials and, with `keep_data`, all data.
    """

    def __init__(
        self,
        root: Path,
        *,
        services: Sequence[ServiceSpec] | None = None,
        keep_data: bool = True,
        fresh: bool = False,
        limits: Limits | None = None,
        bootstrap: Bootstrap = store_key,
    ) -> None:
        """`root`: the stack's folder (see `state.default_root`). `services`: None means `default_services()`.

        `fresh` removes the data of earlier runs before the start, without `keep_data` they are removed after the stop.
        `bootstrap` runs once all is ready, before `start` returns.
        """
        self._root = Root(root)
        self._services = default_services() if services is None else tuple(services)
        self._keep_data = keep_data
        self._fresh = fresh
        self._limits = limits or Limits()
        self._bootstrap = bootstrap
        self._guard = Guard()
        self._children: dict[str, Supervised] = {}
        self._info: StackInfo | None = None
        self._watching: asyncio.Task[None] | None = None
        self.started_anew: Counter[str] = Counter()
        """How often a server was ended because the disk had been full."""

    @property
    def names(self) -> list[str]:
        """The processes: `nats`, `s3` and the services."""
        return list(self._children)

    async def start(self) -> StackInfo:
        """Start everything at once and wait until all of it is ready.

        Raises FailedPrecondition (STACK_RUNNING, BINARY_MISSING), DeadlineExceeded (NOT_READY), Unavailable
        (PROCESS_KEEPS_DYING, PORT_TAKEN): after these, and when cancelled, nothing is left running.
        """
        self._root.hold(fresh=self._fresh)
        try:
            await self._guard.start()
            self._info = await self._start_on_free_ports()
            await self._bootstrap(self._info)
            self._publish()
        except BaseException:
            await self.stop()
            raise
        self._watching = asyncio.create_task(DiskWatch(self._root.path, self._start_servers_anew).run())
        return self._info

    async def stop(self) -> None:
        """Stop the services, then the servers; returns once no process is left. Safe to call at any time, again too."""
        self._info = None  # from here on, deaths are not published
        try:
            if self._watching is not None:
                await end_tasks(self._watching)
            await self._stop_children()
        finally:
            self.kill_all()
            await self._guard.stop()
            self._root.release(keep_data=self._keep_data)

    def kill_all(self) -> None:
        """SIGKILL to every process, at once: for somebody who asks a second time. `stop` is still needed."""
        for child in self._children.values():
            child.kill_group()

    async def wait_failed(self) -> KerfError:
        """Return once the supervisor has given up on a process, with the reason."""
        failures: set[asyncio.Future[KerfError]] = {child.failure for child in self._children.values()}
        done, _ = await asyncio.wait(failures, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    async def wait_ready(self, name: str, within: timedelta | None = None) -> None:
        """Return once a process answers; after `kill`, once its successor does. Raises like `start`."""
        await self._child(name).wait_ready(within)

    def pid(self, name: str) -> int | None:
        """The process id, or None while the process is down."""
        return self._child(name).pid

    def restarts(self, name: str) -> int:
        """How often a process was started again."""
        return self._child(name).restarts

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one process. Raises FailedPrecondition (NOT_RUNNING)."""
        self._child(name).kill(number)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def info(self) -> StackInfo:
        """What clients need; only while the stack runs."""
        if self._info is None:
            raise RuntimeError("the stack is not running")
        return self._info

    def _child(self, name: str) -> Supervised:
        if name not in self._children:
            raise InvalidArgument.of_field("name", f"no process {name!r}; there are {', '.join(self._children)}")
        return self._children[name]

    async def _start_on_free_ports(self) -> StackInfo:
        """Between choosing a port and listening on it somebody else can take it: then choose again."""
        path = self._root.path
        credentials = load_or_draw(path / "credentials.json")
        book = PortBook(path / "ports.json")
        names = [nats_server.NAME, *s3_server.PORTS, *port_names(self._services)]
        for attempt in range(1, _START_ATTEMPTS + 1):
            ports = book.assign(names, s3_server.PORT_PAIRS)
            try:
                await self._start_children(self._programs(ports, credentials))
            except PortTaken as error:
                if attempt == _START_ATTEMPTS:
                    raise
                LOG.warning("%s; choosing other ports", error.message)
                await self._stop_children()
            else:
                return self._describe(ports, credentials)
        raise AssertionError("the loop returns or raises")

    def _programs(self, ports: Mapping[str, int], credentials: Credentials) -> list[Program]:
        path = self._root.path
        s3_ports = {name: ports[name] for name in (*s3_server.PORTS, *s3_server.PORT_PAIRS)}
        s3_ports |= {name: ports[name] for name in s3_server.PORT_PAIRS.values()}
        logs, s3_folder = path / "logs", path / "s3"
        programs = [
            nats_server.nats_program(path / "nats", logs / "nats.log", ports[nats_server.NAME], credentials),
            s3_server.s3_program(s3_folder, logs / "s3.log", s3_ports, credentials),
        ]
        data = s3_server.data_folder(s3_folder)
        return programs + [
            service_program(spec, logs / f"{spec.name}.log", ports, credentials, data) for spec in self._services
        ]

    async def _start_children(self, programs: Iterable[Program]) -> None:
        """All at once: the servers are up before a service has imported what it needs, and services wait for them."""
        self._children = {
            program.name: Supervised(program, self._guard, self._limits, self._changed) for program in programs
        }
        for child in self._children.values():
            self._guard.sweep(*child.program.sockets)
            child.start()
        try:
            async with asyncio.TaskGroup() as group:
                for child in self._children.values():
                    group.create_task(child.wait_ready())
        except* KerfError as errors:
            # One cause is enough, and a taken port can be helped.
            found = sorted(_leaves(errors), key=lambda error: not isinstance(error, PortTaken))
            raise found[0] from None

    async def _stop_children(self) -> None:
        """Services first, all at the same time; then the servers that they need."""
        services = {spec.name for spec in self._services}
        for tier in (services, set(self._children) - services):
            await asyncio.gather(*(child.stop() for name, child in self._children.items() if name in tier))
        for child in self._children.values():
            for path in child.program.sockets:
                path.unlink(missing_ok=True)

    def _start_servers_anew(self) -> None:
        """What they have answered for is on the disk or in the kernel's hands: a kill loses nothing."""
        for name in (nats_server.NAME, s3_server.NAME):
            with contextlib.suppress(FailedPrecondition):  # it is down: its successor finds room
                self.kill(name)
                self.started_anew[name] += 1

    def _changed(self) -> None:
        """A full disk must not keep a process from being started again: the state is written at the next start."""
        try:
            self._publish()
        except OSError as error:
            LOG.warning("the state of the stack could not be written: %s", error)

    def _publish(self) -> None:
        """Called whenever a process was started or given up."""
        if self._info is not None:
            running = {name: child.pid for name, child in self._children.items()}
            self._root.publish(self._info, {name: pid for name, pid in running.items() if pid is not None})

    def _describe(self, ports: Mapping[str, int], credentials: Credentials) -> StackInfo:
        names = [spec.name for spec in self._services]
        return StackInfo(
            root=str(self._root.path),
            nats_url=nats_server.nats_url(ports["nats"]),
            nats_user=credentials.nats_user,
            nats_password=credentials.nats_password,
            s3_endpoint=s3_server.s3_endpoint(ports["s3"]),
            s3_access_key=credentials.s3_access_key,
            s3_secret_key=credentials.s3_secret_key,
            s3_bucket=s3_server.BUCKET,
            api_key=credentials.api_key,
            targets={name: f"{LOOPBACK}:{ports[f'{name}_grpc']}" for name in names},
            metrics={name: f"http://{LOOPBACK}:{ports[f'{name}_metrics']}/metrics" for name in names},
        )


def _leaves(group: BaseExceptionGroup[KerfError]) -> list[KerfError]:
    found: list[KerfError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
