"""Loading model folders: what is whole loads, what is damaged, foreign or unsafe is refused with its name."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from safetensors.torch import load_file, save_file

from kerf_core.errors import FailedPrecondition
from kerf_diffusion.adapters.previews import Previewer
from kerf_models.devices import Compute
from kerf_models.files import hash_files
from kerf_sd.architecture import Architecture
from kerf_sd.folder import inspect_folder
from kerf_sd.models import LoadedModel, load_model
from kerf_sd.vocabulary import read_vocabulary, unread_text

Folders = dict[Architecture, Path]
Models = dict[Architecture, LoadedModel]

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(tiny_folders: Folders, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folders[Architecture.SD], tmp_path / "model"))


def draw(model: LoadedModel) -> bytes:
    generator = torch.Generator().manual_seed(3)
    images = model.pipeline("a fox", num_inference_steps=2, output_type="np", generator=generator).images
    return bytes(images.tobytes())


@pytest.mark.parametrize("kind", list(Architecture))
def test_a_folder_loads_and_draws(tiny_models: Models, kind: Architecture) -> None:
    model = tiny_models[kind]
    assert model.architecture is kind
    assert model.folder.native_size_px == 64
    assert model.folder.vae_scale == 8
    assert len(model.tokenizers) == (2 if kind is Architecture.SDXL else 1)
    assert draw(model) == draw(model)


def test_a_second_load_gives_the_same_hash_and_the_same_bits(
    tiny_folders: Folders, tiny_models: Models, compute: Compute
) -> None:
    again = load_model(str(tiny_folders[Architecture.SD]), compute=compute)
    assert again.sha256 == tiny_models[Architecture.SD].sha256
    assert draw(again) == draw(tiny_models[Architecture.SD])


PREVIEW = "preview_decoder/diffusion_pytorch_model.safetensors"


def with_preview_decoder(folder: Path) -> AutoencoderTiny:
    torch.manual_seed(5)
    decoder = AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8), latent_channels=4
    )
    decoder.save_pretrained(folder / "preview_decoder")
    return decoder


def test_a_preview_decoder_of_the_folder_is_loaded(copy: Path, tiny_models: Models, compute: Compute) -> None:
    assert tiny_models[Architecture.SD].preview_decoder is None
    expected = with_preview_decoder(copy)
    model = load_model(str(copy), compute=compute)
    assert model.preview_decoder is not None
    latents = torch.randn(1, 4, 8, 8)
    with torch.inference_mode():
        assert torch.equal(model.preview_decoder.decode(latents).sample, expected.decode(latents).sample)
    assert draw(model) == draw(tiny_models[Architecture.SD])
    colours = Image.open(io.BytesIO(Previewer(model.pipeline.vae, model.preview_decoder).png(latents)))
    plain = Image.open(io.BytesIO(Previewer(model.pipeline.vae).png(latents)))
    assert colours.size == plain.size == (128, 128)
    assert colours.tobytes() != plain.tobytes()


def test_a_damaged_preview_decoder_is_named(copy: Path, compute: Compute) -> None:
    with_preview_decoder(copy)
    weights = load_file(copy / PREVIEW)
    del weights[next(name for name in weights if name.startswith("decoder"))]
    save_file(weights, copy / PREVIEW)
    with pytest.raises(FailedPrecondition, match="preview_decoder") as caught:
        load_model(str(copy), compute=compute)
    assert caught.value.reason == "MODEL_BROKEN"


def hash_of(folder: Path) -> str:
    return hash_files(folder, inspect_folder(folder).weight_files)


def test_the_hash_tells_other_weights_and_ignores_other_files(copy: Path) -> None:
    before = hash_of(copy)
    (copy / "README.md").write_text("notes")
    assert hash_of(copy) == before
    weights = load_file(copy / UNET)
    weights["conv_in.bias"] += 1
    save_file(weights, copy / UNET)
    assert hash_of(copy) != before


def test_sharded_weights_load_the_same(copy: Path, tiny_models: Models, compute: Compute) -> None:
    tiny_models[Architecture.SD].pipeline.unet.save_pretrained(copy / "sharded", max_shard_size="300KB")
    shutil.rmtree(copy / "unet")
    (copy / "sharded").rename(copy / "unet")
    folder = inspect_folder(copy)
    assert len([name for name in folder.weight_files if name.startswith("unet/")]) > 1
    assert draw(load_model(str(copy), compute=compute)) == draw(tiny_models[Architecture.SD])


def test_files_of_the_fp16_variant_alone_are_enough(copy: Path, compute: Compute) -> None:
    for file in list(copy.rglob("*.safetensors")):
        halves = {key: tensor.half() for key, tensor in load_file(file).items()}
        save_file(halves, file.with_suffix(".fp16.safetensors"), metadata={"format": "pt"})
        file.unlink()
    model = load_model(str(copy), compute=compute)
    assert model.folder.variant == "fp16"
    assert model.pipeline.unet.dtype == torch.float32
    assert draw(model)


def test_text_encoders_written_by_older_libraries_load(copy: Path, tiny_models: Models, compute: Compute) -> None:
    file = copy / "text_encoder/model.safetensors"
    older = {f"text_model.{key}": tensor for key, tensor in load_file(file).items()}
    save_file(older, file, metadata={"format": "pt"})
    assert draw(load_model(str(copy), compute=compute)) == draw(tiny_models[Architecture.SD])


def cut_off(folder: Path) -> None:
    data = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(data[: len(data) // 2])


def make_noise(folder: Path) -> None:
    (folder / UNET).write_bytes(b"\xff" * 1000)


def empty_it(folder: Path) -> None:
    (folder / UNET).write_bytes(b"")


def remove(folder: Path) -> None:
    (folder / UNET).unlink()


def take_a_weight(folder: Path) -> None:
    weights = load_file(folder / UNET)
    del weights["conv_in.weight"]
    save_file(weights, folder / UNET)


def reshape_a_weight(folder: Path) -> None:
    weights = load_file(folder / UNET)
    weights["conv_in.bias"] = torch.zeros(3)
    save_file(weights, folder / UNET)


def break_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("{not json")


def nest_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("[" * 100_000)


def break_config(folder: Path) -> None:
    (folder / "unet/config.json").write_text('{"sample_size": -5}')


def lose_tokenizer(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer")


def lose_shard(folder: Path) -> None:
    (folder / UNET).unlink()
    index = {"weight_map": {"conv_in.weight": "diffusion_pytorch_model-00001-of-00001.safetensors"}}
    (folder / "unet/diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))


def point_outside(folder: Path) -> None:
    (folder / UNET).unlink()
    index = {"weight_map": {"conv_in.weight": "../../secret.safetensors"}}
    (folder / "unet/diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))


def break_vocabulary(folder: Path) -> None:
    (folder / "vocabulary.json").write_text('{"words": 3}')


@pytest.mark.parametrize(
    "damage, named",
    [
        (cut_off, UNET),
        (make_noise, UNET),
        (empty_it, UNET),
        (remove, "unet"),
        (take_a_weight, "conv_in.weight"),
        (reshape_a_weight, "unet"),
        (break_index, "model_index.json"),
        (nest_index, "model_index.json"),
        (break_config, "unet/config.json"),
        (lose_tokenizer, "tokenizer"),
        (lose_shard, "diffusion_pytorch_model-00001-of-00001.safetensors"),
        (point_outside, "index.json"),
        (break_vocabulary, "vocabulary.json"),
    ],
)
def test_damage_is_named_with_folder_and_file(
    copy: Path, compute: Compute, damage: Callable[[Path], None], named: str
) -> None:
    damage(copy)
    with pytest.raises(FailedPrecondition) as caught:
        load_model(str(copy), compute=compute)
    assert caught.value.reason == "MODEL_BROKEN"
    assert str(copy) in caught.value.message
    assert named in caught.value.message


def test_pickled_weights_are_refused_and_not_read(copy: Path, compute: Compute) -> None:
    (copy / UNET).unlink()
    (copy / "unet/diffusion_pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(FailedPrecondition, match="pickle") as caught:
        load_model(str(copy), compute=compute)
    assert caught.value.reason == "MODEL_UNSAFE"


@pytest.mark.parametrize(
    "part, entry, reason",
    [
        ("unet", ["os", "system"], "MODEL_UNSAFE"),
        ("tokenizer", ["subprocess", "Popen"], "MODEL_UNSAFE"),
        ("scheduler", ["os", "DDIMScheduler"], "MODEL_UNSAFE"),
        ("scheduler", ["diffusers", "StableDiffusionPipeline"], "MODEL_NOT_SUPPORTED"),
        ("_class_name", "FluxPipeline", "MODEL_NOT_SUPPORTED"),
        ("_class_name", ["pipeline", "Own"], "MODEL_NOT_SUPPORTED"),
    ],
)
def test_foreign_classes_are_refused(copy: Path, compute: Compute, part: str, entry: object, reason: str) -> None:
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps({**index, part: entry}))
    with pytest.raises(FailedPrecondition) as caught:
        load_model(str(copy), compute=compute)
    assert caught.value.reason == reason


def test_loading_can_be_stopped(tiny_folders: Folders, compute: Compute) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_model(str(tiny_folders[Architecture.SD]), compute=compute, advance=stop)


def test_a_closed_vocabulary_tells_unknown_words(copy: Path) -> None:
    (copy / "vocabulary.json").write_text(json.dumps({"words": {"fish": {"role": "object"}, "line art": {}}}))
    vocabulary = read_vocabulary(copy)
    assert vocabulary is not None
    assert vocabulary.unknown_words("Line-art FISH with Wombats, 3 wombats!") == ["with", "wombats"]


def test_an_open_model_has_no_vocabulary(copy: Path) -> None:
    assert read_vocabulary(copy) is None


def test_what_does_not_fit_into_77_tokens_is_told(tiny_models: Models) -> None:
    tokenizers = tiny_models[Architecture.SDXL].tokenizers
    assert unread_text(tokenizers, "x " * 75) == ""
    assert unread_text(tokenizers, "x " * 75 + "tail end").replace(" ", "") == "tailend"
