"""What a request may ask: every violated field is named, all at once."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerf_core.errors import InvalidArgument
from kerf_diffusion.domain.requests import Limits, LoraWeight, PictureRequest, Scheduler, check_request, check_size
from kerf_sd.schedulers import SchedulerKind

GOOD = PictureRequest(prompt="a fox", seed=1)
LIMITS = Limits()


def violated(request: PictureRequest) -> set[str]:
    try:
        check_request(request, LIMITS)
    except InvalidArgument as error:
        return {violation.field for violation in error.violations if violation.field in error.message}
    return set()


def test_a_plain_request_is_fine() -> None:
    assert violated(GOOD) == set()


@pytest.mark.parametrize(
    "change, field",
    [
        ({"prompt": " \n"}, "prompt"),
        ({"prompt": "x" * 2001}, "prompt"),
        ({"prompt": "fox\0"}, "prompt"),
        ({"negative_prompt": "x" * 5000}, "negative_prompt"),
        ({"width_px": 100}, "width_px"),
        ({"height_px": 8}, "height_px"),
        ({"width_px": -64}, "width_px"),
        ({"height_px": 4096}, "height_px"),
        ({"width_px": 2048, "height_px": 2048}, "width_px"),
        ({"steps": -1}, "steps"),
        ({"steps": 151}, "steps"),
        ({"images": 0}, "images"),
        ({"images": 17}, "images"),
        ({"seed": -1}, "seed"),
        ({"seed": 1 << 32}, "seed"),
        ({"guidance": math.nan}, "guidance"),
        ({"guidance": math.inf}, "guidance"),
        ({"guidance": -0.5}, "guidance"),
        ({"preview_every_steps": -1}, "preview_every_steps"),
        ({"loras": (LoraWeight("", 1.0),)}, "loras[0].name"),
        ({"loras": (LoraWeight("a", 1.0), LoraWeight("b", math.nan))}, "loras[1].weight"),
        ({"loras": (LoraWeight("a", 4.5),)}, "loras[0].weight"),
        ({"loras": (LoraWeight("a", 1.0),) * 9}, "loras"),
    ],
)
def test_each_bad_field_is_named(change: dict[str, object], field: str) -> None:
    assert violated(replace(GOOD, **change)) == {field}  # type: ignore[arg-type] # the table holds all kinds of fields


def test_all_bad_fields_are_named_at_once() -> None:
    bad = replace(GOOD, prompt="", width_px=7, steps=999, images=99)
    assert violated(bad) == {"prompt", "width_px", "steps", "images"}


@given(st.integers(-100, 5000), st.integers(-100, 5000))
def test_a_size_passes_exactly_if_it_keeps_the_rules(width_px: int, height_px: int) -> None:
    def side_is_good(side_px: int) -> bool:
        return side_px == 0 or (side_px % 16 == 0 and LIMITS.min_side_px <= side_px <= LIMITS.max_side_px)

    good = side_is_good(width_px) and side_is_good(height_px) and width_px * height_px <= LIMITS.max_pixels
    if good:
        check_size(width_px, height_px, 16, LIMITS)
    else:
        with pytest.raises(InvalidArgument):
            check_size(width_px, height_px, 16, LIMITS)


def test_the_samplers_have_the_same_names_in_the_library() -> None:
    assert [scheduler.value for scheduler in Scheduler] == [kind.value for kind in SchedulerKind]
