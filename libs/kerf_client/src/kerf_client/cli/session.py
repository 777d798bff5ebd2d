"""Finds the gateway that a command talks to: options, environment, a running embedded stack, or one of its own."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from kerf_client.aio import AsyncKerf
from kerf_client.cli.console import ExitCode, Output, UsageError
from kerf_client.connection import Tls
from kerf_client.errors import KerfError, ServiceUnavailable
from kerf_client.monitor import AsyncMonitor
from kerf_client.optimizer import AsyncOptimizer
from kerf_client.settings import ClientSettings

_LOOPBACK = ("127.", "localhost:", "[::1]:", "unix:")


@dataclass(frozen=True)
class Gateway:
    """Where it is, how to be let in, and where optimizer and monitor answer directly ("" = not known)."""

    target: str
    api_key: str
    tls: Tls | None = None
    optimizer: str = ""
    monitor: str = ""

    def client(self) -> AsyncKerf:
        """A client for it. Raises UsageError for a key that cannot be one."""
        try:
            return AsyncKerf(self.target, self.api_key, tls=self.tls)
        except ValueError as error:
            raise UsageError(str(error)) from None


Work = Callable[[Gateway], Awaitable[int]]
MonitorWork = Callable[[AsyncMonitor], Awaitable[int]]
OptimizerWork = Callable[[AsyncOptimizer], Awaitable[int]]
Action = Callable[[AsyncKerf, argparse.Namespace, Output], Awaitable[int]]
Command = Callable[[argparse.Namespace, Output], Awaitable[int]]


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """`--gateway`, `--api-key`, `--tls-ca`, `--json`."""
    group = parser.add_argument_group("connection")
    group.add_argument("--gateway", metavar="HOST:PORT", help="gateway to use (KERF_CLIENT_GATEWAY)")
    group.add_argument(
        "--api-key", metavar="KEY", help="API key for it; better in KERF_CLIENT_API_KEY, where `ps` does not show it"
    )
    group.add_argument(
        "--tls-ca",
        metavar="FILE",
        help="use TLS and trust the certificates in this PEM file; `system` trusts the system's (KERF_CLIENT_TLS_CA)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON value on stdout and nothing else")


async def with_gateway(
    args: argparse.Namespace, output: Output, work: Work, *, starts: Collection[str] | None = None
) -> int:
    """Do `work` with the gateway and return its exit code.

    `starts` names the services that the work needs beside the gateway: where none runs, an embedded stack of these is
    started for the duration. Raises ServiceUnavailable where there is no gateway to talk to.
    """
    settings = ClientSettings.from_environment()
    target = args.gateway or settings.gateway
    if target:
        return await work(_configured(args, settings, target, output))
    return await _with_embedded(args, output, work, starts)


async def with_monitor(args: argparse.Namespace, output: Output, work: MonitorWork) -> int:
    """Do `work` with the monitor and return its exit code. A monitor that is named needs no gateway.

    Raises ServiceUnavailable where its address is not known.
    """
    settings = ClientSettings.from_environment()
    named = args.monitor or settings.monitor
    api_key = args.api_key or settings.api_key
    if named and api_key:
        return await work_with_monitor(_configured(args, settings, named, output), named, work)

    async def with_found(gateway: Gateway) -> int:
        return await work_with_monitor(gateway, named or gateway.monitor, work)

    return await with_gateway(args, output, with_found)


async def work_with_monitor(gateway: Gateway, target: str, work: MonitorWork) -> int:
    """Do `work` with the monitor at `target`, let in by the gateway's key. Raises ServiceUnavailable for no target."""
    if not target:
        raise ServiceUnavailable(
            "the monitor's address is not known: give it with --monitor HOST:PORT or KERF_CLIENT_MONITOR",
            reason="NO_MONITOR",
        )
    try:
        monitor = AsyncMonitor(target, gateway.api_key, tls=gateway.tls)
    except ValueError as error:
        raise UsageError(str(error)) from None
    async with monitor:
        return await work(monitor)


def add_optimizer_option(parser: argparse.ArgumentParser) -> None:
    """`--optimizer`."""
    parser.add_argument(
        "--optimizer", default="", metavar="HOST:PORT", help="where the optimizer answers (KERF_CLIENT_OPTIMIZER)"
    )


async def with_optimizer(args: argparse.Namespace, output: Output, work: OptimizerWork) -> int:
    """Do `work` with the optimizer itself and return its exit code. An optimizer that is named needs no gateway.

    Raises ServiceUnavailable where its address is not known.
    """
    settings = ClientSettings.from_environment()
    named = args.optimizer or settings.optimizer

    async def with_found(gateway: Gateway) -> int:
        target = named or gateway.optimizer
        if not target:
            raise ServiceUnavailable(
                "the optimizer's address is not known: give it with --optimizer HOST:PORT or KERF_CLIENT_OPTIMIZER",
                reason="NO_OPTIMIZER",
            )
        try:
            optimizer = AsyncOptimizer(target, gateway.api_key, tls=gateway.tls)
        except ValueError as error:
            raise UsageError(str(error)) from None
        async with optimizer:
            return await work(optimizer)

    if named and (args.api_key or settings.api_key):
        return await with_found(_configured(args, settings, named, output))
    return await with_gateway(args, output, with_found)


def _configured(args: argparse.Namespace, settings: ClientSettings, target: str, output: Output) -> Gateway:
    api_key = args.api_key or settings.api_key
    if not api_key:
        raise UsageError(f"no API key for {target}: give one with --api-key or KERF_CLIENT_API_KEY")
    tls = read_tls(args.tls_ca or settings.tls_ca)
    if tls is None and not target.startswith(_LOOPBACK):
        output.warn(f"the API key travels to {target} unencrypted; --tls-ca turns TLS on")
    return Gateway(target, api_key, tls, settings.optimizer, settings.monitor)


def read_tls(trust: str) -> Tls | None:
    """`""` = no TLS, `system` or a PEM file. Raises UsageError where the file cannot be read."""
    if not trust:
        return None
    if trust == "system":
        return Tls()
    try:
        return Tls(root_certificates=Path(trust).read_bytes())
    except OSError as error:
        raise UsageError(f"{trust}: the certificates cannot be read: {error.strerror or error}") from None


async def _with_embedded(args: argparse.Namespace, output: Output, work: Work, starts: Collection[str] | None) -> int:
    try:
        from kerf_embedded.state import StackInfo, default_root, read_state
    except ImportError:
        raise ServiceUnavailable(
            "no gateway is configured: give one with --gateway HOST:PORT or KERF_CLIENT_GATEWAY, "
            "or install kerf-client[embedded] to run kerf on this machine",
            reason="NO_GATEWAY",
        ) from None

    def described(info: StackInfo) -> Gateway:
        return Gateway(
            info.gateway_target,
            args.api_key or info.api_key,
            None,
            info.targets.get("optimizer", ""),
            info.targets.get("monitor", ""),
        )

    running = read_state(default_root())
    if running is not None and running.gateway_target:
        return await work(described(running))
    if starts is None:
        raise ServiceUnavailable(
            "kerf is not running here: start it with `kerf up`, or name a gateway with --gateway HOST:PORT",
            reason="NOT_RUNNING",
        )
    output.note("starting kerf on this machine ...")
    return await _in_own_stack(output, lambda info: work(described(info)), starts)


async def _in_own_stack(output: Output, work: Callable[..., Awaitable[int]], names: Collection[str]) -> int:
    from kerf_core.errors import FailedPrecondition
    from kerf_core.errors import KerfError as CoreError
    from kerf_embedded.foreground import run_in_foreground
    from kerf_embedded.service import default_services
    from kerf_embedded.state import default_root, private_root
    from kerf_embedded.supervisor import EmbeddedStack

    root, services = default_root(), default_services(names)
    try:
        try:
            return _left(await run_in_foreground(EmbeddedStack(root, services=services), work), output)
        except FailedPrecondition as error:
            if error.reason != "STACK_RUNNING":
                raise
        output.note(f"another stack is using {root}; this one keeps nothing")
        stack = EmbeddedStack(private_root(root), services=services, keep_data=False)
        return _left(await run_in_foreground(stack, work), output)
    except CoreError as error:
        raise stack_error(error) from error


def _left(code: int, output: Output) -> int:
    if code >= ExitCode.INTERRUPTED:
        output.note("interrupted; nothing is left running")
    return code


def stack_error(error: Exception) -> KerfError:
    """What a stack that does not start means to this command."""
    message, reason = getattr(error, "message", str(error)), getattr(error, "reason", "STACK_FAILED")
    return ServiceUnavailable(f"kerf could not be started on this machine: {message}", reason=reason)


def client_command(action: Action) -> Command:
    """A command that needs a client and no stack of its own."""

    async def run(args: argparse.Namespace, output: Output) -> int:
        async def work(gateway: Gateway) -> int:
            async with gateway.client() as client:
                return await action(client, args, output)

        return await with_gateway(args, output, work)

    return run
