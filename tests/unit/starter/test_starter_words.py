import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from kerf_starter.canvas import Style
from kerf_starter.captions import caption
from kerf_starter.objects import Kind
from kerf_starter.tokenizer import TOKENS_PER_PROMPT, merges_for, new_tokenizer
from kerf_starter.vocabulary import OBJECT_NAMES, STYLE_NAMES, VOCABULARY_FILE, WordRole, words, write_vocabulary

KNOWN = [word.text for word in words()]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    new_tokenizer(KNOWN).save_pretrained(folder)
    loaded: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    return loaded


def test_every_known_word_is_one_token_and_comes_back(tokenizer: CLIPTokenizer) -> None:
    for word in KNOWN:
        ids = tokenizer(word, add_special_tokens=False).input_ids
        assert len(ids) == 1, word
        assert tokenizer.decode(ids) == word


def test_no_two_known_words_share_a_token(tokenizer: CLIPTokenizer) -> None:
    ids = [tokenizer(word, add_special_tokens=False).input_ids[0] for word in KNOWN]
    assert len(set(ids)) == len(KNOWN)


def test_a_caption_round_trips_word_by_word(tokenizer: CLIPTokenizer) -> None:
    text = "a hatched engraving of a butterfly on plain paper"
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


@given(st.text(max_size=40))
@settings(max_examples=50, deadline=None)
def test_any_text_fits_the_text_encoder(tokenizer: CLIPTokenizer, text: str) -> None:
    ids = tokenizer(text, padding="max_length", truncation=True).input_ids
    assert len(ids) == TOKENS_PER_PROMPT
    assert max(ids) < len(tokenizer)


def test_an_unknown_word_is_spelt_in_several_tokens(tokenizer: CLIPTokenizer) -> None:
    assert len(tokenizer("zebra", add_special_tokens=False).input_ids) > 1


@given(st.lists(st.text("abc", min_size=1, max_size=8), min_size=1, max_size=12, unique=True))
@settings(max_examples=50, deadline=None)
def test_merges_join_any_words_however_they_overlap(known: list[str]) -> None:
    tokenizer = new_tokenizer(known)
    assert len(merges_for(known)) == len(set(merges_for(known)))
    assert all(len(tokenizer(word, add_special_tokens=False).input_ids) == 1 for word in known)


def test_the_vocabulary_names_each_object_and_style(tmp_path: Path) -> None:
    write_vocabulary(tmp_path)
    entries = json.loads((tmp_path / VOCABULARY_FILE).read_text())["words"]
    means = {entry["means"] for entry in entries.values() if entry["role"] == WordRole.OBJECT}
    assert means == {kind.value for kind in Kind}
    assert all(names[0] in entries for names in OBJECT_NAMES.values())
    assert entries["engraved"] == {"role": "style", "means": "engraving"}
    assert "zebra" not in entries


def test_no_name_means_two_objects() -> None:
    names = [name for choices in OBJECT_NAMES.values() for name in choices]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("style", list(Style))
def test_captions_name_the_object_and_use_known_words_but_for_the_odd_nonsense(style: Style) -> None:
    rng = np.random.default_rng(1)
    texts = [caption(Kind.KEY, style, rng) for _ in range(200)]
    assert len(set(texts)) > 60
    assert all(set(OBJECT_NAMES[Kind.KEY]) & set(re.findall(r"[a-z]+", text)) for text in texts)
    with_unknown = sum(not set(re.findall(r"[a-z]+", text)) <= set(KNOWN) for text in texts)
    assert 0 < with_unknown < 60
    with_style = sum(any(phrase in text for phrase in STYLE_NAMES[style]) for text in texts)
    assert with_style > 160
