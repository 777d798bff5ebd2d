"""`kerf plan`: pictures and drawings to machine files, with a page that shows the burn before it happens."""

from __future__ import annotations

import argparse
from pathlib import Path

from kerf.jobs.v1.job_pb2 import Job
from kerf.optimizer.v1.layout_pb2 import MadeDrawing
from kerf.optimizer.v1.plan_pb2 import (
    Corner,
    GreyMeaning,
    Operation,
    OperationKind,
    PathStyle,
    Placement,
    PlanRequest,
)
from kerf.optimizer.v1.raster_pb2 import RasterMode
from kerf_client import recipes
from kerf_client.cli import options
from kerf_client.cli.console import EXIT_CODE_HELP, UsageError
from kerf_client.cli.layout import add_layout_options, is_font, is_scored, nesting_of, read_target
from kerf_client.cli.optimize import add_raster_options, raster_request, says_how
from kerf_client.cli.stages import add_stage_options
from kerf_client.formats import plan_outputs

DESCRIPTION = """\
Plans a burn of PNGs (1 bit, as `kerf optimize` writes them), SVGs, text and QR codes. With --mode other pictures are
prepared first, with all options of `kerf optimize`. Every file is read back and passed by the safety linter. The page
report.html shows source, prepared picture, simulated burn, the path of the head, layers, checks and the time.

Each --operation takes the next file; with more operations than files, write KIND:N for the N-th file, KIND:d1 for the
first --text or --qr. Without --operation a picture is engraved as a raster and an SVG is scored. Figures of its own go
behind it:

  --operation engrave-raster:1,speed=3000,angle=90   --operation cut:1,contour=2,passes=3,layer=outline

  power=PERCENT speed=MM/MIN passes=N interval=MM    go before the preset's
  preset=NAME layer=NAME                             another preset; the layer's name in SVG and DXF
  angle=DEGREES cross-hatch one-way                  how the lines of an engraving run
  grey=power|depth                                   what the greys of a picture mean (--mode power-map: power)
  contour=MM keep-holes                              a line around what the input burns, at this distance
  z-step=MM                                          the head goes down after each pass, where the machine has Z
"""
_KINDS = OperationKind.DESCRIPTOR
_CORNERS = Corner.DESCRIPTOR
_RELIEF = RasterMode.RASTER_MODE_RELIEF
_NUMBERS = {
    "power": ("power_percent", options.number(0.01, 100)),
    "speed": ("speed_mm_per_min", options.number(0.01, 60000)),
    "passes": ("passes", options.whole(1, 20)),
    "interval": ("interval_mm", options.number(0.001, 5)),
    "z-step": ("z_step_mm", options.number(0.001, 10)),
    "grey": ("grey", options.of_proto(GreyMeaning.DESCRIPTOR)),
}
_TEXTS = {"preset": "preset", "layer": "layer"}
_ANGLE, _DISTANCE = options.number(-360, 360), options.number(0.001, 100)
_SCAN_FLAGS = {"cross-hatch": "cross_hatch", "one-way": "one_way"}
_KEEP_HOLES = "keep-holes"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `plan`."""
    parser = commands.add_parser(
        "plan",
        help="pictures and drawings to machine files",
        description=DESCRIPTION,
        epilog=EXIT_CODE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument(
        "--operation", action="append", default=[], metavar="KIND[:N][,NAME=VALUE…]", help=options.proto_names(_KINDS)
    )
    options.add_machine_options(parser)
    parser.add_argument("--title", default="", help="shown on the job sheet (default: the first file's name)")
    options.add_format_option(parser)
    parser.add_argument(
        "--frame-power",
        type=options.number(0, 1),
        default=0.0,
        metavar="PERCENT",
        help="beam of the frame file (default: off; at most 1)",
    )
    _add_placement(parser.add_argument_group("place on the bed (default: the planner finds one)"))
    _add_paths(parser.add_argument_group("paths that are scored and cut"))
    add_layout_options(parser)
    pictures = parser.add_argument_group("pictures that are not burnable yet")
    pictures.add_argument(
        "--mode",
        type=options.of_proto(RasterMode.DESCRIPTOR),
        metavar="MODE",
        help="prepare every picture like this first (`auto`: the picture decides); see `kerf optimize --help`",
    )
    add_raster_options(parser)
    add_stage_options(parser, "plan", job_of)


def _add_placement(group: argparse._ArgumentGroup) -> None:
    offset, whole = options.number(-3000, 3000), options.whole(1, 100)
    group.add_argument(
        "--corner", type=options.of_proto(_CORNERS), metavar="CORNER", help=options.proto_names(_CORNERS)
    )
    group.add_argument("--offset-x", type=offset, metavar="MM", help="from the corner, inwards")
    group.add_argument("--offset-y", type=offset, metavar="MM", help="from the corner, inwards")
    group.add_argument("--margin", type=options.number(0, 500), metavar="MM", help="free border of the bed")
    group.add_argument("--rotate", type=options.number(-360, 360), metavar="DEGREES", help="counter-clockwise")
    group.add_argument("--mirror", action="store_true", help="left to right, for stamps and the back of glass")
    group.add_argument("--copies-x", type=whole, metavar="N", help="copies in a row (default: 1)")
    group.add_argument("--copies-y", type=whole, metavar="N", help="rows of copies (default: 1)")
    group.add_argument("--gap", type=options.number(0, 500), metavar="MM", help="between copies (default: 0)")


def _add_paths(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--lead", type=options.number(0, 50), default=0.0, metavar="MM", help="run on and off, beam off")
    group.add_argument(
        "--overcut", type=options.number(0, 20), default=0.0, metavar="MM", help="closed cuts go on over their start"
    )
    group.add_argument(
        "--arc-tolerance",
        type=options.number(0, 0.5),
        default=0.0,
        metavar="MM",
        help="arcs for curves (default: none)",
    )
    group.add_argument("--merge", action="store_true", help="leave out needless points, and edges that burn already")


def read_operations(texts: list[str], files: list[Path], drawings: list[MadeDrawing]) -> list[Operation]:
    """Operations in order. Raises UsageError for what is not known, and for a file that there is not."""
    if not texts:
        found = [
            Operation(input=index, kind=_usual_kind(path)) for index, path in enumerate(files) if not is_font(path)
        ]
        return [*found, *(_usual_operation(index, each) for index, each in enumerate(drawings))]
    found = []
    for position, text in enumerate(texts, start=1):
        try:
            found.append(_read_operation(text, position, len(files), len(drawings)))
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"--operation {text}: {error}") from None
    return found


def _usual_operation(index: int, drawing: MadeDrawing) -> Operation:
    scored = is_scored(drawing)
    kind = OperationKind.OPERATION_KIND_SCORE if scored else OperationKind.OPERATION_KIND_ENGRAVE_FILL
    return Operation(drawing=index, kind=kind)


def _usual_kind(path: Path) -> OperationKind.ValueType:
    return OperationKind.OPERATION_KIND_SCORE if _is_drawing(path) else OperationKind.OPERATION_KIND_ENGRAVE_RASTER


def _is_drawing(path: Path) -> bool:
    return path.suffix.lower() == ".svg"


def _read_operation(text: str, position: int, files: int, drawings: int) -> Operation:
    head, *settings = text.split(",")
    kind, _, target = head.partition(":")
    operation = Operation(kind=options.of_proto(_KINDS)(kind))  # type: ignore[arg-type]  # one of its own numbers
    made, index = read_target(target or str(position), files, drawings)
    if made:
        operation.drawing = index
    else:
        operation.input = index
    for setting in settings:
        _set(operation, setting.strip())
    return operation


def _set(operation: Operation, setting: str) -> None:
    name, equals, value = setting.partition("=")
    if name in _NUMBERS and equals:
        field, read = _NUMBERS[name]
        setattr(operation, field, read(value))
    elif name in _TEXTS and value:
        setattr(operation, _TEXTS[name], value)
    elif name == "angle" and equals:
        operation.scan.angle_deg = _ANGLE(value)
    elif name == "contour" and equals:
        operation.contour.distance_mm = _DISTANCE(value)
    elif setting == _KEEP_HOLES:
        operation.contour.keep_holes = True
    elif setting in _SCAN_FLAGS:
        setattr(operation.scan, _SCAN_FLAGS[setting], True)
    else:
        known = [*(f"{each}=" for each in (*_NUMBERS, *_TEXTS, "angle", "contour")), *_SCAN_FLAGS, _KEEP_HOLES]
        raise argparse.ArgumentTypeError(f"{setting!r} is none of {', '.join(known)}")


def _placement(args: argparse.Namespace) -> Placement | None:
    given = {
        "corner": args.corner,
        "offset_x_mm": args.offset_x,
        "offset_y_mm": args.offset_y,
        "margin_mm": args.margin,
        "rotation_deg": args.rotate,
        "mirror": args.mirror or None,
        "copies_x": args.copies_x,
        "copies_y": args.copies_y,
        "gap_mm": args.gap,
    }
    given = {name: value for name, value in given.items() if value is not None}
    return Placement(**given) if given else None  # unset: the planner finds the place


def _path_style(args: argparse.Namespace) -> PathStyle | None:
    style = PathStyle(lead_mm=args.lead, overcut_mm=args.overcut, merge=args.merge, arc_tolerance_mm=args.arc_tolerance)
    return style if style != PathStyle() else None


def job_of(args: argparse.Namespace, artifacts: list[str]) -> Job:
    """The job that the options ask for, of the stored files in their order. Raises UsageError."""
    if not args.files and not args.drawings:
        raise UsageError("there is nothing to burn: name a picture or an SVG, or give --text or --qr")
    request = PlanRequest(
        machine=args.machine,
        material=args.material,
        operations=read_operations(args.operation, args.files, args.drawings),
        placement=_placement(args),
        outputs=plan_outputs(args.format),
        title=(args.title or (args.files[0].name if args.files else ""))[: recipes.MAX_TITLE_LENGTH],
        frame_power_percent=args.frame_power,
        path_style=_path_style(args),
        drawings=args.drawings,
        nesting=nesting_of(args),
        rotary=args.rotary,
    )
    if args.mode is None:
        if says_how(args):
            raise UsageError("options that prepare a picture (--width, --invert, …) need --mode, such as --mode auto")
        return recipes.plan_job(artifacts, request)
    return _prepared_job(args, artifacts, request)


def _prepared_job(args: argparse.Namespace, artifacts: list[str], request: PlanRequest) -> Job:
    pictures = [index for index, path in enumerate(args.files) if not _is_drawing(path) and not is_font(path)]
    if not pictures:
        raise UsageError("--mode prepares pictures, and there are only drawings: leave it out")
    if args.mode == _RELIEF:
        raise UsageError("--mode relief makes many pictures: use `kerf optimize`, then plan its slices one by one")
    if args.mode == RasterMode.RASTER_MODE_POWER_MAP:
        _greys_are_power(request)
    return recipes.prepared_plan_job(artifacts, pictures, raster_request(args), request)


def _greys_are_power(request: PlanRequest) -> None:
    for operation in request.operations:
        raster = operation.kind == OperationKind.OPERATION_KIND_ENGRAVE_RASTER and not operation.HasField("drawing")
        if raster and not operation.grey:
            operation.grey = GreyMeaning.GREY_MEANING_POWER
