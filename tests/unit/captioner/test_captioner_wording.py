"""What is done to a model's words: tidying, the trigger word, the cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerf_captioner.domain.wording import cut_between_words, finished, tidy


@pytest.mark.parametrize(
    "raw, clean",
    [
        ("  a   red\tfox ", "a red fox"),
        ("a fox , a cat .", "a fox, a cat."),
        ("a cat cat cat cat on a mat", "a cat on a mat"),
        ("a very very old key", "a very very old key"),
        ("- a fox,", "a fox"),
        ("a fo\u0000x\nruns", "a fo x runs"),
        ("cafe\u0301", "café"),
        ("\u202ea fox", "a fox"),
        (" ,;", ""),
    ],
)
def test_captions_are_tidied(raw: str, clean: str) -> None:
    assert tidy(raw) == clean


@given(st.text(max_size=80))
def test_tidying_twice_changes_nothing_and_leaves_one_line(text: str) -> None:
    once = tidy(text)
    assert tidy(once) == once
    assert "\n" not in once
    assert "  " not in once


def test_the_trigger_word_comes_first() -> None:
    assert finished("a fox", " kerffox ", 0) == ("kerffox, a fox", False)
    assert finished("", "kerffox", 0) == ("kerffox", False)


def test_a_cut_falls_between_words() -> None:
    assert finished("a very long caption", "", 10) == ("a very", True)
    assert finished("a fox", "kerf", 9) == ("kerf, a", True)
    assert finished("a fox", "kerf", 11) == ("kerf, a fox", False)
    assert cut_between_words("incomprehensible", 6) == "incomp"


@given(st.text(max_size=120), st.integers(1, 60))
def test_no_caption_is_longer_than_allowed(text: str, max_chars: int) -> None:
    cut, was_cut = finished(text, "", max_chars)
    assert len(cut) <= max_chars
    assert was_cut == (cut != tidy(text))
    assert tidy(text).startswith(cut)
