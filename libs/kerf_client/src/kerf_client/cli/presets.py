"""`kerf presets`: what the planner knows of machines, materials, power and speed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from kerf.optimizer.v1.optimizer_pb2 import ListPresetsResponse
from kerf.optimizer.v1.plan_pb2 import Dialect, MachineProfile, Material, OperationKind, Preset
from kerf_client.cli import options
from kerf_client.cli.console import EXIT_CODE_HELP, ExitCode, Output
from kerf_client.cli.session import add_connection_options, add_optimizer_option, with_optimizer
from kerf_client.making import message_json
from kerf_client.optimizer import AsyncOptimizer
from kerf_client.plan_page import UNVERIFIED

_KINDS = OperationKind.DESCRIPTOR


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `presets`."""
    parser = commands.add_parser(
        "presets",
        help="machines, materials, and power and speed for them",
        description="Asks the optimizer itself, at --optimizer, KERF_CLIENT_OPTIMIZER or the one of the stack that "
        "`kerf up` started. A preset is a starting value until somebody burnt a test grid with it: see `kerf grid`.",
        epilog=EXIT_CODE_HELP,
    )
    parser.add_argument(
        "what", nargs="?", choices=list(_TABLES), metavar="WHAT", help="machines, materials or presets (default: all)"
    )
    parser.add_argument("--machine", default="", metavar="NAME", help="only this machine, and its presets")
    parser.add_argument("--material", default="", metavar="NAME", help="only this material, and its presets")
    parser.add_argument(
        "--operation",
        type=options.of_proto(_KINDS),
        default=OperationKind.OPERATION_KIND_UNSPECIFIED,
        metavar="KIND",
        help=f"only presets for it: {options.proto_names(_KINDS)}",
    )
    add_optimizer_option(parser)
    add_connection_options(parser)
    parser.set_defaults(run=run)


async def run(args: argparse.Namespace, output: Output) -> int:
    """Do it."""

    async def work(optimizer: AsyncOptimizer) -> int:
        answer = await optimizer.list_presets(machine=args.machine, material=args.material, kind=args.operation)
        _show(_narrowed(answer, args), output)
        return ExitCode.OK

    return await with_optimizer(args, output, work)


def _narrowed(answer: ListPresetsResponse, args: argparse.Namespace) -> ListPresetsResponse:
    """What was asked for; the service narrows presets by names only."""
    wanted = [args.what] if args.what else list(_TABLES)
    kept = ListPresetsResponse()
    if "machines" in wanted:
        kept.machines.extend(each for each in answer.machines if args.machine in ("", each.name))
    if "materials" in wanted:
        kept.materials.extend(each for each in answer.materials if args.material in ("", each.name))
    if "presets" in wanted:
        kept.presets.extend(answer.presets)
    return kept


@dataclass(frozen=True)
class _Table:
    """How one list is shown."""

    title: str
    lines: Callable[[ListPresetsResponse], list[str]]


def _machine(machine: MachineProfile) -> str:
    bed = f"{machine.bed_width_mm:g} × {machine.bed_height_mm:g} mm"
    dialect = options.proto_text(Dialect.DESCRIPTOR, machine.dialect)
    speed = f"≤ {machine.max_feed_mm_per_min:g} mm/min"
    return f"  {machine.name:24} {bed:14} {speed:16} {dialect:20} {machine.description}"


def _material(material: Material) -> str:
    refused = f"  REFUSED: {material.blocked_reason}" if material.blocked_reason else ""
    return f"  {material.name:22} {material.description}{refused}"


def _preset(preset: Preset) -> str:
    figures = f"{preset.power_percent:3g} %  {preset.speed_mm_per_min:5g} mm/min  {preset.passes} x"
    interval = f"{preset.interval_mm:g} mm" if preset.interval_mm else ""
    kerf = f"kerf {preset.kerf_mm:g} mm" if preset.kerf_mm else ""
    return f"  {preset.name:44} {figures}  {interval:7} {kerf:12} {'' if preset.verified else UNVERIFIED}".rstrip()


_TABLES = {
    "machines": _Table("Machines", lambda answer: [_machine(each) for each in answer.machines]),
    "materials": _Table("Materials", lambda answer: [_material(each) for each in answer.materials]),
    "presets": _Table("Presets", lambda answer: [_preset(each) for each in answer.presets]),
}


def _show(answer: ListPresetsResponse, output: Output) -> None:
    for table in _TABLES.values():
        if lines := table.lines(answer):
            output.say(table.title)
            for line in lines:
                output.say(line)
    if not (answer.machines or answer.materials or answer.presets):
        output.note("nothing is known of that")
    output.result(message_json(answer))
