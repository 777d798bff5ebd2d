"""Tracing: borders where they are, in millimetres, closed, oriented, inside the sheet."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage import data as pictures

from kerf_core.errors import InvalidArgument
from kerf_media import Picture, decode_picture, encode_png_1bit, encode_png_gray
from kerf_optimizer.domain.geometry import Drawing
from kerf_optimizer.domain.physical import PhysicalSize
from kerf_optimizer.domain.raster import RasterMode, RasterSettings, prepare_raster, raster_to_png
from kerf_optimizer.domain.trace import TraceLimits, TraceMode, TraceReport, TraceSettings, trace

Burn = NDArray[np.bool_]


def traced(burn: Burn, wanted: TraceSettings | None = None) -> Drawing:
    return trace(decode_picture(encode_png_1bit(burn, 10_000)), wanted or TraceSettings())[0]


def rings(radius_px: float, hole_px: float = 0.0, island_px: float = 0.0, side_px: int = 240) -> Burn:
    y, x = np.mgrid[:side_px, :side_px] - (side_px - 1) / 2
    distance = np.hypot(x, y)
    return np.asarray(((distance < radius_px) & (distance >= hole_px)) | (distance < island_px), dtype=np.bool_)


def test_a_disc_is_round_and_of_the_right_size() -> None:
    drawing = traced(rings(80))
    (path,) = drawing.paths
    assert path.closed
    assert path.area_mm2 == pytest.approx(math.pi * 8**2, rel=0.01)
    radii = np.hypot(*(path.points_mm - 12).T)
    assert np.abs(radii - 8).max() < 0.1  # half a pixel of stairs and the tolerance
    assert len(path.points_mm) < 60


def test_outer_borders_run_clockwise_and_holes_the_other_way() -> None:
    drawing = traced(rings(100, 60, 30))
    assert sorted(round(path.area_mm2 / math.pi) for path in drawing.paths) == [-36, 9, 100]
    silhouette = traced(rings(100, 60, 30), TraceSettings(TraceMode.SILHOUETTE))
    assert [round(path.area_mm2 / math.pi) for path in silhouette.paths] == [100]


def test_a_shape_at_the_edge_is_closed_along_it() -> None:
    (path,) = traced(np.ones((50, 80), dtype=np.bool_) & (np.arange(80) < 40)).paths
    assert path.bounds == pytest.approx((0, 0, 4.0, 5.0), abs=0.05)
    assert path.area_mm2 == pytest.approx(20, abs=path.length_mm * 0.05)


def test_thin_lines_survive() -> None:
    burn = np.zeros((60, 60), dtype=np.bool_)
    burn[30, 5:55] = True
    (path,) = traced(burn, TraceSettings(tolerance_mm=0.01)).paths
    assert path.bounds.max_x_mm - path.bounds.min_x_mm == pytest.approx(5, abs=0.1)


def test_specks_vanish_by_area() -> None:
    burn = np.zeros((60, 60), dtype=np.bool_)
    burn[10:12, 10:12] = True  # 0.04 mm²
    burn[30:40, 30:40] = True  # 1 mm²
    assert len(traced(burn).paths) == 1
    assert len(traced(burn, TraceSettings(despeckle_mm2=0.0)).paths) == 2
    assert not traced(burn, TraceSettings(despeckle_mm2=2.0)).paths


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), tolerance_mm=st.sampled_from([0.01, 0.05, 0.2]), mode=st.sampled_from(TraceMode))
def test_properties_of_random_blobs(seed: int, tolerance_mm: float, mode: TraceMode) -> None:
    coarse = np.random.default_rng(seed).random((9, 12))
    burn = np.kron(coarse, np.ones((7, 7))) < 0.45
    wanted = TraceSettings(mode, despeckle_mm2=0.0, tolerance_mm=tolerance_mm)
    drawing = traced(burn, wanted)  # Drawing itself refuses what leaves the sheet
    fine = traced(burn, TraceSettings(mode, despeckle_mm2=0.0, tolerance_mm=0.002))
    assert all(path.closed and len(path.points_mm) >= 3 for path in drawing.paths)
    for path in drawing.paths:
        assert np.array_equal(path.points_mm, path.points_mm.round(3))
        assert shapely.LinearRing(path.points_mm).is_simple
    # The tolerance holds: no simplified path is farther from the fine border than asked (plus rounding).
    border = shapely.MultiLineString([np.vstack([p.points_mm, p.points_mm[:1]]) for p in fine.paths])
    for path in drawing.paths:
        dense = shapely.get_coordinates(shapely.segmentize(shapely.LinearRing(path.points_mm), 0.02))
        assert shapely.distance(shapely.points(dense), border).max() <= tolerance_mm + 0.004
    if mode is TraceMode.SILHOUETTE:
        assert all(path.area_mm2 > 0 for path in drawing.paths)
    else:
        assert sum(path.area_mm2 for path in drawing.paths) == pytest.approx(
            burn.sum() / 100, abs=0.05 * burn.sum() / 100 + 0.3
        )
    again = traced(burn, wanted)
    assert [p.points_mm.tolist() for p in again.paths] == [p.points_mm.tolist() for p in drawing.paths]


def photo(name: str, mode: RasterMode) -> Picture:
    pixels = getattr(pictures, name)()
    made = prepare_raster(decode_picture(encode_png_gray(pixels)), RasterSettings(mode, PhysicalSize(width_mm=40)))
    raster = made.rasters[0]
    return decode_picture(raster_to_png(raster))


@pytest.mark.parametrize("name", ["coins", "camera"])
def test_real_pictures_keep_their_area(name: str) -> None:
    picture = photo(name, RasterMode.THRESHOLD)
    drawing, report = trace(picture, TraceSettings())
    burnt_mm2 = np.count_nonzero(picture.gray() == 0) / 100
    assert sum(path.area_mm2 for path in drawing.paths) == pytest.approx(burnt_mm2, rel=0.02)
    assert report == TraceReport(40.0, drawing.height_mm, len(drawing.paths), drawing.nodes, drawing.length_mm, ())


def test_a_dithered_photograph_is_refused_with_advice() -> None:
    with pytest.raises(InvalidArgument, match="Dithered") as caught:
        trace(photo("camera", RasterMode.FLOYD_STEINBERG), TraceSettings(), TraceLimits(max_crossings=20_000))
    assert caught.value.reason == "TRACE_TOO_DETAILED"


def test_node_and_path_limits() -> None:
    picture = photo("coins", RasterMode.THRESHOLD)
    for limits in (TraceLimits(max_nodes=50), TraceLimits(max_paths=3)):
        with pytest.raises(InvalidArgument) as caught:
            trace(picture, TraceSettings(), limits)
        assert caught.value.reason == "TRACE_TOO_DETAILED"


def test_large_pictures_are_reduced_and_say_so() -> None:
    drawing, report = trace(
        decode_picture(encode_png_1bit(rings(80), 10_000)), TraceSettings(), TraceLimits(max_pixels=10_000)
    )
    assert drawing.paths[0].area_mm2 == pytest.approx(math.pi * 64, rel=0.01)
    assert "reduced to 100 × 100 px" in report.warnings[0]


def test_size_comes_from_the_request_or_the_file_and_from_nowhere_else() -> None:
    burn = rings(80)
    assert traced(burn).width_mm == 24.0
    assert traced(burn, TraceSettings(size=PhysicalSize(height_mm=12))).width_mm == 12.0
    nameless = decode_picture(encode_png_gray(np.where(burn, 0, 255).astype(np.uint8)))
    with pytest.raises(InvalidArgument) as caught:
        trace(nameless, TraceSettings())
    assert caught.value.reason == "SIZE_UNKNOWN"
    drawing, _ = trace(nameless, TraceSettings(size=PhysicalSize(width_mm=33.33333)))
    assert drawing.width_mm == drawing.height_mm == 33.333
    with pytest.raises(InvalidArgument, match="nothing to draw on"):
        trace(nameless, TraceSettings(size=PhysicalSize(width_mm=0.0001)))


@pytest.mark.parametrize("tone", [0, 255])
def test_one_tone(tone: int) -> None:
    picture = decode_picture(encode_png_gray(np.full((50, 50), tone, np.uint8), 10_000))
    drawing, report = trace(picture, TraceSettings())
    assert len(drawing.paths) == (1 if tone == 0 else 0)
    assert bool(report.warnings) == (tone == 255)


def test_grey_borders_are_found_between_pixels() -> None:
    y, x = np.mgrid[:100, :100] - 49.5
    smooth = (127.5 * (1 + np.clip(np.hypot(x, y) - 30.3, -1, 1))).astype(np.uint8)
    (path,) = trace(decode_picture(encode_png_gray(smooth, 10_000)), TraceSettings(tolerance_mm=0.01))[0].paths
    radii = np.hypot(*(path.points_mm - 5).T)
    assert radii.mean() == pytest.approx(3.03, abs=0.01)
    assert np.ptp(radii) < 0.03
