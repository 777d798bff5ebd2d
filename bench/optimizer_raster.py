"""Raster modes of the optimizer: time beside Pillow, memory, and what burn-simulated dithering is worth.

Times are of one call on a picture that has its final size; sides take turns. Quality is measured in the burn model's
own simulation, seen through a Gaussian of 2 px and without it, on photographs that scikit-image brings along.
"""

from __future__ import annotations

import ctypes
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data as pictures
from skimage.metrics import structural_similarity

from bench._report import Result, arguments, machine_facts, show
from kerf_media import Picture, decode_picture, encode_png_rgb
from kerf_optimizer.domain.burn_model import BurnModel, Spot, burn_dither, burn_preview
from kerf_optimizer.domain.compiled import compile_all
from kerf_optimizer.domain.error_diffusion import FLOYD_STEINBERG, diffuse
from kerf_optimizer.domain.physical import PixelGrid
from kerf_optimizer.domain.raster import RasterMode, RasterSettings, prepare_raster
from kerf_optimizer.domain.raster.burning import Scaled, burn_picture
from kerf_optimizer.domain.raster.settings import ERROR_FILTERS

BENCH = "optimizer_raster"
PEER = "Pillow convert('1')"
PIXELS_PER_METRE = 10_000
SPOTS_PX = (1.0, 1.25, 1.5, 2.0)
SATURATION = 2.0
EYE_SIGMA_PX = 2.0
BORDER_PX = 12
"""Left out where tones are measured: a pixel at the border has no neighbour to add its dose."""
PHOTOS = ("camera", "astronaut", "coins", "chelsea")
SCREENS = (RasterMode.ORDERED, RasterMode.BLUE_NOISE, RasterMode.HALFTONE)
EVERY_MODE = tuple(mode for mode in RasterMode if mode not in (RasterMode.AUTO, RasterMode.PASS_THROUGH))
Gray = NDArray[np.uint8]


@dataclass(frozen=True)
class Plan:
    """How much to look at."""

    rounds: int
    side_px: int
    large_px: int
    photo_px: int
    tone_step: int


FULL = Plan(rounds=15, side_px=1024, large_px=4096, photo_px=1024, tone_step=1)
QUICK = Plan(rounds=2, side_px=512, large_px=1024, photo_px=256, tone_step=51)


@dataclass(frozen=True)
class Quality:
    """Of one way to dither: means over the photographs, and the largest tone error in grey levels."""

    seen_ssim: float
    bare_ssim: float
    tone_error: float


@dataclass
class Measured:
    """Seconds by name, peak memory in pictures by mode, quality by (spot, way)."""

    plan: Plan
    seconds: dict[str, list[float]] = field(default_factory=dict)
    large_seconds: dict[RasterMode, float] = field(default_factory=dict)
    memory: dict[RasterMode, float] = field(default_factory=dict)
    quality: dict[tuple[float, str], Quality] = field(default_factory=dict)


def photo(name: str, side_px: int) -> Gray:
    """A photograph in grey, square."""
    image = Image.fromarray(getattr(pictures, name)()).convert("L")
    return np.asarray(image.resize((side_px, side_px), Image.Resampling.LANCZOS))


def model(spot_px: float) -> BurnModel:
    """A round spot of so many pixels."""
    pitch_mm = 1000 / PIXELS_PER_METRE
    return BurnModel(Spot(spot_px * pitch_mm, spot_px * pitch_mm), pitch_mm, SATURATION)


def in_mode(mode: RasterMode, gray: Gray) -> Callable[[], object]:
    """What the mode does on a picture of the right size."""
    grid = PixelGrid(gray.shape[1], gray.shape[0], PIXELS_PER_METRE)
    scaled = Scaled(gray, None, grid, upscale=1.0, resampled=False)
    wanted, burn_model = RasterSettings(mode), model(1.5)
    return lambda: burn_picture(scaled, wanted, burn_model, lambda: None)


def seconds_of(work: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def take_turns(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Call each side once a round; every round begins with another side. One call of each before is not counted."""
    for work in sides.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(seconds_of(sides[name]))
    return found


def peak_pictures(mode: RasterMode, picture: Picture) -> float:
    """Memory that preparing a picture takes at its peak beyond the picture itself, in pictures (RGB)."""
    # What earlier work freed goes back to the system first, and Linux forgets the peak that it has seen.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _memory_kib("VmRSS")
    prepare_raster(picture, RasterSettings(mode))
    return (_memory_kib("VmHWM") - before) * 1024 / picture.rgb.nbytes


def _memory_kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def colour_photo(side_px: int) -> Picture:
    """A photograph as it comes from a file."""
    image = Image.fromarray(pictures.astronaut()).resize((side_px, side_px), Image.Resampling.BILINEAR)
    return decode_picture(encode_png_rgb(np.asarray(image), PIXELS_PER_METRE))


def similarity(gray: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """SSIM, 7 × 7 window."""
    return float(structural_similarity(gray, other, win_size=7, data_range=255))


def quality(dither: Callable[[Gray], NDArray[np.bool_]], burn_model: BurnModel, plan: Plan) -> Quality:
    """What becomes of photographs and of flat tones."""

    def burnt(gray: Gray) -> NDArray[np.float64]:
        return burn_preview(dither(gray), burn_model).astype(np.float64)

    seen, bare, errors = [], [], []
    for name in PHOTOS:
        gray = photo(name, plan.photo_px)
        result = burnt(gray)
        bare.append(similarity(gray.astype(np.float64), result))
        seen.append(similarity(blurred(gray), blurred(result)))
    for tone in range(0, 256, plan.tone_step):
        inner = blurred(burnt(np.full((128, 128), tone, np.uint8)))[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
        errors.append(abs(float(inner.mean()) - tone))
    return Quality(statistics.fmean(seen), statistics.fmean(bare), max(errors))


def blurred(gray: NDArray[np.uint8] | NDArray[np.float64]) -> NDArray[np.float64]:
    """As the eye sees it."""
    return np.asarray(gaussian_filter(gray.astype(np.float64), EYE_SIGMA_PX))


def ways(burn_model: BurnModel) -> dict[str, Callable[[Gray], NDArray[np.bool_]]]:
    """Burn-simulated dithering with runs as long as the spot and with any runs, and what it has to beat."""
    return {
        "runs ≥ spot": lambda gray: burn_dither(gray, burn_model),
        "any runs": lambda gray: burn_dither(gray, burn_model, 1),
        "Floyd–Steinberg": lambda gray: diffuse(gray, FLOYD_STEINBERG, serpentine=False),
    }


def measure(plan: Plan) -> Measured:
    """Do all of it."""
    compile_all()
    found = Measured(plan)
    gray = photo("camera", plan.side_px)
    sides = {mode.value: in_mode(mode, gray) for mode in EVERY_MODE}
    sides[PEER] = lambda: Image.fromarray(gray).convert("1")
    found.seconds = take_turns(sides, plan.rounds)
    large, colour = photo("camera", plan.large_px), colour_photo(plan.large_px)
    for mode in EVERY_MODE:
        found.large_seconds[mode] = min(seconds_of(in_mode(mode, large)) for _ in range(2))
        found.memory[mode] = peak_pictures(mode, colour)
    for spot_px in SPOTS_PX:
        burn_model = model(spot_px)
        for name, dither in ways(burn_model).items():
            found.quality[spot_px, name] = quality(dither, burn_model, plan)
    return found


def rows(found: Measured) -> list[Result]:
    """The table."""
    return [*_times(found), *_large(found), *_qualities(found)]


def _times(found: Measured) -> list[Result]:
    size = f"{found.plan.side_px}²"
    peer_ms = statistics.median(found.seconds[PEER]) * 1000
    limits = dict.fromkeys((mode.value for mode in ERROR_FILTERS), 20)
    limits |= dict.fromkeys((mode.value for mode in SCREENS), 5)
    limits[RasterMode.BURN_SIMULATED.value] = 100
    results = []
    for mode in EVERY_MODE:
        milliseconds = statistics.median(found.seconds[mode.value]) * 1000
        limit = limits.get(mode.value)
        results.append(
            Result(
                f"{mode.value} at {size}",
                milliseconds,
                "ms",
                True,
                PEER,
                peer_ms,
                f"<= {limit}" if limit else "",
                "" if limit else "no target at this size",
            )
        )
    return results


def _large(found: Measured) -> list[Result]:
    size = f"{found.plan.large_px}²"
    results = []
    for mode in EVERY_MODE:
        results.append(Result(f"{mode.value} at {size}", found.large_seconds[mode], "s", True, target="<= 1"))
    for mode in EVERY_MODE:
        name = f"memory of {mode.value} at {size}"
        why = "beyond the decoded RGB picture, from file size to raster and report"
        results.append(Result(name, found.memory[mode], "pictures", True, target="<= 6", why=why))
    return results


def _qualities(found: Measured) -> list[Result]:
    results = []
    for spot_px in SPOTS_PX:
        plain = found.quality[spot_px, "Floyd–Steinberg"]
        for way in ("runs ≥ spot", "any runs"):
            ours, where = found.quality[spot_px, way], f"spot {spot_px:g} px, {way}"
            peer = "Floyd–Steinberg in the same simulation"
            results += [
                Result(f"SSIM, {where}", ours.seen_ssim, "", False, peer, plain.seen_ssim, ">= 0.985"),
                Result(
                    f"SSIM without the eye, {where}",
                    ours.bare_ssim,
                    "",
                    False,
                    peer,
                    plain.bare_ssim,
                    why="only shown: single pixels against tones",
                ),
                Result(f"largest tone error, {where}", ours.tone_error, "/255", True, peer, plain.tone_error, "<= 1.5"),
            ]
    return results


def main(words: Sequence[str]) -> None:
    """Measure and show."""
    options = arguments(BENCH, "Raster modes: time, memory, quality of the simulated burn.").parse_args(words)
    found = measure(QUICK if options.quick else FULL)
    versions = {name: version(name) for name in ("numpy", "numba", "pillow", "opencv-python-headless")}
    show(options, BENCH, machine_facts(versions), rows(found))


if __name__ == "__main__":
    main(sys.argv[1:])
