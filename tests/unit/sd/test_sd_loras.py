"""LoRAs: both layouts mean the same, weights count, and the model is as before when they are off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kerf_core.errors import FailedPrecondition, Unavailable
from kerf_models.devices import Compute
from kerf_sd.architecture import Architecture
from kerf_sd.lora_files import LoraFile, LoraFolder
from kerf_sd.loras import LoraMixer
from kerf_sd.models import LoadedModel, load_model

RANK = 4
ALPHA = 2.0
Tensors = dict[str, torch.Tensor]


@pytest.fixture(params=list(Architecture))
def model(request: pytest.FixtureRequest, tiny_folders: dict[Architecture, Path], compute: Compute) -> LoadedModel:
    return load_model(str(tiny_folders[request.param]), compute=compute)


@pytest.fixture
def sd(tiny_folders: dict[Architecture, Path], compute: Compute) -> LoadedModel:
    return load_model(str(tiny_folders[Architecture.SD]), compute=compute)


def draw(model: LoadedModel) -> bytes:
    generator = torch.Generator().manual_seed(3)
    images = model.pipeline("a fox", num_inference_steps=2, output_type="np", generator=generator).images
    return bytes(images.tobytes())


def matrices(model: LoadedModel) -> Iterator[tuple[str, str, torch.Tensor, torch.Tensor]]:
    """(part, layer, down, up) for the attention of the UNet and of the text encoders."""
    generator = torch.Generator().manual_seed(9)
    for part in ("unet", *model.text_encoder_parts):
        for name, layer in getattr(model.pipeline, part).named_modules():
            if name.endswith(("to_q", "to_v", "q_proj", "v_proj")):
                out_size, in_size = layer.weight.shape
                down = torch.randn(RANK, in_size, generator=generator)
                yield part, name, down, torch.randn(out_size, RANK, generator=generator)


def diffusers_layout(model: LoadedModel, scale: float = ALPHA / RANK) -> Tensors:
    state = {}
    for part, name, down, up in matrices(model):
        state[f"{part}.{name}.lora_A.weight"] = down
        state[f"{part}.{name}.lora_B.weight"] = up * scale
    return state


def kohya_layout(model: LoadedModel) -> Tensors:
    first = "lora_te1" if model.architecture is Architecture.SDXL else "lora_te"
    prefixes = {"unet": "lora_unet", "text_encoder": f"{first}_text_model", "text_encoder_2": "lora_te2_text_model"}
    state = {}
    for part, name, down, up in matrices(model):
        layer = f"{prefixes[part]}_{name.removeprefix('text_model.').replace('.', '_')}"
        state[f"{layer}.lora_down.weight"] = down
        state[f"{layer}.lora_up.weight"] = up
        state[f"{layer}.alpha"] = torch.tensor(ALPHA)
    return state


def write(folder: Path, name: str, state: Tensors, header: dict[str, object] | None = None) -> LoraFile:
    metadata = {"lora_adapter_metadata": json.dumps(header)} if header else {"format": "pt"}
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / f"{name}.safetensors", metadata)
    return LoraFolder(folder).find(name)


def test_a_lora_changes_the_picture_and_weight_0_does_not(model: LoadedModel, tmp_path: Path) -> None:
    file = write(tmp_path, "style", diffusers_layout(model))
    mixer = LoraMixer(model)
    plain = draw(model)
    assert mixer.apply([(file, 1.0)]) == []
    full = draw(model)
    assert full != plain
    mixer.apply([(file, 0.5)])
    assert draw(model) not in {full, plain}
    mixer.apply([(file, -1.0)])
    assert draw(model) not in {full, plain}
    mixer.apply([(file, 0.0)])
    assert draw(model) == plain
    mixer.apply([(file, 1.0), (file, -1.0)])
    assert draw(model) == plain
    mixer.apply([(file, 1.0)])
    assert draw(model) == full
    mixer.apply([])
    assert draw(model) == plain


def test_both_layouts_give_the_same_bits(model: LoadedModel, tmp_path: Path) -> None:
    mixer = LoraMixer(model)
    mixer.apply([(write(tmp_path, "diffusers", diffusers_layout(model)), 0.8)])
    wanted = draw(model)
    mixer.apply([(write(tmp_path, "kohya", kohya_layout(model)), 0.8)])
    assert draw(model) == wanted


def test_the_alpha_in_the_header_counts(sd: LoadedModel, tmp_path: Path) -> None:
    mixer = LoraMixer(sd)
    mixer.apply([(write(tmp_path, "folded", diffusers_layout(sd)), 1.0)])
    wanted = draw(sd)
    header: dict[str, object] = {}
    for part in ("unet", "text_encoder"):
        header |= {f"{part}.r": RANK, f"{part}.lora_alpha": 99, f"{part}.alpha_pattern": {"to_q": ALPHA, "to_v": ALPHA}}
    header["text_encoder.alpha_pattern"] = {"q_proj": ALPHA, "v_proj": ALPHA}
    mixer.apply([(write(tmp_path, "header", diffusers_layout(sd, scale=1.0), header), 1.0)])
    assert draw(sd) == wanted


def test_half_precision_files_and_two_at_once(sd: LoadedModel, tmp_path: Path) -> None:
    halves = {key: tensor.half() for key, tensor in diffusers_layout(sd).items()}
    unet_only = {key: tensor for key, tensor in kohya_layout(sd).items() if "unet" in key}
    first, second = write(tmp_path, "half", halves), write(tmp_path, "unet", unet_only)
    mixer = LoraMixer(sd)
    pictures = set()
    for mix in ([(first, 1.0)], [(second, 1.0)], [(first, 1.0), (second, 1.0)], []):
        mixer.apply(mix)
        pictures.add(draw(sd))
    assert len(pictures) == 4


def test_a_lora_of_the_text_encoder_alone_works(sd: LoadedModel, tmp_path: Path) -> None:
    state = {key: tensor for key, tensor in kohya_layout(sd).items() if "lora_te" in key}
    mixer = LoraMixer(sd)
    plain = draw(sd)
    mixer.apply([(write(tmp_path, "words", state), 1.0)])
    assert draw(sd) != plain
    mixer.apply([])
    assert draw(sd) == plain


def test_a_dropped_lora_comes_back_the_same(sd: LoadedModel, tmp_path: Path) -> None:
    file = write(tmp_path, "one", diffusers_layout(sd))
    other = write(tmp_path, "two", kohya_layout(sd))
    mixer = LoraMixer(sd, kept=1)
    mixer.apply([(file, 1.0)])
    wanted = draw(sd)
    mixer.apply([(other, 1.0)])
    assert len(sd.pipeline.get_list_adapters()["unet"]) == 1
    mixer.apply([(file, 1.0)])
    assert draw(sd) == wanted


def test_a_changed_file_is_another_lora(sd: LoadedModel, tmp_path: Path) -> None:
    mixer = LoraMixer(sd)
    folder = LoraFolder(tmp_path)
    write(tmp_path, "style", diffusers_layout(sd))
    mixer.apply([(folder.find("style"), 1.0)])
    before = draw(sd)
    write(tmp_path, "style", diffusers_layout(sd, scale=2.0))
    mixer.apply([(folder.find("style"), 1.0)])
    assert draw(sd) != before


def test_layers_that_the_model_lacks_are_counted(sd: LoadedModel, tmp_path: Path) -> None:
    state = diffusers_layout(sd)
    state["unet.no.such.layer.lora_A.weight"] = torch.ones(RANK, 8)
    state["unet.no.such.layer.lora_B.weight"] = torch.ones(8, RANK)
    warnings = LoraMixer(sd).apply([(write(tmp_path, "more", state), 1.0)])
    assert warnings == ["LoRA 'more': 1 of its layers are not in the model and do nothing"]


def damaged(sd: LoadedModel) -> Iterator[tuple[str, Tensors]]:
    key = next(key for key in diffusers_layout(sd) if key.endswith("lora_A.weight"))
    whole = diffusers_layout(sd)
    yield "shapes", {**whole, key: torch.ones(RANK, 7)}
    yield "only one of its two matrices", {name: tensor for name, tensor in whole.items() if name != key}
    yield "no finite numbers", {**whole, key: torch.full_like(whole[key], float("nan"))}
    yield "no plain LoRA", {**whole, key.replace("lora_A.weight", "lora_magnitude_vector"): torch.ones(8)}
    yield "does not fit", {"conv.weight": torch.ones(3)}
    yield "does not fit", {"unet.x.hada_w1_a": torch.ones(3)}
    yield "does not fit", {"lora_unet_nonsense.lora_down.weight": torch.ones(3, 3)}


def test_what_does_not_fit_is_refused_and_leaves_no_trace(sd: LoadedModel, tmp_path: Path) -> None:
    mixer = LoraMixer(sd)
    plain = draw(sd)
    for number, (words, state) in enumerate(damaged(sd)):
        with pytest.raises(FailedPrecondition, match=words) as caught:
            mixer.apply([(write(tmp_path, f"bad{number}", state), 1.0)])
        assert caught.value.reason == "LORA_DOES_NOT_FIT"
        assert draw(sd) == plain


def test_a_lora_for_another_model_is_refused(tiny_models: dict[Architecture, LoadedModel], tmp_path: Path) -> None:
    file = write(tmp_path, "xl", kohya_layout(tiny_models[Architecture.SDXL]))
    with pytest.raises(FailedPrecondition) as caught:
        LoraMixer(tiny_models[Architecture.SD]).apply([(file, 1.0)])
    assert caught.value.reason == "LORA_DOES_NOT_FIT"


def test_a_damaged_file_is_refused(sd: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "noise.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(FailedPrecondition) as caught:
        LoraMixer(sd).apply([(LoraFolder(tmp_path).find("noise"), 1.0)])
    assert caught.value.reason == "LORA_BROKEN"


@pytest.mark.parametrize("name", ["missing", "../outside", "/etc/passwd", "", ".hidden", "a/b", "x" * 200])
def test_a_missing_lora_is_told_with_the_names_there_are(tmp_path: Path, name: str) -> None:
    (tmp_path / "fox.safetensors").write_bytes(b"")
    (tmp_path.parent / "outside.safetensors").write_bytes(b"")
    with pytest.raises(FailedPrecondition, match="fox") as caught:
        LoraFolder(tmp_path).find(name)
    assert caught.value.reason == "LORA_NOT_INSTALLED"


def test_a_pickled_lora_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.pt").write_bytes(b"cos\nsystem\n")
    with pytest.raises(FailedPrecondition) as caught:
        LoraFolder(tmp_path).find("old")
    assert caught.value.reason == "LORA_UNSAFE"


def test_a_lora_over_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big.safetensors").write_bytes(bytes(101))
    with pytest.raises(FailedPrecondition, match="100 bytes"):
        LoraFolder(tmp_path, max_file_bytes=100).find("big")


def test_an_adopted_lora_is_found_by_its_hash_until_others_need_the_room(tmp_path: Path) -> None:
    folder = LoraFolder(tmp_path, max_file_bytes=100, max_adopted_bytes=150)
    one, two = "1" * 64, "2" * 64
    folder.adopt(one, bytes(80))
    assert folder.adopted(one)
    assert folder.find(f"artifacts/{one}").path.read_bytes() == bytes(80)
    folder.adopt(two, bytes(90))
    assert not folder.adopted(one)
    with pytest.raises(Unavailable, match="ask again"):
        folder.find(f"artifacts/{one}")
    with pytest.raises(FailedPrecondition, match="100 bytes"):
        folder.adopt("3" * 64, bytes(101))
    assert folder.find(f"artifacts/{two}").sha256 == two
