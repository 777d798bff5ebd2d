"""`kerf optimize`, `plan`, `presets` and `grid` as processes against the real gateway and the real optimizer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2e_shell import LIMIT_S, Shell
from kerf.optimizer.v1.optimizer_pb2 import MakeKerfTestRequest, MakeTestGridRequest
from kerf.optimizer.v1.plan_pb2 import OperationKind, OutputFormat
from kerf_client import InvalidRequest, Optimizer
from kerf_client.path_plot import path_plot
from stack_thread import StackThread, running_stack, service

HOSTILE_NAME = '<img src=x onerror=alert(1)>".png'
EVERY_FORMAT = "svg,gcode,dxf,png,preview,pdf,lbrn2,burn,frame,report"
PLAN_FILES = {
    "plan.gcode",
    "plan.svg",
    "plan.dxf",
    "plan.pdf",
    "plan.lbrn2",
    "plan-burn.png",
    "plan-report.json",
    "frame.gcode",
    "preview.png",
    "job-sheet.html",
    "report.html",
    "job.json",
}
DRAWING = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="30mm" height="30mm" viewBox="0 0 30 30">'
    '<circle cx="15" cy="15" r="14" fill="none" stroke="#000"/>'
    '<rect x="10" y="10" width="10" height="10" fill="none" stroke="#000"/></svg>'
)
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def optimizer_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackThread]:
    root = tmp_path_factory.mktemp("optimizer-stack")
    with running_stack(root, service("gateway"), service("optimizer")) as stack:
        yield stack


@pytest.fixture
def kerf(optimizer_stack: StackThread, tmp_path: Path) -> Shell:
    return Shell(optimizer_stack, tmp_path)


def _photo(path: Path) -> None:
    """A ramp with a ball: every grey, and something to see."""
    rows, columns = np.mgrid[:120, :120]
    ball = np.hypot(rows - 60, columns - 60) < 30
    Image.fromarray(np.where(ball, 40, columns * 2).astype(np.uint8)).save(path)


class _Page(HTMLParser):
    """What a browser would make of a page: its elements, and the text between them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def is_harmless(self) -> None:
        """Runs nothing and loads nothing from elsewhere."""
        assert not [tag for tag, _ in self.tags if tag in {"script", "iframe", "object", "link", "a", "form"}]
        assert not [name for _, attributes in self.tags for name in attributes if name.startswith("on")]
        for source in self.pictures():
            assert re.match(r"data:image/(png|svg\+xml);base64,", source)

    def pictures(self) -> list[str]:
        return [str(attributes["src"]) for tag, attributes in self.tags if tag == "img"]


def _are_listed_as_they_are(answer: dict[str, Any], folder: Path) -> None:
    for each in answer["files"]:
        data = (folder / each["path"]).read_bytes()
        assert (each["bytes"], each["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_photo_and_a_drawing_become_files_and_a_page(kerf: Shell) -> None:
    _photo(kerf.folder / HOSTILE_NAME)
    (kerf.folder / "d.svg").write_text(DRAWING)
    answer = kerf.answer(
        *("plan", HOSTILE_NAME, "d.svg", "--mode", "halftone", "--width", "20mm", "--format", EVERY_FORMAT),
        *("--operation", "engrave-raster,speed=2000", "--operation", "cut:2,passes=1", "--overcut", "1", "-o", "out"),
    )
    out = kerf.folder / "out"
    assert {path.name for path in out.iterdir()} == PLAN_FILES | {"burn.png", "simulated-burn.png"}
    _are_listed_as_they_are(answer, kerf.folder)
    assert answer["estimated_seconds"] > 0
    report = json.loads((out / "plan-report.json").read_text())
    assert [(layer["kind"], layer["feed_mm_per_min"], layer["passes"]) for layer in report["layers"]] == [
        ("engrave-raster", 2000, 1),
        ("cut", 300, 1),
    ]
    page = _Page(out / "report.html")
    page.is_harmless()
    assert len(page.pictures()) == 6, "photo, drawing, prepared, simulated, preview, all that burns"
    for text in (HOSTILE_NAME, "Prepared", "Simulated burn", "How the head moves", "Layers", "safety-linter", "passed"):
        assert text in page.text
    assert re.search(r"About .+ \(.+ to .+\), an estimate\. Most of it goes into", page.text)
    assert hashlib.sha256((out / "plan.gcode").read_bytes()).hexdigest() in page.text
    plot = path_plot((out / "plan.gcode").read_bytes())
    assert plot.burn_mm == pytest.approx(report["burn_length_mm"], rel=1e-4), "two readers of one program agree"
    assert plot.travel_mm == pytest.approx(report["travel_length_mm"], rel=1e-4)


def test_text_a_code_and_copies_lie_on_one_sheet(kerf: Shell) -> None:
    (kerf.folder / "d.svg").write_text(DRAWING)
    kerf.answer(
        *("plan", "d.svg", "--text", "x=40,y=2:B", "--qr", "x=40,y=12,size=21,quiet=0:kerf", "--arc-tolerance", "0.02"),
        *("--sheet", "150x150mm", "--part", "1x2", "--part", "d1+d2x2", "--part-gap", "2", "--turn", "90"),
        *("--format", "gcode,report", "-o", "out"),
    )
    report = json.loads((kerf.folder / "out" / "plan-report.json").read_text())
    assert [layer["kind"] for layer in report["layers"]] == ["engrave-fill", "score", "score"]
    gcode = (kerf.folder / "out" / "plan.gcode").read_bytes()
    assert re.search(rb"^G[23] ", gcode, re.MULTILINE), "circles are arcs"
    plot = path_plot(gcode)
    assert plot.burn_mm == pytest.approx(report["burn_length_mm"], rel=2e-3), "arcs are drawn as chords"


def test_greys_burn_as_power_and_a_line_is_cut_around_them(kerf: Shell) -> None:
    _photo(kerf.folder / "photo.png")
    kerf.answer(
        *("plan", "photo.png", "--mode", "power-map", "--width", "12mm", "--format", "png,gcode,report", "-o", "out"),
        *("--operation", "engrave-raster", "--operation", "cut:1,contour=2"),
    )
    out = kerf.folder / "out"
    assert (out / "power-map.png").exists()
    report = json.loads((out / "plan-report.json").read_text())
    assert [layer["kind"] for layer in report["layers"]] == ["engrave-raster", "cut"]
    powers = set(re.findall(rb"S(\d+)", (out / "plan.gcode").read_bytes()))
    assert len(powers) > 20, "many greys, many powers"
    box = report["burn_bounds"]
    assert box["max_x_mm"] - box["min_x_mm"] == pytest.approx(16, abs=0.5), "12 mm and 2 mm on both sides"


def test_optimize_makes_a_picture_of_true_size(kerf: Shell) -> None:
    _photo(kerf.folder / "photo.png")
    answer = kerf.answer(
        *("optimize", "photo.png", "--mode", "burn-simulated", "--spot", "0.1mm", "--width", "30mm", "--dpi", "254"),
        *("--gamma", "1.2", "--sharpen", "0.3mm", "-o", "out"),
    )
    out = kerf.folder / "out"
    assert {path.name for path in out.iterdir()} == {"burn.png", "simulated-burn.png", "report.html", "job.json"}
    _are_listed_as_they_are(answer, kerf.folder)
    with Image.open(out / "burn.png") as burn:
        assert (burn.mode, burn.size) == ("1", (300, 300))
        assert burn.info["dpi"][0] == pytest.approx(254, abs=0.02)
    with Image.open(out / "simulated-burn.png") as simulated:
        assert simulated.mode == "L"
        assert len(np.unique(np.asarray(simulated))) > 2, "tones, not dots"
    page = _Page(out / "report.html")
    page.is_harmless()
    assert len(page.pictures()) == 3
    assert "30.0 × 30.0 mm" in page.text
    assert "Checks" not in page.text, "nothing was planned"


def test_a_relief_has_its_slices_in_order(kerf: Shell) -> None:
    _photo(kerf.folder / "photo.png")
    kerf.answer("optimize", "photo.png", "--mode", "relief", "--slices", "4", "--width", "10mm", "-o", "out")
    names = ["burn.png", "slice-1.png", "slice-2.png", "slice-3.png"]
    dark = []
    for name in names:
        with Image.open(kerf.folder / "out" / name) as picture:
            dark.append(int(np.count_nonzero(~np.asarray(picture))))
    assert dark == sorted(dark, reverse=True), "each within the one before"
    assert len(set(dark)) == len(dark)


def _said(kerf: Shell, *words: str) -> str:
    """What the command tells a person."""
    with kerf.start(*words) as process:
        out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    return out


def _refused(kerf: Shell, *words: str, code: int) -> str:
    with kerf.start(*words, "-o", "refused") as process:
        out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert not (kerf.folder / "refused").exists(), "nothing is written"
    return out + err


def test_refusals_say_what_to_do_and_write_nothing(kerf: Shell) -> None:
    _photo(kerf.folder / "photo.png")
    (kerf.folder / "d.svg").write_text(DRAWING)
    (kerf.folder / "broken.png").write_bytes((kerf.folder / "photo.png").read_bytes()[:60])
    assert "chlorine" in _refused(kerf, "plan", "d.svg", "--material", "pvc", code=2)
    assert "grbl-diode-10w" in _refused(kerf, "plan", "d.svg", "--machine", "nobody", code=2)
    assert "--mode auto" in _refused(kerf, "plan", "photo.png", code=1)
    assert "fits if moved" in _refused(kerf, "plan", "d.svg", "--offset-x", "2000", code=1)
    assert "PVC" in _refused(kerf, "grid", "--material", "pvc", code=2)
    _refused(kerf, "optimize", "broken.png", code=2)


def test_presets_are_narrowed(kerf: Shell) -> None:
    known = kerf.answer("presets")
    assert {"machines", "materials", "presets"} == known.keys()
    cut = kerf.answer(
        "presets", "presets", "--machine", "grbl-diode-10w", "--material", "birch-3mm", "--operation", "cut"
    )
    assert [each["name"] for each in cut["presets"]] == ["grbl-diode-10w/birch-3mm/cut"]
    assert cut.keys() == {"presets"}
    machines = kerf.answer("presets", "machines")
    assert machines["machines"] == known["machines"]
    shown = _said(kerf, "presets", "--machine", "grbl-diode-10w", "--material", "birch-3mm")
    assert re.search(r"grbl-diode-10w/birch-3mm/cut +100 % +300 mm/min +2 x +unverified", shown)
    assert re.search(r"grbl-diode-10w +400 × 400 mm +≤ 6000 mm/min +grbl-m4 ", shown)
    unknown = kerf.answer("presets", "--material", "unobtainium", code=2)
    assert "birch-3mm" in unknown["error"]["message"]


def test_a_grid_and_a_strip_come_with_their_figures(kerf: Shell) -> None:
    grid = kerf.answer("grid", "--columns", "3", "--rows", "2", "--min-power", "20", "--max-power", "40", "-o", "grid")
    cells = grid["test"]["cells"]
    assert sorted({cell["power_percent"] for cell in cells}) == [20, 40]
    assert len(cells) == 6
    out = kerf.folder / "grid"
    assert {"plan.gcode", "plan.svg", "plan.dxf", "preview.png", "job-sheet.html", "report.html", "job.json"} == {
        path.name for path in out.iterdir()
    }
    _are_listed_as_they_are(grid, kerf.folder)
    page = _Page(out / "report.html")
    page.is_harmless()
    for text in ("40 %", "J/mm²", "How the head moves", "safety-linter"):
        assert text in page.text
    strip = _said(kerf, "grid", "kerf", "--pieces", "4", "--piece", "12mm", "--format", "gcode", "-o", "strip")
    assert "Kerf = (48 - L) / 4" in strip
    assert re.search(r"burn time about .+ \(.+ to .+\), an estimate", strip)
    assert {path.name for path in (kerf.folder / "strip").iterdir()} == {
        "plan.gcode",
        "job-sheet.html",
        "report.html",
        "job.json",
    }
    assert "Kerf = (48" in _Page(kerf.folder / "strip" / "report.html").text


def test_the_synchronous_client_asks_the_same(optimizer_stack: StackThread) -> None:
    info = optimizer_stack.info
    with Optimizer(info.targets["optimizer"], info.api_key) as optimizer:
        cut = OperationKind.OPERATION_KIND_CUT
        presets = optimizer.list_presets(machine="grbl-diode-10w", material="birch-3mm", kind=cut).presets
        assert [each.kind for each in presets] == [cut]
        only_gcode = [OutputFormat.OUTPUT_FORMAT_GCODE]
        grid = optimizer.make_test_grid(
            MakeTestGridRequest(material="birch-3mm", kind=cut, columns=2, rows=2, outputs=only_gcode)
        )
        assert len(grid.cells) == 4
        strip = optimizer.make_kerf_test(MakeKerfTestRequest(material="birch-3mm", pieces=3, outputs=only_gcode))
        assert [file.format for file in strip.files] == only_gcode
        with pytest.raises(InvalidRequest, match="chlorine"):
            optimizer.make_kerf_test(MakeKerfTestRequest(material="pvc"))
