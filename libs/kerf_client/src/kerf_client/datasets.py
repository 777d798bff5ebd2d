"""A folder of pictures and captions as the dataset of a training. Judges nothing: the trainer tells all defects.

The only faults found here are those that nobody else can see: a folder that is not there or has no such files in it,
and names that cannot travel.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.trainer.v1.dataset_pb2 import Dataset, DatasetFile, DatasetFiles
from kerf_client.errors import InvalidRequest, Violation
from kerf_client.parallel import map_parallel
from kerf_client.transfers import DEFAULT_MAX_UPLOAD_BYTES

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
DEFAULT_CAPTION_SUFFIX = ".txt"
MAX_FILES = 20_000
"""Of one dataset, as `DatasetFiles` has it."""

_MAX_PATH_LENGTH = 255
_MAX_INLINE_BYTES = 16_384
_MAX_SPEC_BYTES = 200 * 1024
"""Beyond this the list of files is an artifact: a job's spec has at most 256 KiB, and there is more in it."""

PARALLEL_UPLOADS = 4

Upload = Callable[[bytes], Awaitable[Artifact]]
Uploaded = Callable[[int, int], None]
"""Is told how many files are done, and how many there are."""


@dataclass(frozen=True)
class LocalDataset:
    """What lies in a folder: paths in it with `/`, sorted. `ignored` are neither pictures nor captions."""

    folder: Path
    pictures: tuple[str, ...]
    captions: tuple[str, ...]
    ignored: tuple[str, ...]
    caption_suffix: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """Everything that is sent, in order."""
        return tuple(sorted((*self.pictures, *self.captions)))


@dataclass(frozen=True)
class UploadedDataset:
    """The dataset as a training names it. `refused`: pictures that kerf would not store, and why.

    Of a refused picture the beginning goes along, so that the trainer tells its defect among all others.
    """

    dataset: Dataset
    refused: dict[str, str] = field(default_factory=dict)


def scan_dataset(folder: Path, caption_suffix: str = "") -> LocalDataset:
    """Look at a folder and those below it; hidden files and linked folders are passed over. Blocking.

    Raises InvalidRequest (FOLDER_MISSING, FOLDER_EMPTY, BAD_FILE_NAME, TOO_MANY_FILES).
    """
    if not folder.is_dir():
        raise InvalidRequest(f"{folder} is no folder: name the one with the pictures", reason="FOLDER_MISSING")
    suffix = caption_suffix or DEFAULT_CAPTION_SUFFIX
    paths = sorted(visible_files(folder))
    captions = tuple(path for path in paths if path.endswith(suffix))
    rest = [path for path in paths if not path.endswith(suffix)]
    pictures = tuple(path for path in rest if Path(path).suffix.lower() in PICTURE_SUFFIXES)
    ignored = tuple(path for path in rest if Path(path).suffix.lower() not in PICTURE_SUFFIXES)
    local = LocalDataset(folder, pictures, captions, ignored, caption_suffix)
    if not local.paths:
        text = f"{folder} has neither pictures nor captions ({suffix}) in it"
        raise InvalidRequest(text, reason="FOLDER_EMPTY")
    if len(local.paths) > MAX_FILES:
        text = f"{folder} has {len(local.paths):,} pictures and captions; at most {MAX_FILES:,} make a dataset"
        raise InvalidRequest(text, reason="TOO_MANY_FILES")
    _check_names(local)
    return local


def visible_files(folder: Path) -> Iterator[str]:
    """Paths of the files in a folder and below, with `/`; hidden ones and linked folders are passed over. Blocking."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(root) / name
            if not name.startswith(".") and path.is_file():
                yield path.relative_to(folder).as_posix()


def _check_names(local: LocalDataset) -> None:
    bad = [path for path in local.paths if len(path) > _MAX_PATH_LENGTH or not _is_unicode(path)]
    if bad:
        text = f"is longer than {_MAX_PATH_LENGTH} characters or no UTF-8: rename it"
        violations = tuple(Violation(ascii(path)[1:-1][:_MAX_PATH_LENGTH], text) for path in bad)
        message = f"{len(bad)} file names in {local.folder} cannot be sent"
        raise InvalidRequest(message, reason="BAD_FILE_NAME", violations=violations)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


async def upload_dataset(upload: Upload, local: LocalDataset, uploaded: Uploaded | None = None) -> UploadedDataset:
    """Store the pictures, and make the dataset that names them; captions travel inside it.

    Raises InvalidRequest (FILE_UNREADABLE) and what `upload` raises, except for a picture that kerf refuses.
    """
    captions = frozenset(local.captions)
    refused: dict[str, str] = {}
    done = 0

    async def send(path: str) -> DatasetFile:
        nonlocal done
        data = await asyncio.to_thread(_read, local.folder / path)
        file = await _file(upload, path, data, inline=path in captions, refused=refused)
        done += 1
        if uploaded is not None:
            uploaded(done, len(local.paths))
        return file

    files = DatasetFiles(files=await map_parallel(send, local.paths, PARALLEL_UPLOADS))
    dataset = Dataset(files=files, caption_suffix=local.caption_suffix)
    if dataset.ByteSize() > _MAX_SPEC_BYTES:
        manifest = await upload(files.SerializeToString(deterministic=True))
        dataset = Dataset(manifest=manifest.name, caption_suffix=local.caption_suffix)
    return UploadedDataset(dataset, dict(sorted(refused.items())))


async def _file(upload: Upload, path: str, data: bytes, *, inline: bool, refused: dict[str, str]) -> DatasetFile:
    if not data or (inline and len(data) <= _MAX_INLINE_BYTES):
        return DatasetFile(path=path, data=data)  # an upload is never empty; that the file is, the trainer will say
    try:
        return DatasetFile(path=path, artifact=(await upload(data)).name)
    except InvalidRequest as error:
        refused[path] = error.message
        return DatasetFile(path=path, data=data[:_MAX_INLINE_BYTES])


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(DEFAULT_MAX_UPLOAD_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror or error}", reason="FILE_UNREADABLE") from None
    if len(data) > DEFAULT_MAX_UPLOAD_BYTES:
        text = f"{path}: larger than the limit of {DEFAULT_MAX_UPLOAD_BYTES:,} bytes"
        raise InvalidRequest(text, reason="FILE_TOO_LARGE")
    return data
