"""`kerf optimize`: a picture to one that burns. `kerf plan` takes the same options for pictures that it prepares."""

from __future__ import annotations

import argparse
from pathlib import Path

from kerf.jobs.v1.job_pb2 import Job
from kerf.optimizer.v1.raster_pb2 import (
    BackgroundRemoval,
    BurnModel,
    CurvePoint,
    DotShape,
    OptimizeRequest,
    PhysicalSize,
    PowerRange,
    RasterMode,
    ToneAdjustments,
    UnsharpMask,
)
from kerf_client import recipes
from kerf_client.cli import options
from kerf_client.cli.console import EXIT_CODE_HELP, UsageError
from kerf_client.cli.stages import add_stage_options

DESCRIPTION = """\
Makes a picture fit for a laser: size, tones, then the dots or lines that burn. Writes burn.png (black burns), the
simulated burn, and report.html beside them. The size is true: the PNG states its dots per metre.
"""
_MODES = RasterMode.DESCRIPTOR
_NOT_SIMULATED = frozenset(
    {RasterMode.RASTER_MODE_RELIEF, RasterMode.RASTER_MODE_POWER_MAP, RasterMode.RASTER_MODE_PASS_THROUGH}
)
_FINEST_SIMULATED_DPI = 600.0
"""Finer rasters have lines closer than half the usual spot: the simulation refuses them unless the spot is given."""

_MAX_CURVE_POINTS = 64


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `optimize`."""
    parser = commands.add_parser(
        "optimize",
        help="picture to burnable picture",
        description=DESCRIPTION,
        epilog=EXIT_CODE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs=1, type=Path, metavar="IMAGE")
    parser.add_argument(
        "--mode",
        type=options.of_proto(_MODES),
        default=RasterMode.RASTER_MODE_FLOYD_STEINBERG,
        metavar="MODE",
        help=f"(default: floyd-steinberg) {options.proto_names(_MODES)}",
    )
    add_raster_options(parser)
    add_stage_options(parser, "optimize", _job)


def add_raster_options(parser: argparse.ArgumentParser) -> None:
    """Everything of an optimize request but its mode."""
    options.add_size_options(parser)
    _add_mode_options(parser.add_argument_group("for some modes"))
    _add_tone_options(parser.add_argument_group("tone tools, in the order in which they are used"))
    _add_burn_options(parser.add_argument_group("the spot and the material, for burn-simulated and the simulated burn"))


def _add_mode_options(group: argparse._ArgumentGroup) -> None:
    shapes = options.proto_names(DotShape.DESCRIPTOR)
    group.add_argument(
        "--threshold", type=options.whole(1, 255), metavar="N", help="darker burns: threshold (default: Otsu's), band"
    )
    group.add_argument("--threshold-low", type=options.whole(0, 254), default=0, metavar="N", help="band-threshold")
    group.add_argument("--lpi", type=options.number(1, 300), default=0.0, metavar="N", help="halftone, newsprint")
    group.add_argument("--angle", type=options.number(-360, 360), metavar="DEGREES", help="halftone, newsprint (45)")
    group.add_argument(
        "--dot-shape",
        type=options.of_proto(DotShape.DESCRIPTOR),
        default=0,
        metavar="SHAPE",
        help=f"halftone: {shapes}",
    )
    group.add_argument(
        "--line-width", type=options.length_mm, default=0.0, metavar="LENGTH", help="line-art, sketch (0.4mm)"
    )
    group.add_argument("--serpentine", action="store_true", help="error diffusion turns round at the end of each row")
    group.add_argument("--ordered-size", type=options.whole(2, 8), default=0, metavar="N", help="ordered: 2, 4, 8 (8)")
    group.add_argument(
        "--adaptive-window", type=options.length_mm, default=0.0, metavar="LENGTH", help="adaptive-threshold (3mm)"
    )
    group.add_argument(
        "--adaptive-offset", type=options.whole(0, 254), metavar="N", help="adaptive-threshold: grey levels (10)"
    )
    group.add_argument("--slices", type=options.whole(2, 64), default=0, metavar="N", help="relief (8)")
    percent = options.number(0, 100)
    group.add_argument("--min-power", type=percent, default=0.0, metavar="PERCENT", help="power-map: lightest grey")
    group.add_argument("--max-power", type=percent, default=0.0, metavar="PERCENT", help="power-map: black (100)")
    group.add_argument("--power-levels", type=options.whole(2, 256), default=0, metavar="N", help="power-map (256)")
    group.add_argument("--invert", action="store_true", help="burn light instead of dark")


def _add_tone_options(group: argparse._ArgumentGroup) -> None:
    kinds = options.proto_names(BackgroundRemoval.DESCRIPTOR)
    group.add_argument(
        "--background",
        type=options.of_proto(BackgroundRemoval.DESCRIPTOR),
        default=0,
        metavar="KIND",
        help=f"makes paper white: {kinds}",
    )
    group.add_argument(
        "--clahe", type=options.number(0, 40), default=0.0, metavar="CLIP", help="local contrast; 2 is common"
    )
    group.add_argument("--black", type=options.whole(0, 254), default=0, metavar="N", help="grey that becomes black")
    group.add_argument("--white", type=options.whole(1, 255), default=0, metavar="N", help="grey that becomes white")
    group.add_argument("--gamma", type=options.number(0.01, 10), default=0.0, metavar="N", help="above 1 darker (1)")
    group.add_argument(
        "--curve",
        type=_curve,
        default=[],
        metavar="GREY:BECOMES,…",
        help="a material's tones, such as 0:0,128:90,255:255",
    )
    group.add_argument(
        "--sharpen", type=_unsharp, metavar="LENGTH[:PERCENT[:LEVELS]]", help="such as 0.3mm:120:4 (PERCENT: 100)"
    )
    group.add_argument("--negative", action="store_true", help="light becomes dark, what is transparent stays unburnt")


def _add_burn_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--spot", type=_spot, metavar="LENGTH[xLENGTH]", help="diameter along and across the scan, such as 0.08x0.06mm"
    )
    group.add_argument("--saturation", type=options.number(0, 10), metavar="N", help="0 = linear (2)")
    group.add_argument(
        "--shortest-run", type=options.number(0, 10), metavar="MM", help="burn-simulated: 0 = any run (the spot)"
    )
    group.add_argument(
        "--simulate",
        action=argparse.BooleanOptionalAction,
        help="show what the burn will look like (default: yes, but for relief, power-map and pass-through, and above "
        f"{_FINEST_SIMULATED_DPI:g} dots per inch)",
    )


def _curve(text: str) -> list[CurvePoint]:
    read, points = options.whole(0, 255), []
    for part in text.split(","):
        grey, colon, becomes = part.partition(":")
        if not colon:
            raise argparse.ArgumentTypeError(f"{part!r}: write GREY:BECOMES, such as 128:90")
        points.append(CurvePoint(grey=read(grey), becomes=read(becomes)))
    if len(points) > _MAX_CURVE_POINTS:
        raise argparse.ArgumentTypeError(f"{len(points)} points are too many; at most {_MAX_CURVE_POINTS}")
    return points


def _unsharp(text: str) -> UnsharpMask:
    radius, *more = text.split(":")
    if len(more) > 2:
        raise argparse.ArgumentTypeError(f"{text!r}: write LENGTH:PERCENT:LEVELS, such as 0.3mm:120:4")
    return UnsharpMask(
        radius_mm=options.length_mm(radius),
        percent=options.number(0, 500)(more[0]) if more else 100.0,
        threshold=options.whole(0, 255)(more[1]) if len(more) > 1 else 0,
    )


def _spot(text: str) -> tuple[float, float]:
    """`0.08mm` or `0.08x0.06mm`."""
    return options.two_lengths_mm(text) if "x" in text else (options.length_mm(text), 0.0)


def raster_request(args: argparse.Namespace) -> OptimizeRequest:
    """What the options ask for. Raises UsageError for options that contradict each other."""
    if args.white and args.white <= args.black:
        raise UsageError(f"--white {args.white} is not above --black {args.black}")
    return OptimizeRequest(
        mode=args.mode,
        size=PhysicalSize(width_mm=args.width or 0.0, height_mm=args.height or 0.0, dpi=args.dpi),
        threshold=args.threshold,
        threshold_low=args.threshold_low,
        halftone_lpi=args.lpi,
        halftone_angle_deg=args.angle,
        dot_shape=args.dot_shape,
        line_width_mm=args.line_width,
        invert=args.invert,
        tone=_tone(args),
        serpentine=args.serpentine,
        ordered_size=args.ordered_size,
        adaptive_window_mm=args.adaptive_window,
        adaptive_offset=args.adaptive_offset,
        relief_layers=args.slices,
        power=PowerRange(min_percent=args.min_power, max_percent=args.max_power, levels=args.power_levels),
        burn=_burn(args),
        burn_preview=_simulated(args),
    )


def says_how(args: argparse.Namespace) -> bool:
    """True if any option but --mode was given."""
    request = raster_request(args)
    request.ClearField("mode")
    request.ClearField("burn_preview")
    silent = OptimizeRequest(size=PhysicalSize(), tone=ToneAdjustments(), power=PowerRange())
    return request != silent or args.simulate is not None


def _tone(args: argparse.Namespace) -> ToneAdjustments:
    return ToneAdjustments(
        background=args.background,
        clahe_clip=args.clahe,
        black_level=args.black,
        white_level=args.white,
        gamma=args.gamma,
        curve=args.curve,
        unsharp=args.sharpen,
        negative=args.negative,
    )


def _burn(args: argparse.Namespace) -> BurnModel | None:
    """Unset where nothing was said: a spot that is known changes what `auto` decides."""
    if args.spot is None and args.saturation is None and args.shortest_run is None:
        return None
    along_mm, across_mm = args.spot or (0.0, 0.0)
    return BurnModel(
        spot_x_mm=along_mm, spot_y_mm=across_mm, saturation=args.saturation, shortest_run_mm=args.shortest_run
    )


def _simulated(args: argparse.Namespace) -> bool:
    if args.simulate is not None:
        return bool(args.simulate)
    fine = args.dpi > _FINEST_SIMULATED_DPI and args.spot is None
    return args.mode not in _NOT_SIMULATED and not fine


def _job(args: argparse.Namespace, artifacts: list[str]) -> Job:
    return recipes.optimize_job(artifacts[0], raster_request(args))
