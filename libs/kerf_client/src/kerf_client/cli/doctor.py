"""`kerf doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import aclosing
from dataclasses import asdict, dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version

from kerf_client.aio import AsyncKerf
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output, describe
from kerf_client.cli.session import add_connection_options, read_tls
from kerf_client.connection import RetryPolicy, Tls
from kerf_client.errors import KerfError
from kerf_client.settings import ClientSettings

_PYTHONS = ((3, 11), (3, 12), (3, 13))
_PACKAGES = ("kerf-proto", "grpcio", "protobuf", "rich")
_PATIENCE = RetryPolicy(give_up_after=timedelta(seconds=2), call_timeout=timedelta(seconds=5))
_TCP_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `ok` None: it could not be checked, which is not the same as good."""

    name: str
    ok: bool | None
    detail: str
    advice: str = ""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `doctor`."""
    parser = commands.add_parser(
        "doctor",
        help="say what is wrong with this installation",
        description="Looks at Python, packages, programs, ports, disk, models, device and whatever runs. Changes "
        "nothing. Exit code 1 if something is broken.",
        epilog=EXIT_CODE_HELP,
    )
    add_connection_options(parser)
    parser.set_defaults(run=run)


async def run(args: argparse.Namespace, output: Output) -> int:
    """Look and tell."""
    findings = [*_client_findings(), *await _embedded_findings(), *await _gateway_findings(args)]
    for finding in findings:
        sign = {True: "ok     ", False: "BROKEN ", None: "unknown"}[finding.ok]
        output.say(f"{sign}  {finding.name}: {finding.detail}")
        if finding.advice and finding.ok is not True:
            output.say(f"         -> {finding.advice}")
    broken = sum(finding.ok is False for finding in findings)
    unknown = sum(finding.ok is None for finding in findings)
    output.say(f"{len(findings)} checks, {broken} broken, {unknown} could not be made")
    output.result({"broken": broken, "unknown": unknown, "findings": [asdict(finding) for finding in findings]})
    return ExitCode.JOB_FAILED if broken else ExitCode.OK


def _client_findings() -> list[Finding]:
    running = ".".join(str(part) for part in sys.version_info[:3])
    advice = "install Python 3.11, 3.12 or 3.13 and set kerf up again"
    findings = [Finding("python", sys.version_info[:2] in _PYTHONS, running, advice)]
    for package in _PACKAGES:
        try:
            findings.append(Finding(f"package {package}", True, version(package)))
        except PackageNotFoundError:
            findings.append(Finding(f"package {package}", False, "not installed", f"pip install {package}"))
    return findings


async def _embedded_findings() -> list[Finding]:
    """What the embedded stack's own doctor says, and whether the servers of a running one answer."""
    try:
        from kerf_embedded.doctor import diagnose
        from kerf_embedded.state import default_root, read_state
    except ImportError:
        detail = "kerf-embedded is not installed, so kerf cannot run on this machine by itself"
        return [
            Finding("embedded stack", None, detail, "pip install 'kerf-client[embedded]', or use a gateway elsewhere")
        ]
    root = default_root()
    own = {"python"}  # said above
    findings = [
        Finding(found.name, found.ok, found.detail, found.advice)
        for found in await diagnose(root)
        if found.name not in own
    ]
    running = read_state(root)
    if running is not None:
        findings.append(await _answers("NATS", running.nats_url))
        findings.append(await _answers("S3", running.s3_endpoint))
    return findings


async def _answers(name: str, address: str) -> Finding:
    host, _, port = address.rpartition("://")[2].rstrip("/").rpartition(":")
    try:
        async with asyncio.timeout(_TCP_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        await writer.wait_closed()
    except (OSError, ValueError, TimeoutError):
        return Finding(name, False, f"{address} does not answer", "stop `kerf up` and start it again; see its logs")
    return Finding(name, True, f"answers at {address}")


async def _gateway_findings(args: argparse.Namespace) -> list[Finding]:
    settings = ClientSettings.from_environment()
    target, api_key = args.gateway or settings.gateway, args.api_key or settings.api_key
    tls = read_tls(args.tls_ca or settings.tls_ca)
    if not target:
        target, api_key, tls = _embedded_gateway(api_key)
    if not target:
        return [Finding("gateway", None, "none is configured and none runs here", "`kerf up` starts one")]
    return [await _gateway_finding(target, api_key, tls)]


def _embedded_gateway(api_key: str) -> tuple[str, str, Tls | None]:
    try:
        from kerf_embedded.state import default_root, read_state
    except ImportError:
        return "", "", None
    running = read_state(default_root())
    return (running.gateway_target, api_key or running.api_key, None) if running is not None else ("", "", None)


async def _gateway_finding(target: str, api_key: str, tls: Tls | None) -> Finding:
    advice = "check the address, the API key and the gateway's log"
    try:
        async with (
            AsyncKerf(target, api_key, tls=tls, policy=_PATIENCE) as client,
            aclosing(client.list_jobs(page_size=1)) as jobs,
        ):
            async for _ in jobs:
                break
    except ValueError as error:
        return Finding("gateway", False, f"{target}: {error}", "set KERF_CLIENT_API_KEY")
    except KerfError as error:
        return Finding("gateway", False, describe(error), advice)
    return Finding("gateway", True, f"answers at {target} and accepts the API key")
