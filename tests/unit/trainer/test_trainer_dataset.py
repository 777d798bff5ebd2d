"""The linter finds every defect, all at once; and datasets come from files, manifests and folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from kerf.trainer.v1 import dataset_pb2 as pb
from kerf_core.blobs import BlobStore
from kerf_core.errors import FailedPrecondition, InvalidArgument
from kerf_media.decode import PictureLimits
from kerf_trainer.adapters.datasets import DatasetReader
from kerf_trainer.domain.dataset import Dataset, DatasetFile, LintReport
from kerf_trainer.domain.linting import DatasetLimits, lint
from kerf_trainer.domain.workshop import TrainingOrder, Workshop
from kerf_trainer.messages import read_dataset
from memory_stage import TENANT, MemoryStore

Files = dict[str, bytes]
LIMITS = DatasetLimits()


def look(files: Files, caption_suffix: str = "", limits: DatasetLimits = LIMITS, side_px: int = 0) -> LintReport:
    dataset = Dataset(tuple(DatasetFile(path, data) for path, data in files.items()), caption_suffix)
    return lint(dataset, limits, side_px=side_px)


def found(report: LintReport) -> list[tuple[str, str]]:
    return [(defect.path, defect.reason) for defect in report.defects]


def test_a_good_dataset_has_no_defects(files: Files) -> None:
    report = look(files)
    assert found(report) == []
    assert [pair.caption for pair in report.pairs] == [f"picture {number}" for number in range(5)]


@pytest.mark.parametrize(
    "spoil, expected",
    [
        pytest.param(lambda files: files.clear(), [("", "EMPTY_DATASET")], id="empty"),
        pytest.param(lambda files: files.pop("p2.txt"), [("p2.png", "CAPTION_MISSING")], id="no caption"),
        pytest.param(lambda files: files.pop("p2.png"), [("p2.txt", "PICTURE_MISSING")], id="no picture"),
        pytest.param(
            lambda files: files.update({"p2.txt": "café".encode("latin-1")}),
            [("p2.txt", "CAPTION_NOT_UTF8")],
            id="latin",
        ),
        pytest.param(
            lambda files: files.update({"p2.txt": b" \n\xef\xbb\xbf"}), [("p2.txt", "CAPTION_EMPTY")], id="blank"
        ),
        pytest.param(lambda files: files.update({"p2.txt": b"x" * 2001}), [("p2.txt", "CAPTION_TOO_LONG")], id="long"),
        pytest.param(lambda files: files.update({"p2.png": b""}), [("p2.png", "PICTURE_BROKEN")], id="no bytes"),
        pytest.param(
            lambda files: files.update({"p2.png": files["p2.png"][:-40]}), [("p2.png", "PICTURE_BROKEN")], id="cut off"
        ),
        pytest.param(
            lambda files: files.update({"p2.jpg": files["p2.png"]}), [("p2.jpg", "STEM_TWICE")], id="same name twice"
        ),
        pytest.param(
            lambda files: files.update({"x.tiff": b"II"}), [("x.tiff", "PICTURE_UNREADABLE")], id="unread kind"
        ),
        pytest.param(lambda files: files.update({"../x.png": b""}), [("../x.png", "BAD_PATH")], id="leaves"),
        pytest.param(lambda files: files.update({"/etc/x.png": b""}), [("/etc/x.png", "BAD_PATH")], id="absolute"),
        pytest.param(lambda files: files.update({"a\\x.png": b""}), [("a\\x.png", "BAD_PATH")], id="backslash"),
        pytest.param(lambda files: files.update({"a\0.png": b""}), [("a\0.png", "BAD_PATH")], id="zero byte"),
        pytest.param(lambda files: files.update({"a\u202e.png": b""}), [("a\u202e.png", "BAD_PATH")], id="turned text"),
    ],
)
def test_a_defect_is_found_and_refused(
    spoil: Callable[[Files], object], expected: list[tuple[str, str]], files: Files
) -> None:
    spoil(files)
    report = look(files)
    assert found(report) == expected
    assert all(defect.fatal and defect.message for defect in report.defects)
    with pytest.raises(InvalidArgument) as caught:
        report.raise_if_fatal()
    assert caught.value.reason == "DATASET_BROKEN"
    assert expected[0][1] in caught.value.violations[0].description


def test_all_defects_come_at_once_in_order_of_the_paths(files: Files) -> None:
    files["p3.png"] = files["p3.png"][:100]
    files["p1.txt"] = b"\xff\xfe"
    del files["p0.txt"]
    files["lost.txt"] = b"no picture"
    report = look(files, caption_suffix="txt")
    assert found(report) == [
        ("", "CAPTION_SUFFIX"),
        ("lost.txt", "PICTURE_MISSING"),
        ("p0.png", "CAPTION_MISSING"),
        ("p1.txt", "CAPTION_NOT_UTF8"),
        ("p3.png", "PICTURE_BROKEN"),
    ]
    assert "'.txt'" in report.defects[0].message
    with pytest.raises(InvalidArgument) as caught:
        report.raise_if_fatal()
    assert len(caught.value.violations) == 5


@pytest.mark.parametrize("suffix", [".png", "p*g", "/", ".."])
def test_a_caption_suffix_that_is_none(suffix: str, files: Files) -> None:
    assert ("", "CAPTION_SUFFIX") in found(look(files, suffix))


def test_another_caption_suffix(files: Files) -> None:
    renamed = {path.replace(".txt", ".caption.md"): data for path, data in files.items()}
    assert len(look(renamed, ".caption.md").pairs) == 5


def test_warnings_do_not_stop_a_training(files: Files) -> None:
    files["twin.png"], files["twin.txt"] = files["p1.png"], b"the same"
    files["notes.md"] = b"ignored"
    report = look(files, side_px=128)
    assert {reason for _, reason in found(report)} == {"PICTURE_DUPLICATE", "FILE_IGNORED", "PICTURE_SMALL"}
    report.raise_if_fatal()
    assert len(report.warnings) == len(report.defects) == 8
    assert len(report.pairs) == 6


def test_a_file_that_is_named_twice(files: Files) -> None:
    twice = [DatasetFile(path, data) for path, data in files.items()]
    report = lint(Dataset((*twice, twice[0])), LIMITS)
    assert ("p0.png", "PATH_TWICE") in found(report)


@pytest.mark.parametrize(
    "limits, reason",
    [
        (DatasetLimits(max_files=9), "TOO_MANY_FILES"),
        (DatasetLimits(max_pictures=4), "TOO_MANY_PICTURES"),
        (DatasetLimits(max_bytes=1000), "DATASET_TOO_LARGE"),
        (DatasetLimits(picture=PictureLimits(max_pixels=4000)), "PICTURE_TOO_LARGE"),
    ],
)
def test_limits_hold(limits: DatasetLimits, reason: str, files: Files) -> None:
    assert reason in {defect.reason for defect in look(files, limits=limits).defects if defect.fatal}


def test_the_error_stays_small_whatever_is_wrong() -> None:
    report = look({f"{number:04}.txt": b"" for number in range(3000)})
    with pytest.raises(InvalidArgument) as caught:
        report.raise_if_fatal()
    assert len(caught.value.violations) == 41
    assert len(caught.value.message) < 2000


def test_the_sum_follows_pictures_and_captions(files: Files) -> None:
    before = look(files).sha256()
    assert look(dict(reversed(files.items()))).sha256() == before
    assert look(files | {"p0.txt": b"another"}).sha256() != before


def reader_of(store: MemoryStore, folder: Path | None = None, limits: DatasetLimits = LIMITS) -> DatasetReader:
    return DatasetReader(cast(BlobStore, store), folder, limits)


async def test_files_come_as_bytes_and_as_artifacts_and_missing_ones_are_defects(files: Files) -> None:
    store = MemoryStore()
    message = pb.Dataset()
    for path, data in files.items():
        if path.endswith(".png"):
            artifact = await store.put(TENANT, data, "image/png")
            message.files.files.add(path=path, artifact=artifact.name)
        else:
            message.files.files.add(path=path, data=data)
    gone = "artifacts/" + hashlib.sha256(b"never stored").hexdigest()
    message.files.files.add(path="gone.png", artifact=gone)
    dataset = await read_dataset(message, TENANT, reader_of(store))
    report = lint(dataset, LIMITS)
    assert found(report) == [("gone.png", "ARTIFACT_MISSING")]
    assert len(report.pairs) == 5
    listed = await store.put(TENANT, message.files.SerializeToString(), "application/octet-stream")
    again = await read_dataset(pb.Dataset(manifest=listed.name), TENANT, reader_of(store))
    assert again.files == dataset.files


async def test_a_manifest_that_is_none() -> None:
    store = MemoryStore()
    artifact = await store.put(TENANT, b"\xff\xff\xff", "application/octet-stream")
    with pytest.raises(InvalidArgument) as caught:
        await read_dataset(pb.Dataset(manifest=artifact.name), TENANT, reader_of(store))
    assert caught.value.reason == "MANIFEST_BROKEN"


async def test_a_manifest_that_is_too_large_is_not_read() -> None:
    store = MemoryStore()
    artifact = await store.put(TENANT, bytes(5000), "application/octet-stream")
    reader = reader_of(store, limits=DatasetLimits(max_bytes=4000))
    with pytest.raises(InvalidArgument) as caught:
        await read_dataset(pb.Dataset(manifest=artifact.name), TENANT, reader)
    assert caught.value.reason == "MANIFEST_TOO_LARGE"


async def test_nothing_is_fetched_of_what_is_too_large(files: Files) -> None:
    store = MemoryStore()
    artifact = await store.put(TENANT, bytes(5000), "image/png")
    message = pb.Dataset(files=pb.DatasetFiles(files=[pb.DatasetFile(path="a.png", artifact=artifact.name)]))
    reader = reader_of(store, limits=DatasetLimits(max_bytes=4000))
    dataset = await read_dataset(message, TENANT, reader)
    assert dataset.files == ()
    assert [defect.reason for defect in dataset.defects] == ["DATASET_TOO_LARGE"]


def fill(folder: Path, files: Files) -> Path:
    folder.mkdir(parents=True)
    for path, data in files.items():
        (folder / path).write_bytes(data)
    return folder


async def test_a_folder_of_the_worker(files: Files, tmp_path: Path) -> None:
    fill(tmp_path / "sets" / "fox", files)
    dataset = await read_dataset(pb.Dataset(folder="fox"), TENANT, reader_of(MemoryStore(), tmp_path / "sets"))
    assert len(lint(dataset, LIMITS).pairs) == 5


async def test_what_leaves_the_folder_is_refused(files: Files, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(files["p0.png"])
    folder = fill(tmp_path / "sets" / "fox", files)
    (folder / "p0.png").unlink()
    (folder / "p0.png").symlink_to(secret)
    (folder / "more").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.png")
    dataset = await read_dataset(pb.Dataset(folder="fox"), TENANT, reader_of(MemoryStore(), tmp_path / "sets"))
    fatal = {(defect.path, defect.reason) for defect in lint(dataset, LIMITS).defects}
    assert {("p0.png", "PATH_LEAVES"), ("more", "PATH_LEAVES"), ("pipe.png", "FILE_UNREADABLE")} <= fatal


@pytest.mark.parametrize(
    "name, reason", [("..", "BAD_PATH"), ("/etc", "BAD_PATH"), ("out", "BAD_PATH"), ("none", "FOLDER_MISSING")]
)
async def test_a_folder_that_is_none(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "out").symlink_to(tmp_path)
    with pytest.raises(InvalidArgument) as caught:
        await read_dataset(pb.Dataset(folder=name), TENANT, reader_of(MemoryStore(), tmp_path / "sets"))
    assert caught.value.reason == reason


async def test_without_a_setting_there_are_no_folders() -> None:
    with pytest.raises(FailedPrecondition) as caught:
        await read_dataset(pb.Dataset(folder="fox"), TENANT, reader_of(MemoryStore()))
    assert caught.value.reason == "DATASETS_DIR_NOT_SET"


def test_a_broken_dataset_is_refused_before_anything_is_loaded(
    workshop: Workshop, new_order: Callable[..., TrainingOrder]
) -> None:
    order = new_order()
    broken = TrainingOrder(order.name, Dataset(order.dataset.files[:-1]), changes=order.changes)
    with pytest.raises(InvalidArgument, match=r"p4\.txt"):
        workshop.prepare(broken)
