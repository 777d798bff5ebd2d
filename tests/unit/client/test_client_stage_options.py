"""What the options of `kerf optimize`, `plan`, `presets` and `grid` ask the services for."""

from __future__ import annotations

from pathlib import Path

import pytest
from protovalidate import validate

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import Job, Stage
from kerf.optimizer.v1.layout_pb2 import QrCorrection, TextAlignment
from kerf.optimizer.v1.plan_pb2 import Corner, GreyMeaning, OperationKind, OutputFormat, PlanRequest
from kerf.optimizer.v1.raster_pb2 import BackgroundRemoval, DotShape, OptimizeRequest, RasterMode
from kerf_client.cli import build_parser, main, optimize, plan
from kerf_client.cli.console import UsageError
from kerf_client.formats import DEFAULT_FORMATS, FileFormat, plan_outputs
from kerf_client.outputs import PLAN_ROLES, name_outputs, plan_filename, possible_filename

ARTIFACTS = ["artifacts/" + letter * 64 for letter in "abc"]


def _request(*words: str) -> OptimizeRequest:
    return optimize.raster_request(build_parser().parse_args(["optimize", "cat.png", *words]))


def _job(*words: str) -> Job:
    args = build_parser().parse_args(["plan", *words])
    job = plan.job_of(args, ARTIFACTS[: len(args.files)])
    validate(job)
    return job


def _plan(*words: str) -> PlanRequest:
    return _job(*words).stages[0].plan


def test_every_raster_mode_can_be_asked_for() -> None:
    for name, number in RasterMode.items():
        if number:
            mode = name.removeprefix("RASTER_MODE_").lower().replace("_", "-")
            assert _request("--mode", mode).mode == number


def test_optimize_options_reach_the_request() -> None:
    request = _request(
        *(
            "--mode",
            "halftone",
            "--lpi",
            "50",
            "--angle",
            "30",
            "--dot-shape",
            "diamond",
            "--width",
            "5cm",
            "--dpi",
            "300",
        ),
        *("--background", "uneven", "--clahe", "2", "--black", "10", "--white", "240", "--gamma", "1.5", "--negative"),
        *("--curve", "0:0,128:90,255:255", "--sharpen", "0.3mm:120:4", "--invert", "--serpentine"),
        *("--spot", "0.08x0.06mm", "--saturation", "0", "--shortest-run", "0"),
    )
    validate(request)
    assert (request.halftone_lpi, request.halftone_angle_deg, request.dot_shape) == (50, 30, DotShape.DOT_SHAPE_DIAMOND)
    assert (request.size.width_mm, request.size.dpi) == (50, 300)
    tone = request.tone
    assert tone.background == BackgroundRemoval.BACKGROUND_REMOVAL_UNEVEN
    assert (tone.clahe_clip, tone.black_level, tone.white_level, tone.gamma, tone.negative) == (2, 10, 240, 1.5, True)
    assert [(point.grey, point.becomes) for point in tone.curve] == [(0, 0), (128, 90), (255, 255)]
    assert (tone.unsharp.radius_mm, tone.unsharp.percent, tone.unsharp.threshold) == (0.3, 120, 4)
    assert (request.burn.spot_x_mm, request.burn.spot_y_mm) == (0.08, 0.06)
    assert request.burn.HasField("saturation"), "0 is linear, not unset"
    assert request.burn.HasField("shortest_run_mm")
    assert request.invert
    assert request.serpentine


@pytest.mark.parametrize(
    "words, simulated",
    [
        ((), True),
        (("--mode", "relief"), False),
        (("--mode", "power-map"), False),
        (("--dpi", "1000"), False),
        (("--dpi", "1000", "--spot", "0.04mm"), True),
        (("--dpi", "1000", "--simulate"), True),
        (("--no-simulate",), False),
    ],
)
def test_the_burn_is_simulated_where_it_can_be(words: tuple[str, ...], simulated: bool) -> None:
    assert _request(*words).burn_preview is simulated
    assert not _request(*words).HasField("burn") or "--spot" in words, "a known spot changes what `auto` decides"


def test_plan_options_reach_the_request() -> None:
    job = _job(
        *("a.png", "b.svg", "--operation", "engrave-raster,speed=3000,interval=0.1,angle=90,cross-hatch,one-way"),
        *("--operation", "score:2,power=20", "--operation", "cut:2,passes=3,layer=edge,preset=a/b/cut"),
        *("--corner", "center", "--margin", "5", "--rotate", "-90", "--mirror", "--copies-x", "3", "--gap", "2"),
        *("--lead", "1", "--overcut", "0.5", "--merge", "--frame-power", "0.5", "--format", "frame,pdf"),
    )
    request = job.stages[0].plan
    engrave, score, cut = request.operations
    assert (engrave.kind, engrave.input) == (OperationKind.OPERATION_KIND_ENGRAVE_RASTER, 0)
    assert (engrave.speed_mm_per_min, engrave.interval_mm, engrave.scan.angle_deg) == (3000, 0.1, 90)
    assert engrave.scan.cross_hatch
    assert engrave.scan.one_way
    assert (score.input, score.power_percent, score.HasField("scan")) == (1, 20, False)
    assert (cut.input, cut.passes, cut.layer, cut.preset) == (1, 3, "edge", "a/b/cut")
    place = request.placement
    assert (place.corner, place.margin_mm, place.rotation_deg, place.mirror) == (Corner.CORNER_CENTER, 5, -90, True)
    assert (place.copies_x, place.gap_mm) == (3, 2)
    assert (request.path_style.lead_mm, request.path_style.overcut_mm, request.path_style.merge) == (1, 0.5, True)
    assert request.frame_power_percent == 0.5
    assert {OutputFormat.OUTPUT_FORMAT_FRAME_GCODE, OutputFormat.OUTPUT_FORMAT_PDF} <= set(request.outputs)
    assert not _job("b.svg").stages[0].plan.HasField("placement"), "unset: the planner finds the place"


def test_pictures_are_prepared_and_only_their_rasters_are_planned() -> None:
    job = _job("a.png", "b.svg", "c.jpg", "--mode", "auto", "--width", "40mm")
    burn, last = job.stages
    assert [each.artifact for each in burn.inputs] == [ARTIFACTS[0], ARTIFACTS[2]]
    assert burn.optimize.size.width_mm == 40
    assert list(last.inputs[0].from_stage.indices) == [0]
    assert last.inputs[1].artifact == ARTIFACTS[1]
    assert list(last.inputs[2].from_stage.indices) == [2], "a simulated burn lies between the two rasters"
    plain = _job("a.png", "c.jpg", "--mode", "auto", "--no-simulate").stages[1]
    assert [list(each.from_stage.indices) for each in plain.inputs] == [[0], [1]]


def test_text_and_codes_are_drawn_and_burnt_without_being_told() -> None:
    request = _plan(
        *("a.svg", "font.ttf", "--text", "height=6,x=5,y=7,align=center,spacing=-0.1,line=1.2:For Anna: yes\\nno"),
        *("--qr", "size=22,correction=high,quiet=2,light-burns:https://example.org/?a=1,2", "--text", "font=2:B"),
    )
    written, code, other = request.drawings
    assert written.text.text == "For Anna: yes\nno", "only the first colon ends the settings"
    assert (written.text.cap_height_mm, written.x_mm, written.y_mm) == (6, 5, 7)
    assert written.text.alignment == TextAlignment.TEXT_ALIGNMENT_CENTER
    assert (written.text.letter_spacing_mm, written.text.line_spacing) == (-0.1, 1.2)
    assert (code.qr_code.content, code.qr_code.size_mm) == ("https://example.org/?a=1,2", 22)
    assert (code.qr_code.correction, code.qr_code.quiet_modules) == (QrCorrection.QR_CORRECTION_HIGH, 2)
    assert code.qr_code.light_burns
    assert other.text.font_input == 1
    kinds = [OperationKind.Name(each.kind).removeprefix("OPERATION_KIND_") for each in request.operations]
    assert kinds == ["SCORE", "SCORE", "ENGRAVE_FILL", "ENGRAVE_FILL"], "a font itself is not burnt"
    assert [each.drawing for each in request.operations if each.HasField("drawing")] == [0, 1, 2]


def test_operations_say_more_of_inputs_and_drawings() -> None:
    request = _plan(
        *("a.png", "--text", "font=kerf-round:Anna", "--operation", "engrave-raster:1,grey=depth,z-step=0.2,passes=3"),
        *("--operation", "cut:1,contour=2,keep-holes", "--operation", "cut:d1", "--arc-tolerance", "0.02"),
    )
    raster, around, letters = request.operations
    assert (raster.grey, raster.z_step_mm) == (GreyMeaning.GREY_MEANING_DEPTH, 0.2)
    assert (around.contour.distance_mm, around.contour.keep_holes) == (2, True)
    assert (letters.HasField("drawing"), letters.drawing) == (True, 0)
    assert request.path_style.arc_tolerance_mm == 0.02


def test_a_power_map_is_burnt_with_its_power() -> None:
    kinds = ("--operation", "engrave-raster", "--operation", "cut:1,contour=1")
    request = _job("a.png", "--mode", "power-map", *kinds).stages[1].plan
    assert [each.grey for each in request.operations] == [GreyMeaning.GREY_MEANING_POWER, 0]


def test_parts_are_nested_and_a_rotary_is_told() -> None:
    request = _plan(
        *("a.svg", "b.svg", "--text", ":B", "--sheet", "30x20cm", "--part", "1+d1x4", "--part", "2", "--part-gap", "2"),
        *("--sheet-margin", "3", "--turn", "90", "--leave-out"),
    )
    nesting = request.nesting
    assert (nesting.sheet_width_mm, nesting.sheet_height_mm, nesting.gap_mm, nesting.margin_mm) == (300, 200, 2, 3)
    assert (nesting.rotation_step_deg, nesting.leave_out) == (90, True)
    parts = [(list(part.inputs), list(part.drawings), part.copies) for part in nesting.parts]
    assert parts == [([0], [0], 4), ([1], [], 1)]
    usual = _plan("a.svg", "b.svg", "font.otf", "--text", "font=3:B", "--sheet", "300x200mm").nesting.parts
    assert [(list(part.inputs), list(part.drawings)) for part in usual] == [([0], []), ([1], []), ([], [0])]
    rotary = _plan("a.svg", "--rotary", "7cm:12800").rotary
    assert (rotary.diameter_mm, rotary.steps_per_turn) == (70, 12800)


@pytest.mark.parametrize(
    "words, text",
    [
        (("--title", "x"), "nothing to burn"),
        (("a.svg", "--operation", "cut:d1"), "no drawing"),
        (("a.svg", "--part", "1"), "only with --sheet"),
        (("a.svg", "--sheet", "9x9cm", "--part", "2"), "--part 2: '2' is no file"),
        (("a.svg", "--sheet", "9x9cm", "--part", "1+d9"), "no drawing"),
        (("a.svg", "--mode", "auto"), "only drawings"),
        (("a.png", "--mode", "relief"), "slices one by one"),
        (("a.png", "--width", "40mm"), "need --mode"),
        (("a.png", "--no-simulate"), "need --mode"),
        (("a.png", "--mode", "auto", "--black", "200", "--white", "100"), "--white 100 is not above --black 200"),
        (("a.svg", "--operation", "cut,power=0"), "number from"),
        (("a.svg", "--operation", "cut,power"), "is none of power="),
        (("a.svg", "--operation", "cut,speed=fast"), "number from"),
        (("a.svg", "--operation", "cut,colour=red"), "is none of power="),
        (("a.svg", "--operation", "cut:2"), "is no file .1 to 1."),
        (("a.svg", "--operation", "cut", "--operation", "score"), "'2' is no file"),
    ],
)
def test_what_contradicts_itself_is_refused(words: tuple[str, ...], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        _job(*words)


@pytest.mark.parametrize(
    "words, text",
    [
        (("optimize", "a.png", "--mode", "magic"), "burn-simulated"),
        (("optimize", "a.png", "--curve", "5"), "GREY:BECOMES"),
        (("optimize", "a.png", "--curve", "5:256"), "0 to 255"),
        (("optimize", "a.png", "--curve", ",".join(["1:1"] * 65)), "at most 64"),
        (("optimize", "a.png", "--sharpen", "0.3mm:1:1:1"), "LENGTH:PERCENT:LEVELS"),
        (("optimize", "a.png", "--spot", "0.08"), "unit"),
        (("plan", "--text", "Anna"), "a colon and the content"),
        (("plan", "--text", "size=5:Anna"), "is none of x="),
        (("plan", "--text", "height=0:Anna"), "0.5 to 1000"),
        (("plan", "--qr", "correction=best:x"), "low, medium"),
        (("plan", "a.svg", "--sheet", "300"), "300x200mm"),
        (("plan", "a.svg", "--part", "1x0"), "1+d1x4"),
        (("plan", "a.svg", "--rotary", "70"), "unit"),
        (("presets", "lasers"), "machines"),
        (("grid", "--rows", "13"), "1 to 12"),
        (("grid", "kerf", "--rows", "3"), "only for `kerf grid power`"),
        (("grid", "--pieces", "3"), "only for `kerf grid kerf`"),
    ],
)
def test_wrong_usage_is_exit_2(
    words: tuple[str, ...],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(words)
    except SystemExit as left:
        code = int(left.code or 0)
    assert code == 2
    assert text in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["presets", "grid"])
def test_an_optimizer_that_nobody_named_is_exit_3(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERF_CLIENT_GATEWAY", "127.0.0.1:1")
    monkeypatch.setenv("KERF_CLIENT_API_KEY", "a-key")
    monkeypatch.delenv("KERF_CLIENT_OPTIMIZER", raising=False)
    assert main([command]) == 3
    assert "--optimizer HOST:PORT" in capsys.readouterr().err


def test_every_file_of_a_plan_has_a_name_of_ours() -> None:
    names = {plan_filename(role) for role in PLAN_ROLES}
    assert len(names) == len(PLAN_ROLES)
    assert all(possible_filename(name) for name in names)
    assert all(plan_outputs({each}) for each in FileFormat)
    assert FileFormat.LBRN2 not in DEFAULT_FORMATS, "it is experimental"


def test_the_slices_of_a_relief_keep_their_order() -> None:
    outputs = [
        Artifact(name=ARTIFACTS[0], media_type="image/png", labels={"role": "raster", "item": "0", "layer": str(layer)})
        for layer in range(4)
    ]
    named = name_outputs(Job(stages=[Stage(id="burn", outputs=outputs)]))
    assert [each.filename for each in named] == ["burn.png", "slice-1.png", "slice-2.png", "slice-3.png"]
