"""A large dithered picture as G-code: written, linted, read back and painted again, and the memory of reading it."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data as pictures

from bench._report import Result
from kerf_optimizer.domain.error_diffusion import FLOYD_STEINBERG, diffuse
from kerf_optimizer.domain.geometry import Raster
from kerf_optimizer.domain.machine.gcode import write_gcode
from kerf_optimizer.domain.machine.work import Work
from kerf_optimizer.domain.planning import Operation, OperationKind, Placement, PlanLimits, PlanSpec
from kerf_optimizer.domain.planning.sequence import build_work
from kerf_optimizer.domain.planning.verify import check_gcode
from kerf_optimizer.domain.rehearsal import rehearse

PITCH_MM = 0.05
SECONDS = 10
BYTES_PER_PIXEL = 16
"""The most that the read-back may take, however many moves there are."""
MANY_PIXELS = 4_000_000
"""With fewer, buffers of a fixed size outweigh the pixels."""
STATUS = Path("/proc/self/status")


def dithered(side_px: int) -> Work:
    """A photograph in error diffusion at 0.05 mm: runs of a pixel or two, the most moves that a picture makes."""
    photo = Image.fromarray(pictures.camera()).resize((side_px, side_px), Image.Resampling.LANCZOS)
    burn = diffuse(np.asarray(photo), FLOYD_STEINBERG, serpentine=False)
    operation = Operation(0, OperationKind.ENGRAVE_RASTER)
    spec = PlanSpec("birch-3mm", (operation,), placement=Placement(offset_x_mm=30, offset_y_mm=30))
    return build_work(spec, [Raster(burn, PITCH_MM)], lambda: None, PlanLimits(max_moves=10**8))


def memory_bytes(name: str) -> int:
    """VmRSS or VmHWM of this process."""
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def measure(side_px: int) -> list[Result]:
    """Time and memory of both ways."""
    rehearse()
    work = dithered(side_px)
    began = time.perf_counter()
    gcode = write_gcode(work, 1.0)
    written_s = time.perf_counter() - began
    # What earlier work freed goes back to the system first, and Linux forgets the peak that it has seen.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = memory_bytes("VmRSS")
    began = time.perf_counter()
    checks = check_gcode(gcode, work)  # raises where a single pixel differs
    read_s = time.perf_counter() - began
    taken_bytes = memory_bytes("VmHWM") - before
    return rows(side_px, len(work.toolpath), len(gcode), (written_s, read_s), taken_bytes, len(checks))


def rows(
    side_px: int, moves: int, size_bytes: int, seconds: tuple[float, float], taken_bytes: int, checks: int
) -> list[Result]:
    """The table: both together have the target."""
    what = f"{moves:,} moves, {size_bytes / 2**20:.0f} MiB of G-code"
    why = f"{what}; read back by the safety linter and {checks - 1} proofs, every pixel painted again"
    told = f"{taken_bytes / 2**20:.0f} MiB beyond the plan and the file, {taken_bytes / moves:.0f} bytes per move"
    name, large = f"raster of {side_px}² as G-code", side_px**2 >= MANY_PIXELS
    return [
        Result(f"{name}: written and read back", sum(seconds), "s", True, target=f"<= {SECONDS}", why=why),
        Result(f"{name}: written", seconds[0], "s", True, why="a part of the row above"),
        Result(
            f"{name}: memory of the read-back per pixel",
            taken_bytes / side_px**2,
            "bytes",
            True,
            target=f"<= {BYTES_PER_PIXEL}" if large else "",
            why=told if large else f"only shown: buffers of a fixed size outweigh few pixels; {told}",
        ),
    ]
