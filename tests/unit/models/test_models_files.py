"""Model files are checked before anything is loaded, and every defect names its file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from kerf_core.errors import FailedPrecondition
from kerf_models.files import (
    LOAD_ERRORS,
    MAX_JSON_BYTES,
    PICKLE_ENDINGS,
    check_headers,
    check_whole,
    hash_file,
    hash_files,
    not_loaded,
    read_json,
    read_shards,
    refuse_pickles,
)

INDEX = "model.safetensors.index.json"


def refused(call: Callable[[], object], *said: str, reason: str = "MODEL_BROKEN") -> None:
    with pytest.raises(FailedPrecondition) as caught:
        call()
    assert caught.value.reason == reason
    for words in said:
        assert words in caught.value.message


def write_index(folder: Path, names: list[str], part: str = "") -> str:
    (folder / part).mkdir(exist_ok=True)
    (folder / part / INDEX).write_text(json.dumps({"weight_map": {str(i): name for i, name in enumerate(names)}}))
    return f"{part}/{INDEX}" if part else INDEX


def test_a_hash_is_over_names_and_contents(tmp_path: Path) -> None:
    contents = {"unet/a.safetensors": b"x" * 9_000_000, "b.safetensors": b"yy"}
    (tmp_path / "unet").mkdir()
    whole = hashlib.sha256()
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
        whole.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    looks: list[int] = []
    assert hash_files(tmp_path, contents, lambda: looks.append(1)) == whole.hexdigest()
    assert len(looks) == 4  # three blocks of 4 MiB at most, and the small file
    assert hash_file(tmp_path / "b.safetensors") == hashlib.sha256(b"yy").digest()
    refused(lambda: hash_files(tmp_path, ["gone.safetensors"]), str(tmp_path), "gone.safetensors cannot be read")


def test_hashing_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hash_files(tmp_path, ["a"], stop)


@pytest.mark.parametrize(
    "data, said",
    [
        (b"{", "is no readable JSON file"),
        (b"[" * 100_000, "is no readable JSON file"),
        (b"\xff\xfe{", "is no readable JSON file"),
        (b"[]", "holds no JSON object"),
        (b" " * (MAX_JSON_BYTES + 1), "is larger than"),
        (None, "is missing"),
    ],
)
def test_what_is_no_json_object_is_broken(tmp_path: Path, data: bytes | None, said: str) -> None:
    if data is not None:
        (tmp_path / "config.json").write_bytes(data)
    refused(lambda: read_json(tmp_path, "config.json"), str(tmp_path), f"config.json {said}")


@pytest.mark.parametrize("part", ["", "unet"])
def test_shards_lie_beside_their_index(tmp_path: Path, part: str) -> None:
    index = write_index(tmp_path, ["b.safetensors", "a.safetensors", "b.safetensors"], part)
    (tmp_path / part / "a.safetensors").touch()
    prefix = f"{part}/" if part else ""
    refused(lambda: read_shards(tmp_path, index), f"{prefix}b.safetensors is missing")
    (tmp_path / part / "b.safetensors").touch()
    assert read_shards(tmp_path, index) == (f"{prefix}a.safetensors", f"{prefix}b.safetensors")


@pytest.mark.parametrize("name", ["../a.safetensors", "/a.safetensors", "x/a.safetensors", "a.bin", "", ".."])
def test_an_index_names_no_other_place_and_no_other_kind(tmp_path: Path, name: str) -> None:
    index = write_index(tmp_path, [name], "unet")
    refused(lambda: read_shards(tmp_path, index), index, "which is no safetensors file beside it")


@pytest.mark.parametrize("text", ["{}", '{"weight_map": {}}', '{"weight_map": ["a.safetensors"]}'])
def test_an_index_without_a_map_is_broken(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX).write_text(text)
    refused(lambda: read_shards(tmp_path, INDEX), "has no weight_map")


@pytest.mark.parametrize("ending", PICKLE_ENDINGS)
@pytest.mark.parametrize("part", ["", "unet"])
def test_a_pickle_is_refused(tmp_path: Path, part: str, ending: str) -> None:
    (tmp_path / part).mkdir(exist_ok=True)
    (tmp_path / part / "model.safetensors").touch()
    refuse_pickles(tmp_path, part)
    (tmp_path / part / f"model{ending}").touch()
    name = f"unet/model{ending}" if part else f": model{ending}"
    refused(lambda: refuse_pickles(tmp_path, part), f"{name} is a pickle", reason="MODEL_UNSAFE")


def test_a_header_that_is_cut_off_is_told(tmp_path: Path) -> None:
    save_file({"a": np.zeros(100, np.float32)}, tmp_path / "good.safetensors")
    check_headers(tmp_path, ["good.safetensors"])
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "good.safetensors").read_bytes()[:-8])
    names = ["good.safetensors", "cut.safetensors"]
    refused(lambda: check_headers(tmp_path, names), str(tmp_path), "cut.safetensors is no whole safetensors file")


def test_gaps_are_counted_and_one_is_named(tmp_path: Path) -> None:
    check_whole(tmp_path, "unet", {"missing_keys": [], "mismatched_keys": [], "unexpected_keys": ["x"]})
    gaps = {"missing_keys": ["z"], "mismatched_keys": [("b", (1,), (2,))]}
    refused(lambda: check_whole(tmp_path, "unet", gaps), "unet lacks 2 weights", "('b', (1,), (2,))")


def test_what_a_library_said_is_cut_to_one_line(tmp_path: Path) -> None:
    error = not_loaded(tmp_path, "unet", ValueError("first\nsecond"))
    assert error.reason == "MODEL_BROKEN"
    assert "unet cannot be loaded: first;" in error.message
    assert "unet cannot be loaded: KeyError;" in not_loaded(tmp_path, "unet", KeyError()).message
    assert not issubclass(MemoryError, LOAD_ERRORS)
