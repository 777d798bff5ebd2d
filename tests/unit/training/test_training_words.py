import json
from pathlib import Path

import numpy as np
import pytest
from transformers import CLIPTokenizer

from kerf_starter.tokenizer import new_tokenizer
from kerf_training.pictures import training_scenes
from kerf_training.prompts import prompt
from kerf_training.syllabus import TAUGHT_OBJECTS, TAUGHT_SUBJECTS
from kerf_training.words import VOCABULARY_FILE, WordRole, taught_words, write_vocabulary
from kerf_world.captions import caption
from kerf_world.kinds import OBJECTS
from kerf_world.scenes import Style
from kerf_world.vocabulary import names_of, words_in

KNOWN = [word.text for word in taught_words()]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    new_tokenizer(KNOWN).save_pretrained(folder)
    loaded: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    return loaded


def test_every_known_word_is_one_token_and_comes_back(tokenizer: CLIPTokenizer) -> None:
    split = {word for word in KNOWN if len(tokenizer(word, add_special_tokens=False).input_ids) != 1}
    # CLIP's reader takes words apart at these signs.
    assert split <= {word for word in KNOWN if not word.isalpha()}
    for word in set(KNOWN) - split:
        assert tokenizer.decode(tokenizer(word, add_special_tokens=False).input_ids) == word


def test_no_two_known_words_share_a_token(tokenizer: CLIPTokenizer) -> None:
    ids = [tuple(tokenizer(word, add_special_tokens=False).input_ids) for word in KNOWN]
    assert len(set(ids)) == len(KNOWN)


def test_a_caption_round_trips_word_by_word(tokenizer: CLIPTokenizer) -> None:
    text = "a hatched engraving of a butterfly in a square frame"
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_the_vocabulary_names_what_is_taught_and_nothing_else(tmp_path: Path) -> None:
    write_vocabulary(tmp_path)
    entries = json.loads((tmp_path / VOCABULARY_FILE).read_text())["words"]
    means = {entry["means"] for entry in entries.values() if entry["role"] == WordRole.OBJECT}
    assert means == {subject.kind.value for subject in TAUGHT_SUBJECTS}
    assert {entry["means"] for entry in entries.values() if entry["role"] == WordRole.STYLE} == set(Style)
    assert entries["woodcut"] == {"role": "style", "means": "engraving"}
    untaught = set(OBJECTS) - set(TAUGHT_OBJECTS)
    names = {name.one for subject in untaught for name in names_of(subject) if " " not in name.one}
    assert "duck" in names
    assert not names & set(entries)


def test_prompts_use_known_words_but_for_the_odd_nonsense() -> None:
    rng = np.random.default_rng(1)
    scenes = training_scenes(400, 6)
    assert all(set(words_in(caption(scene, rng))) <= set(KNOWN) for scene in scenes)
    texts = [prompt(scene, rng) for scene in scenes]
    assert len(set(texts)) > 390
    with_unknown = sum(not set(words_in(text)) <= set(KNOWN) for text in texts)
    assert 10 < with_unknown < 60
