"""`kerf presets`: what the planner knows of machines, materials, power and speed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from kerf.optimizer.v1.optimizer_pb2 import ListPresetsRequest, ListPresetsResponse
from kerf.optimizer.v1.optimizer_pb2_grpc import OptimizerServiceStub
from kerf_client.calls import Caller
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output
from kerf_client.cli.session import Gateway, add_connection_options, with_gateway
from kerf_client.connection import RetryPolicy, open_channel
from kerf_client.errors import ServiceUnavailable
from kerf_client.making import message_json

if TYPE_CHECKING:
    from kerf.optimizer.v1.optimizer_pb2_grpc import OptimizerServiceAsyncStub


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `presets`."""
    parser = commands.add_parser(
        "presets",
        help="machines, materials, and power and speed for them",
        description="Asks the optimizer itself, at --optimizer, KERF_CLIENT_OPTIMIZER or the one of the stack that "
        "`kerf up` started.",
        epilog=EXIT_CODE_HELP,
    )
    parser.add_argument("--machine", default="", metavar="NAME", help="only this machine's presets")
    parser.add_argument("--material", default="", metavar="NAME", help="only this material's presets")
    parser.add_argument("--optimizer", default="", metavar="HOST:PORT", help="where the optimizer answers")
    add_connection_options(parser)
    parser.set_defaults(run=run)


async def run(args: argparse.Namespace, output: Output) -> int:
    """Do it."""

    async def work(gateway: Gateway) -> int:
        target = args.optimizer or gateway.optimizer
        if not target:
            raise ServiceUnavailable(
                "the optimizer's address is not known: give it with --optimizer HOST:PORT or KERF_CLIENT_OPTIMIZER",
                reason="NO_OPTIMIZER",
            )
        request = ListPresetsRequest(machine=args.machine, material=args.material)
        channel = open_channel(target, gateway.tls)
        try:
            stub: OptimizerServiceAsyncStub = OptimizerServiceStub(channel)
            answer = await Caller(target, gateway.api_key, RetryPolicy()).unary(stub.ListPresets, request)
        finally:
            await channel.close()
        _show(answer, output)
        return ExitCode.OK

    return await with_gateway(args, output, work)


def _show(answer: ListPresetsResponse, output: Output) -> None:
    output.say("Machines")
    for machine in answer.machines:
        bed = f"{machine.bed_width_mm:g} × {machine.bed_height_mm:g} mm"
        output.say(f"  {machine.name:18} {bed:14} {machine.description}")
    output.say("Materials")
    for material in answer.materials:
        refused = f"  REFUSED: {material.blocked_reason}" if material.blocked_reason else ""
        output.say(f"  {material.name:18} {material.description}{refused}")
    output.say("Presets")
    for preset in answer.presets:
        proof = "" if preset.verified else "  unverified: run the test grid first"
        output.say(
            f"  {preset.name:44} {preset.power_percent:3g} %  {preset.speed_mm_per_min:5g} mm/min  "
            f"{preset.passes} x{proof}"
        )
    output.result(message_json(answer))
