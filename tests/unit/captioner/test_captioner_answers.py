"""The cache: what makes two askings the same, and that it stays within its bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kerf_captioner.domain.answers import AnswerCache, answer_key
from kerf_captioner.domain.engine import CaptionOrder, Engine, ModelFacts

FACTS = ModelFacts("tiny", Engine.BLIP, "ab" * 32, 32, 1, 30, 1.0)
ORDER = CaptionOrder("a picture of", 1, 30, 0, 1.0)
PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def test_equal_askings_have_equal_keys() -> None:
    assert answer_key("t", PIXELS.copy(), FACTS, replace(ORDER)) == answer_key("t", PIXELS, FACTS, ORDER)


@pytest.mark.parametrize(
    "changed",
    [
        {"prompt": "a drawing of"},
        {"beams": 2},
        {"max_tokens": 31},
        {"min_tokens": 1},
        {"repetition_penalty": 1.1},
    ],
)
def test_every_parameter_counts(changed: dict[str, object]) -> None:
    other = replace(ORDER, **changed)  # type: ignore[arg-type]  # fields of several kinds
    assert answer_key("t", PIXELS, FACTS, other) != answer_key("t", PIXELS, FACTS, ORDER)


def test_pixels_shape_model_and_tenant_count() -> None:
    changed = PIXELS.copy()
    changed[0, 0, 0] ^= 1
    keys = {
        answer_key("t", PIXELS, FACTS, ORDER),
        answer_key("t", changed, FACTS, ORDER),
        answer_key("t", PIXELS.reshape(2, 8, 3), FACTS, ORDER),
        answer_key("t", PIXELS, replace(FACTS, sha256="cd" * 32), ORDER),
        answer_key("u", PIXELS, FACTS, ORDER),
    }
    assert len(keys) == 5


def test_the_longest_unused_is_dropped_when_the_bytes_are_used_up() -> None:
    cache = AnswerCache(3 * 300)
    for key in "abc":
        cache.put(key, "x" * 40)
    assert cache.get("a") == "x" * 40
    cache.put("d", "y" * 40)
    assert cache.get("b") is None
    assert [cache.get(key) is not None for key in "acd"] == [True, True, True]
    assert cache.used_bytes <= 900


def test_a_replaced_text_is_counted_once() -> None:
    cache = AnswerCache(1000)
    for _ in range(10):
        cache.put("a", "x" * 40)
    assert cache.used_bytes == 296


def test_nothing_is_kept_without_room() -> None:
    cache = AnswerCache(0)
    cache.put("a", "")
    assert cache.get("a") is None
    small = AnswerCache(300)
    small.put("a", "x" * 100)
    assert small.get("a") is None
    assert small.used_bytes == 0
