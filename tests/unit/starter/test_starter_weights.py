import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from kerf_starter.bundle import MAX_FILE_BYTES
from kerf_starter.canvas import Style
from kerf_starter.evaluation import EVALUATION_FILE, generate
from kerf_starter.objects import Kind
from kerf_starter.vocabulary import VOCABULARY_FILE, words

MAX_MODEL_BYTES = 20_000_000
# The sampler of diffusers 0.42 hands numpy 2 a tensor in a way that torch is to support later.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


@pytest.fixture(scope="module")
def pipeline(starter_weights: Path) -> StableDiffusionPipeline:
    return _load(starter_weights)


def _load(folder: Path) -> StableDiffusionPipeline:
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_the_folder_loads_plainly_and_draws_the_same_pixels_after_a_reload(
    pipeline: StableDiffusionPipeline, starter_weights: Path
) -> None:
    first = generate(pipeline, "line art fish", (7,), steps=3)
    again = generate(_load(starter_weights), "line art fish", (7,), steps=3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, generate(pipeline, "line art fish", (8,), steps=3))


def test_prompts_with_unknown_words_and_of_any_length_draw_something(pipeline: StableDiffusionPipeline) -> None:
    drawn = generate(pipeline, "zebra " * 200, (1,), steps=2)
    assert drawn.shape == (1, 128, 128)


def test_all_parts_have_one_precision(pipeline: StableDiffusionPipeline) -> None:
    assert {pipeline.unet.dtype, pipeline.vae.dtype, pipeline.text_encoder.dtype} == {torch.float32}


def test_files_are_small(starter_weights: Path) -> None:
    sizes = [path.stat().st_size for path in starter_weights.rglob("*") if path.is_file()]
    assert max(sizes) <= MAX_FILE_BYTES
    assert sum(sizes) <= MAX_MODEL_BYTES


def test_no_file_names_a_folder_of_the_machine_that_made_it(starter_weights: Path) -> None:
    texts = [path.read_text(encoding="utf-8") for path in starter_weights.rglob("*.json")]
    assert texts
    assert not any("/work" in text or "/tmp" in text or "_name_or_path" in text for text in texts)


def test_the_shipped_vocabulary_is_that_of_the_scripts(
    pipeline: StableDiffusionPipeline, starter_weights: Path
) -> None:
    entries = json.loads((starter_weights / VOCABULARY_FILE).read_text())["words"]
    assert entries == {word.text: {"role": word.role.value, "means": word.means} for word in words()}
    lengths = {word: len(pipeline.tokenizer(word, add_special_tokens=False).input_ids) for word in entries}
    assert set(lengths.values()) == {1}


def test_the_measured_model_is_recognisable(starter_weights: Path) -> None:
    report = json.loads((starter_weights / EVALUATION_FILE).read_text())
    assert report["pictures"] >= 4 * len(Kind) * len(Style)
    assert report["reader_on_held_out_drawings"]["both"] >= 0.95
    assert report["reader_on_generated"]["both"] >= 0.8


@pytest.mark.parametrize(
    "style, least, most",
    [(Style.SILHOUETTE, 0.12, 0.6), (Style.LINE_ART, 0.02, 0.14)],
)
def test_a_heart_has_the_ink_of_its_style(
    pipeline: StableDiffusionPipeline, style: Style, least: float, most: float
) -> None:
    drawn = generate(pipeline, f"{style.value.replace('_', ' ')} of a heart", (1, 2), steps=12)
    assert least < float((drawn < 128).mean()) < most
    assert float((drawn[:, :4] > 200).mean()) > 0.95
