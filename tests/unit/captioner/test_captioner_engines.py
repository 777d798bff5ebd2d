"""Model folders and engines: what is loaded, what is refused, and what a caption depends on."""

from __future__ import annotations

import gc
import json
import shutil
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kerf_captioner.adapters.folder import inspect_folder
from kerf_captioner.adapters.shelf import ModelSource, Shelf
from kerf_captioner.domain.desk import CaptionDesk
from kerf_captioner.domain.engine import Engine
from kerf_captioner.domain.requests import CaptionWish
from kerf_captioner.settings import CaptionerSettings
from kerf_captioner.wiring import build_desk, build_shelf, choose_compute_for
from kerf_core.errors import FailedPrecondition, InvalidArgument, WorkCancelled
from kerf_models.files import hash_files

Png = Callable[[int], bytes]


def nothing() -> None:
    """Does not stop."""


class Steps:
    """Counts the looks at whether to stop, and stops at one of them."""

    def __init__(self, stop_at: int) -> None:
        self.seen = 0
        self._stop_at = stop_at

    def __call__(self) -> None:
        self.seen += 1
        if self.seen >= self._stop_at:
            raise WorkCancelled("CANCELLED", "the test says so")


@pytest.fixture
def folder(tiny_blips: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_blips["tiny"], tmp_path / "copy"))


def one_model(folder: Path, **changed: object) -> CaptionDesk:
    values = {"models": {"it": str(folder)}, "device": "cpu", "threads": 1, **changed}
    settings = CaptionerSettings.model_validate(values)
    return build_desk(settings, build_shelf(settings, choose_compute_for(settings)))


def caption(desk: CaptionDesk, data: bytes, **wish: object) -> str:
    return desk.caption(data, CaptionWish(**wish), "tenant", nothing).text  # type: ignore[arg-type]  # of all kinds


def test_a_caption_tells_where_it_came_from(desk: CaptionDesk, tiny_blips: dict[str, Path], picture_png: Png) -> None:
    made = desk.caption(picture_png(1), CaptionWish(min_tokens=3), "tenant", nothing)
    assert made.text
    assert (made.facts.name, made.facts.engine, made.facts.image_size_px) == ("tiny", Engine.BLIP, 32)
    assert made.facts.sha256 == hash_files(tiny_blips["tiny"], inspect_folder(tiny_blips["tiny"]).weight_files)
    assert "threads-1" in made.numeric_class
    assert "transformers-" in made.numeric_class
    assert made.device_seconds > 0
    assert not made.cached


def test_the_same_picture_is_answered_from_the_cache_until_something_changes(
    desk: CaptionDesk, picture_png: Png
) -> None:
    first = desk.caption(picture_png(1), CaptionWish(), "tenant", nothing)
    again = desk.caption(picture_png(1), CaptionWish(), "tenant", nothing)
    assert (again.text, again.facts, again.cached) == (first.text, first.facts, True)
    assert again.device_seconds < 0
    for other in (
        desk.caption(picture_png(2), CaptionWish(), "tenant", nothing),
        desk.caption(picture_png(1), CaptionWish(prompt="a"), "tenant", nothing),
        desk.caption(picture_png(1), CaptionWish(), "neighbour", nothing),
        desk.caption(picture_png(1), CaptionWish(model="other"), "tenant", nothing),
    ):
        assert not other.cached
    told = desk.caption(picture_png(1), CaptionWish(trigger_word="kerffox"), "tenant", nothing)
    assert told.cached
    assert told.text.startswith("kerffox")


def test_the_picture_matters(desk: CaptionDesk, picture_png: Png) -> None:
    assert len({caption(desk, picture_png(seed), min_tokens=8) for seed in range(8)}) > 1


def test_equal_wishes_give_equal_texts_whatever_came_before(settings: CaptionerSettings, picture_png: Png) -> None:
    texts = []
    for before in ((), (5, 6)):
        desk = build_desk(settings, build_shelf(settings, choose_compute_for(settings)))
        for seed in before:
            caption(desk, picture_png(seed), beams=2)
        texts.append(caption(desk, picture_png(1), min_tokens=10, beams=3, repetition_penalty=1.3))
    assert texts[0] == texts[1]


def test_a_prompt_is_continued_in_its_own_spelling(desk: CaptionDesk, picture_png: Png) -> None:
    text = caption(desk, picture_png(1), prompt="A  Zebra's key", min_tokens=3)
    assert text.startswith("A Zebra's key ")
    assert len(text) > len("A Zebra's key ")


def test_options_reach_the_search(desk: CaptionDesk, picture_png: Png) -> None:
    short = caption(desk, picture_png(1), max_tokens=2, min_tokens=2)
    long = caption(desk, picture_png(1), max_tokens=40, min_tokens=40)
    assert len(short.split()) <= 2 < len(long.split())
    variants = {caption(desk, picture_png(1), min_tokens=12, repetition_penalty=penalty) for penalty in (1.0, 9.0)}
    assert len(variants) == 2


def test_a_prompt_that_leaves_no_room_is_refused(desk: CaptionDesk, picture_png: Png) -> None:
    for prompt, min_tokens in (("the cat " * 60, 140), ("zebra1 " * 50, 0)):
        with pytest.raises(InvalidArgument) as caught:
            caption(desk, picture_png(1), prompt=prompt[:500], min_tokens=min_tokens, max_tokens=140)
        assert caught.value.reason == "PROMPT_TOO_LONG"
        assert caught.value.violations[0].field == "options.prompt"


def test_more_tokens_at_least_than_the_default_at_most_are_refused(desk: CaptionDesk, picture_png: Png) -> None:
    with pytest.raises(InvalidArgument, match="max_tokens"):
        caption(desk, picture_png(1), min_tokens=31)


def test_work_stops_within_a_token_and_nothing_is_kept(desk: CaptionDesk, picture_png: Png) -> None:
    caption(desk, picture_png(9))  # the model is in memory
    steps = Steps(stop_at=20)
    with pytest.raises(WorkCancelled):
        desk.caption(picture_png(1), CaptionWish(max_tokens=200, min_tokens=200), "tenant", steps)
    assert steps.seen == 20
    made = desk.caption(picture_png(1), CaptionWish(max_tokens=200, min_tokens=200), "tenant", nothing)
    assert not made.cached


def test_loading_stops_when_told(desk: CaptionDesk, picture_png: Png) -> None:
    with pytest.raises(WorkCancelled):
        desk.caption(picture_png(1), CaptionWish(), "tenant", Steps(stop_at=2))
    assert not any(listing.loaded for listing in desk.shelf.listings() if listing.engine is Engine.BLIP)
    assert caption(desk, picture_png(1)) is not None


def test_a_broken_picture_is_an_error_of_the_picture(desk: CaptionDesk) -> None:
    with pytest.raises(InvalidArgument) as caught:
        caption(desk, b"no picture")
    assert caught.value.reason == "PICTURE_UNREADABLE"


def test_the_simple_engine_says_that_it_is_one(desk: CaptionDesk, picture_png: Png) -> None:
    made = desk.caption(picture_png(1), CaptionWish(model="fixed", trigger_word="kerf"), "tenant", nothing)
    assert made.text == "kerf, a picture"
    assert (made.facts.engine, made.facts.sha256, made.numeric_class) == (Engine.SIMPLE, "", "")
    assert any("does not look" in warning for warning in made.warnings)
    again = desk.caption(picture_png(1), CaptionWish(model="fixed"), "tenant", nothing)
    assert (again.cached, again.device_seconds) == (False, 0.0)


def test_unknown_models_are_refused_with_the_known_ones(desk: CaptionDesk) -> None:
    with pytest.raises(FailedPrecondition, match="fixed, other, tiny") as caught:
        desk.admit(CaptionWish(model="wombat"))
    assert caught.value.reason == "MODEL_NOT_INSTALLED"


def test_only_so_many_models_are_kept(desk: CaptionDesk, picture_png: Png) -> None:
    for name in ("tiny", "other"):
        caption(desk, picture_png(1), model=name)
    listings = {listing.name: listing for listing in desk.shelf.listings()}
    assert (listings["tiny"].loaded, listings["other"].loaded) == (False, True)
    assert len(listings["tiny"].sha256) == len(listings["other"].sha256) == 64
    assert listings["tiny"].sha256 != listings["other"].sha256


def test_an_unused_model_leaves_the_memory(settings: CaptionerSettings, tiny_blips: dict[str, Path]) -> None:
    now = [0.0]
    source = ModelSource(Engine.BLIP, str(tiny_blips["tiny"]), "", 1, 30, 1.0, "")
    shelf = Shelf(
        {"tiny": source},
        default_model="tiny",
        compute=choose_compute_for(settings),
        kept_models=1,
        local_files_only=True,
        clock=lambda: now[0],
    )
    alive = weakref.ref(shelf.open("tiny", nothing))
    now[0] = 9.0
    assert shelf.drop_unused(10.0) == []
    assert shelf.open("tiny", nothing) is alive()
    now[0] = 18.0
    assert shelf.drop_unused(10.0) == []
    now[0] = 19.0
    assert shelf.drop_unused(10.0) == ["tiny"]
    gc.collect()
    assert alive() is None
    assert not shelf.listings()[0].loaded
    assert shelf.open("tiny", nothing).facts.name == "tiny"


def test_two_threads_load_a_model_once(desk: CaptionDesk, picture_png: Png) -> None:
    models: list[object] = []
    threads = [threading.Thread(target=lambda: models.append(desk.shelf.open("tiny", nothing))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(models) == 3
    assert len({id(model) for model in models}) == 1


def test_a_pickle_is_refused_before_anything_is_loaded(folder: Path, picture_png: Png, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    (folder / "model.safetensors").unlink()
    torch.save({"trap": Trap()}, folder / "pytorch_model.bin")
    with pytest.raises(FailedPrecondition, match=r"pytorch_model\.bin is a pickle") as caught:
        caption(one_model(folder), picture_png(1))
    assert caught.value.reason == "MODEL_UNSAFE"
    assert not (tmp_path / "sprung").exists()


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _lose_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["vision_model.embeddings.class_embedding"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _reshape_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["vision_model.embeddings.class_embedding"] = torch.zeros(1, 1, 7)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _with_config(**changed: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))

    return change


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (_cut, "MODEL_BROKEN"),
        (_lose_a_weight, "MODEL_BROKEN"),
        (_reshape_a_weight, "MODEL_BROKEN"),
        (_without("model.safetensors"), "MODEL_BROKEN"),
        (_without("config.json"), "MODEL_BROKEN"),
        (_without("tokenizer.json"), "MODEL_BROKEN"),
        (_without("processor_config.json"), "MODEL_BROKEN"),
        (_with_config(vision_config={"image_size": "huge"}), "MODEL_BROKEN"),
        (_with_config(model_type="clip"), "MODEL_NOT_SUPPORTED"),
        (_with_config(architectures=["BlipForQuestionAnswering"]), "MODEL_NOT_SUPPORTED"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "MODEL_BROKEN"),
        (lambda folder: (folder / "config.json").write_text("[" * 100_000), "MODEL_BROKEN"),
    ],
)
def test_what_is_not_whole_is_refused(
    folder: Path, picture_png: Png, spoil: Callable[[Path], object], reason: str
) -> None:
    spoil(folder)
    desk = one_model(folder)
    with pytest.raises(FailedPrecondition) as caught:
        caption(desk, picture_png(1))
    assert caught.value.reason == reason
    assert str(folder) in caught.value.message
    assert not desk.shelf.listings()[0].loaded


def test_shards_are_read_and_may_not_lie_elsewhere(folder: Path, picture_png: Png) -> None:
    whole = caption(one_model(folder), picture_png(1), min_tokens=5)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    places = {name: f"model-{index % 2}.safetensors" for index, name in enumerate(names)}
    for shard in set(places.values()):
        save_file({name: weights[name] for name in names if places[name] == shard}, folder / shard, {"format": "pt"})
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    assert caption(one_model(folder), picture_png(1), min_tokens=5) == whole
    index.write_text(json.dumps({"weight_map": {"a": "../model-0.safetensors"}}))
    with pytest.raises(FailedPrecondition, match="beside it"):
        caption(one_model(folder), picture_png(1))


def test_a_folder_in_the_older_layout_is_read(folder: Path, picture_png: Png) -> None:
    whole = caption(one_model(folder), picture_png(1), min_tokens=5)
    processor = json.loads((folder / "processor_config.json").read_text())
    (folder / "processor_config.json").unlink()
    (folder / "preprocessor_config.json").write_text(json.dumps(processor["image_processor"]))
    assert caption(one_model(folder), picture_png(1), min_tokens=5) == whole


def test_values_that_are_no_numbers_are_an_error(folder: Path, picture_png: Png) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["vision_model.embeddings.class_embedding"] = torch.full((1, 1, 24), float("nan"))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(FailedPrecondition) as caught:
        caption(one_model(folder), picture_png(1))
    assert caught.value.reason == "CAPTION_NOT_FINITE"


def test_half_precision_is_another_numeric_class(folder: Path, picture_png: Png) -> None:
    half = one_model(folder, precision="bfloat16").caption(picture_png(1), CaptionWish(), "tenant", nothing)
    full = one_model(folder).caption(picture_png(1), CaptionWish(), "tenant", nothing)
    assert "bfloat16" in half.numeric_class
    assert half.numeric_class != full.numeric_class
