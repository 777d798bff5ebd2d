"""Captions name what is drawn, read like language, and use no word that the vocabulary does not list."""

import re
from collections import Counter

import numpy as np
import pytest

from kerf_world.captions import caption, named_in, usual_caption, with_article
from kerf_world.kinds import LETTERS, OBJECTS, SUBJECTS, Kind, Subject
from kerf_world.scenes import COUNTS, Arrangement, Border, Scene, Style, random_scene
from kerf_world.vocabulary import (
    NUMBERS,
    known_words,
    names_of,
    style_names,
    style_phrases,
    subject_phrases,
    words_in,
)

CAT, STAR = Subject(Kind.CAT), Subject(Kind.STAR)


def captions_of(scene: Scene, count: int = 60) -> list[str]:
    rng = np.random.default_rng(1)
    return [caption(scene, rng) for _ in range(count)]


def test_captions_name_the_subjects_and_the_style_and_nothing_else() -> None:
    rng = np.random.default_rng(2)
    for _ in range(4000):
        scene = random_scene(rng, None)
        text = caption(scene, rng, styled=True)
        named = named_in(text)
        assert named.subjects == set(scene.subjects), text
        assert named.styles == {scene.style}, text
        assert named.unknown == (), text


def test_most_captions_name_the_style_and_some_leave_it_open() -> None:
    rng = np.random.default_rng(3)
    styled = 0
    for _ in range(1000):
        scene = random_scene(rng, None)
        styles = named_in(caption(scene, rng)).styles
        assert styles <= {scene.style}
        styled += bool(styles)
    assert 900 <= styled < 1000


def test_every_word_of_every_caption_is_listed() -> None:
    rng = np.random.default_rng(4)
    known = set(known_words())
    used = {word for _ in range(4000) for word in words_in(caption(random_scene(rng, None), rng))}
    assert used <= known
    assert len(used) > 400
    assert len(known) == len(known_words())
    assert "motorcycle" not in known


def test_unknown_words_are_told_in_their_order() -> None:
    named = named_in("Line art of a giraffe and a cat, quickly")
    assert named.unknown == ("giraffe", "quickly")
    assert named.subjects == {CAT}
    assert named.styles == {Style.LINE_ART}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("a horseshoe", "horseshoe"),
        ("compass rose", "compass"),
        ("a wagon wheel", "wheel"),
        ("christmas tree", "pine"),
        ("a palm tree", "palm"),
        ("tree", "tree"),
        ("letter b", "letter_b"),
        ("two clover leaves", "clover"),
        ("hot air balloon", "balloon"),
        ("A Peace Dove.", "dove"),
        ("three pairs of glasses", "glasses"),
    ],
)
def test_the_longest_name_counts(text: str, label: str) -> None:
    assert [subject.label for subject in named_in(text).subjects] == [label]


def test_a_purpose_is_no_style() -> None:
    assert named_in("a cat, for laser engraving").styles == frozenset()
    assert named_in("an engraving of a cat").styles == {Style.ENGRAVING}
    assert named_in("silhouette of a cat, for laser engraving").styles == {Style.SILHOUETTE}


def test_no_name_stands_for_two_things() -> None:
    phrases = subject_phrases()
    assert set(phrases.values()) == set(SUBJECTS)
    assert not set(phrases) & set(style_phrases())
    assert set(style_phrases().values()) == set(Style)
    for subject in OBJECTS:
        for name in names_of(subject):
            assert named_in(name.one).subjects == {subject}, name
            assert named_in(name.many).subjects == {subject}, name


def test_captions_are_a_pure_function_of_scene_and_generator() -> None:
    scene = Scene((CAT,), Style.STENCIL, Arrangement.ROW, Border.RING, 3, 7)
    one, again = (caption(scene, np.random.default_rng(9)) for _ in range(2))
    assert one == again
    assert len(set(captions_of(scene))) > 30


def test_repetition_is_told_in_the_plural_and_by_number() -> None:
    for arrangement in (Arrangement.ROW, Arrangement.GRID, Arrangement.CIRCLE):
        for count in COUNTS[arrangement]:
            texts = captions_of(Scene((CAT,), Style.LINE_ART, arrangement, Border.NONE, count, 1))
            assert all(re.search(r"\b(cats|kittens|kitties|sitting cats)\b", text) for text in texts)
            assert any(NUMBERS[count] in text for text in texts)
            others = set(NUMBERS.values()) - {NUMBERS[count]}
            assert not any(other in text.split() for text in texts for other in others)
    alone = captions_of(Scene((CAT,), Style.LINE_ART))
    assert not any(re.search(r"\b(cats|kittens|kitties)\b", text) for text in alone)


def test_a_pair_is_named_in_its_order() -> None:
    left = [t for t in captions_of(Scene((CAT, STAR), Style.LINE_ART, Arrangement.BESIDE, count=2)) if "left of" in t]
    assert left
    assert all(min(t.find(w) for w in ("cat", "kit") if w in t) < t.find("left of") < t.find("star") for t in left)
    above = captions_of(Scene((CAT, STAR), Style.LINE_ART, Arrangement.ABOVE, count=2))
    under = [text for text in above if " under " in text or " below " in text]
    assert under
    assert all(text.find("star") < re.search(r" under | below ", text).start() for text in under)  # type: ignore[union-attr]  # chosen for having one


def test_borders_are_named_and_denied() -> None:
    ringed = captions_of(Scene((CAT,), Style.LINE_ART, border=Border.RING))
    assert sum(bool(re.search(r"ring|round border|circle border|circular", text)) for text in ringed) > 45
    assert not any(re.search(r"no (border|frame)|without (a border|frame)|borderless", text) for text in ringed)
    plain = captions_of(Scene((CAT,), Style.LINE_ART), 400)
    denied = [text for text in plain if re.search(r"no (border|frame)|without (a border|frame)|borderless", text)]
    assert 10 < len(denied) < 120
    assert any("without background" in text for text in plain)
    assert not any(re.search(r"ring|framed|scalloped|wavy", text) for text in plain)


def test_the_ornament_and_the_facets_are_named_apart() -> None:
    ornament, facets = Scene((CAT,), Style.MANDALA, seed=3), Scene((CAT,), Style.MANDALA, seed=5)
    assert not ornament.faceted
    assert facets.faceted
    assert any("mandala" in text for text in captions_of(ornament))
    assert not any("mandala" in text for text in captions_of(facets))
    assert style_names(Style.MANDALA, faceted=True) != style_names(Style.MANDALA, faceted=False)


@pytest.mark.parametrize(
    ("phrase", "wanted"),
    [
        ("owl", "an owl"),
        ("umbrella", "an umbrella"),
        ("ukulele", "a ukulele"),
        ("hourglass", "an hourglass"),
        ("line art", "line art"),
        ("cat", "a cat"),
    ],
)
def test_articles(phrase: str, wanted: str) -> None:
    assert with_article(phrase) == wanted


def test_the_usual_caption() -> None:
    assert usual_caption(Scene((CAT,), Style.LINE_ART)) == "line art of a cat"
    framed = Scene((CAT,), Style.STENCIL, Arrangement.ROW, Border.RING, 2)
    assert usual_caption(framed) == "stencil of two cats in a row, round border"
    assert (
        usual_caption(Scene((CAT, STAR), Style.HALFTONE, Arrangement.ABOVE, count=2)) == "halftone of a cat over a star"
    )
    assert usual_caption(Scene((LETTERS[0],), Style.ENGRAVING)) == "engraving of a letter a"
    for subject in SUBJECTS:
        for style in Style:
            assert named_in(usual_caption(Scene((subject,), style))).subjects == {subject}


def test_names_are_used_with_the_usual_one_first() -> None:
    texts = captions_of(Scene((CAT,), Style.LINE_ART), 400)
    counts = Counter(next(name for name in ("kitten", "kitty", "cat") if name in text) for text in texts)
    assert counts["cat"] > counts["kitten"] > 0
    assert counts["kitty"] > 0
