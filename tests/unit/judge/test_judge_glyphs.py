"""The table of glyphs that the judge is checked with, and how glyphs become pictures."""

from pathlib import Path

import numpy as np
import pytest

from kerf_judge.glyph_pictures import glyph_pictures
from kerf_judge.glyphs import LETTER_FONTS, OBJECT_FONTS, Font, Inking
from kerf_judge.normalising import SIZE_PX
from kerf_world.kinds import LETTERS, OBJECTS

FONTS_FOLDER = Path("/usr/share/fonts/truetype")
# Fonts are fetched for measuring; what is here depends on the machine, and the table must hold on any.
INSTALLED = [font for font in (*OBJECT_FONTS, *LETTER_FONTS) if (FONTS_FOLDER / font.file).is_file()]


@pytest.mark.parametrize("font", OBJECT_FONTS, ids=lambda font: font.name)
def test_no_glyph_stands_for_two_objects(font: Font) -> None:
    glyphs = [glyph for shown in font.glyphs.values() for glyph in shown]
    assert len(glyphs) == len(set(glyphs))
    assert set(font.glyphs) <= set(OBJECTS)


def test_most_objects_and_all_letters_are_shown_by_some_font() -> None:
    assert len({subject for font in OBJECT_FONTS for subject in font.glyphs}) >= 85
    assert all(set(font.glyphs) == set(LETTERS) for font in LETTER_FONTS)


def test_what_is_left_out_of_a_font_is_in_its_table() -> None:
    for font in OBJECT_FONTS:
        assert set(font.left_out) <= set("".join(font.glyphs.values()))


def test_glyphs_of_installed_fonts_are_inked_and_fit() -> None:
    for font in INSTALLED:
        shown = list(glyph_pictures(font, FONTS_FOLDER))
        assert {glyph.inking for glyph in shown} == set(font.inkings)
        assert not any(glyph.glyph in font.left_out for glyph in shown)
        pixels = np.stack([glyph.picture for glyph in shown])
        assert pixels.shape[1:] == (SIZE_PX, SIZE_PX)
        # Something is drawn, and nothing reaches the edge.
        assert (pixels.min(axis=(1, 2)) < 230).all()
        assert (pixels[:, :4] == 255).all()
        if Inking.PLAIN in font.inkings:
            assert ((pixels < 128).mean(axis=(1, 2)) > 0.01).all()


def test_a_font_that_is_not_installed_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="install the Debian package fonts-symbola"):
        list(glyph_pictures(OBJECT_FONTS[1], tmp_path))
