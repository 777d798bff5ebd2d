"""Reads a PDF from kerf back, by its cross-reference table and operators, and compares it with what was meant.

A strict reader of the little that the writer uses: anything else in the file is a difference.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kerf_optimizer.domain.geometry import Path
from kerf_optimizer.domain.machine.comparison import TOLERANCE_MM, compare_layers, differs
from kerf_optimizer.domain.machine.work import Layer
from kerf_optimizer.domain.presets import MachineProfile

CHECK = "pdf-read-back"
_MM_PER_POINT = 25.4 / 72
_SIZE_MM = 0.01
_STATE_ONLY = frozenset(("w", "rg", "RG", "q", "Q", "EMC"))
"""Operators that draw nothing by themselves."""
_OBJECT = re.compile(rb"(\d+) 0 obj\n(<<.*?>>)\n(?:stream\n|endobj\n)", re.DOTALL)


@dataclass
class _Drawn:
    """What the operators drew, in millimetres from the page's lower left corner.

    `pictures`: layer, name, and matrix of each. `names` are those of the layers.
    """

    names: Sequence[str]
    paths: dict[str, list[Path]] = field(default_factory=dict)
    pictures: list[tuple[str, str, tuple[float, ...]]] = field(default_factory=list)
    _layer: str = ""
    _matrices: list[tuple[float, ...]] = field(default_factory=list)
    _points: list[tuple[float, float]] = field(default_factory=list)

    def run(self, content: str) -> None:
        """Follow the operators."""
        self.paths = {name: [] for name in self.names}
        operands: list[str] = []
        for word in content.split():
            if re.fullmatch(r"-?[\d.]+|/\w+", word):
                operands.append(word)
                continue
            if word not in _STATE_ONLY:
                self._operate(word, operands)
            operands.clear()
        scale = self._matrices[0][0] if self._matrices else 0.0
        if not np.isclose(scale * _MM_PER_POINT, 1.0, rtol=0, atol=1e-9):
            raise differs(CHECK, "the unit is not the millimetre")

    def _operate(self, operator: str, operands: Sequence[str]) -> None:
        match operator:
            case "cm":
                self._matrices.append(tuple(float(number) for number in operands))
            case "BDC":
                self._layer = self.names[int(operands[1].removeprefix("/L"))]
            case "Do":
                self.pictures.append((self._layer, operands[0], self._matrices[-1]))
            case "m" | "l":
                if operator == "m":
                    self._finish(False)
                self._points.append((float(operands[0]), float(operands[1])))
            case "h" | "S" | "f*":
                self._finish(operator == "h")
            case _:
                raise differs(CHECK, f"an operator {operator!r} that was not written")

    def _finish(self, closed: bool) -> None:
        if self._points:
            self.paths[self._layer].append(Path(np.array(self._points), closed))
            self._points.clear()


def check_pdf(data: bytes, layers: Sequence[Layer], machine: MachineProfile) -> str:
    """Read the file back and compare page, layers, paths and pixels. Returns what was compared; raises Internal."""
    objects = _objects(data)
    page = objects[3][0].decode("ascii")
    box = re.search(r"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", page)
    size_mm = [float(side) * _MM_PER_POINT for side in box.groups()] if box else [0.0, 0.0]
    if not np.allclose(size_mm, (machine.bed_width_mm, machine.bed_height_mm), rtol=0, atol=_SIZE_MM):
        raise differs(CHECK, "the page is not the bed")
    names = [_name(objects[int(number)][0]) for number in re.findall(r"/L\d+ (\d+) 0 R", page)]
    drawn = _Drawn(names)
    drawn.run(objects[4][1].decode("ascii"))
    pictures = _check_pictures(drawn, objects, page, layers)
    return f"{compare_layers(CHECK, layers, drawn.paths)}; {pictures} picture(s) pixel by pixel; page in true size"


def _objects(data: bytes) -> dict[int, tuple[bytes, bytes]]:
    """Dictionary and unpacked stream of each object, found through the cross-reference table."""
    tail = re.search(rb"startxref\n(\d+)\n%%EOF\n\Z", data)
    place = int(tail[1]) if tail else len(data)
    table = re.compile(rb"xref\n0 (\d+)\n((?:\d{10} \d{5} [fn] \n)+)").match(data, place)
    if table is None:
        raise differs(CHECK, "the file has no table of its objects")
    rows = [row for row in table[2].split(b"\n") if row.endswith(b"n ")]
    out = {}
    for number, row in enumerate(rows, start=1):
        match = _OBJECT.match(data, int(row[:10]))
        if match is None or int(match[1]) != number:
            raise differs(CHECK, f"object {number} is not where the table says")
        length = re.search(rb"/Length (\d+)", match[2])
        packed = data[match.end() : match.end() + int(length[1])] if length else b""
        out[number] = (match[2], zlib.decompress(packed) if packed else b"")
    if len(out) < 5:
        raise differs(CHECK, "objects are missing")
    return out


def _name(body: bytes) -> str:
    match = re.search(rb"/Name <FEFF([0-9A-F]*)>", body)
    return bytes.fromhex(match[1].decode("ascii")).decode("utf-16-be") if match else ""


def _check_pictures(drawn: _Drawn, objects: dict[int, tuple[bytes, bytes]], page: str, layers: Sequence[Layer]) -> int:
    meant = [(layer.name, raster) for layer in layers for raster in layer.rasters]
    if [name for name, _, _ in drawn.pictures] != [name for name, _ in meant]:
        raise differs(CHECK, "a picture is missing")
    numbers = {name: int(number) for name, number in re.findall(r"(/I\d+) (\d+) 0 R", page)}
    for (_, name, matrix), (_, raster) in zip(drawn.pictures, meant, strict=True):
        rows, columns = raster.burn.shape
        place = (columns * raster.pitch_mm, 0, 0, rows * raster.pitch_mm, raster.left_mm, raster.front_mm)
        if not np.allclose(matrix, place, rtol=0, atol=TOLERANCE_MM):
            raise differs(CHECK, "a picture lies elsewhere")
        head, pixels = objects[numbers[name]][0], np.frombuffer(objects[numbers[name]][1], dtype=np.uint8)
        if b"/BitsPerComponent 8 " not in head:
            pixels = np.unpackbits(pixels) * 255
        width = columns if b"/BitsPerComponent 8 " in head else -(-columns // 8) * 8
        if pixels.size != rows * width or not np.array_equal(pixels.reshape(rows, width)[:, :columns], raster.grey):
            raise differs(CHECK, "a picture has other pixels")
    return len(meant)
