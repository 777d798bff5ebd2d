"""Brings the files of a dataset here: from S3, or from a folder of this machine."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kerf_core.blobs import BlobStore
from kerf_core.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound
from kerf_core.stages import TenantId
from kerf_trainer.domain.dataset import DEFAULT_CAPTION_SUFFIX, PICTURE_SUFFIXES, Dataset, DatasetFile, Defect
from kerf_trainer.domain.linting import DatasetLimits

_AT_ONCE = 8


@dataclass(frozen=True)
class NamedFile:
    """A file of a request: its bytes, or the SHA-256 of an artifact."""

    path: str
    data: bytes = b""
    sha256: str = ""


class DatasetReader:
    """Reads datasets. What is wrong with single files becomes a defect, so that all are told at once."""

    def __init__(self, blobs: BlobStore, folder: Path | None, limits: DatasetLimits) -> None:
        self._blobs = blobs
        self._folder = folder
        self._limits = limits

    async def read_files(self, tenant: TenantId, files: Sequence[NamedFile], caption_suffix: str) -> Dataset:
        """The files of a request. Raises Unavailable (S3 is away); what is missing there is a defect."""
        if len(files) > self._limits.max_files:
            text = f"{len(files)} files are more than this worker's limit of {self._limits.max_files}"
            return Dataset((), caption_suffix, (Defect("", "TOO_MANY_FILES", text),))
        # Before anything is fetched: what is named may be larger than this worker's memory.
        gate = asyncio.Semaphore(_AT_ONCE)
        wanted = dict.fromkeys(file.sha256 for file in files if file.sha256)
        sizes = dict(
            zip(wanted, await asyncio.gather(*(self._size(tenant, name, gate) for name in wanted)), strict=True)
        )
        total = sum(sizes[file.sha256] if file.sha256 else len(file.data) for file in files)
        if total > self._limits.max_bytes:
            text = f"{total:,} bytes are more than this worker's limit of {self._limits.max_bytes:,}"
            return Dataset((), caption_suffix, (Defect("", "DATASET_TOO_LARGE", text),))
        found = dict(
            zip(wanted, await asyncio.gather(*(self._bytes(tenant, name, gate) for name in wanted)), strict=True)
        )
        return Dataset(tuple(_described(file, found) for file in files), caption_suffix)

    async def read_manifest(self, tenant: TenantId, sha256: str) -> bytes:
        """The bytes of an artifact that lists files.

        Raises NotFound, DataLoss, Unavailable, InvalidArgument MANIFEST_TOO_LARGE.
        """
        size = (await self._blobs.stat(tenant, sha256)).size_bytes
        if size > self._limits.max_bytes:
            text = f"{size:,} bytes are more than this worker's limit of {self._limits.max_bytes:,}"
            raise InvalidArgument.of_field("dataset.manifest", text, "MANIFEST_TOO_LARGE")
        return await self._blobs.get(tenant, sha256)

    async def read_folder(self, name: str, caption_suffix: str) -> Dataset:
        """A folder below the settings' one.

        Raises FailedPrecondition DATASETS_DIR_NOT_SET, InvalidArgument FOLDER_MISSING or BAD_PATH.
        """
        if self._folder is None:
            raise FailedPrecondition(
                "DATASETS_DIR_NOT_SET", "this worker has no folder with datasets: send the files, or ask its operator"
            )
        return await asyncio.to_thread(_read_folder, self._folder, name, caption_suffix, self._limits)

    async def _size(self, tenant: TenantId, sha256: str, gate: asyncio.Semaphore) -> int:
        async with gate:
            try:
                return (await self._blobs.stat(tenant, sha256)).size_bytes
            except NotFound:
                return 0

    async def _bytes(self, tenant: TenantId, sha256: str, gate: asyncio.Semaphore) -> bytes | str:
        """The bytes, or why there are none."""
        async with gate:
            try:
                return await self._blobs.get(tenant, sha256)
            except (NotFound, DataLoss) as error:
                return error.message


def _described(file: NamedFile, found: dict[str, bytes | str]) -> DatasetFile:
    if not file.sha256:
        return DatasetFile(file.path, file.data)
    data = found[file.sha256]
    if isinstance(data, bytes):
        return DatasetFile(file.path, data)
    return DatasetFile(file.path, None, Defect(file.path, "ARTIFACT_MISSING", f"{data}: upload it again"))


def _read_folder(root: Path, name: str, caption_suffix: str, limits: DatasetLimits) -> Dataset:
    folder = _folder_below(root, name)
    inside = folder.resolve()
    suffix = caption_suffix or DEFAULT_CAPTION_SUFFIX
    files: list[DatasetFile] = []
    left_bytes = limits.max_bytes
    for path in sorted(_files_below(folder)):
        shown = path.relative_to(folder).as_posix()
        if not path.resolve().is_relative_to(inside):
            defect = Defect(
                shown, "PATH_LEAVES", "is a link that leaves the dataset's folder; put the file itself there"
            )
            files.append(DatasetFile(shown, None, defect))
            continue
        if not (shown.endswith(suffix) or path.suffix.lower() in PICTURE_SUFFIXES):
            files.append(DatasetFile(shown, b""))  # is only named, never read
            continue
        data = _read_file(path, left_bytes)
        if data is None:
            files.append(DatasetFile(shown, None, Defect(shown, "FILE_UNREADABLE", "cannot be read; check its rights")))
            continue
        left_bytes -= len(data)
        files.append(DatasetFile(shown, data))
        if left_bytes < 0 or len(files) > limits.max_files:
            reason = "DATASET_TOO_LARGE" if left_bytes < 0 else "TOO_MANY_FILES"
            text = f"is more than this worker's limits: {limits.max_files} files, {limits.max_bytes:,} bytes"
            return Dataset((), caption_suffix, (Defect("", reason, text),))
    return Dataset(tuple(files), caption_suffix)


def _folder_below(root: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise InvalidArgument.of_field("dataset.folder", f"{name!r} is no folder below the datasets folder", "BAD_PATH")
    folder = root.joinpath(*parts)
    if not folder.resolve().is_relative_to(root.resolve()):
        raise InvalidArgument.of_field("dataset.folder", f"{name!r} leads out of the datasets folder", "BAD_PATH")
    if not folder.is_dir():
        raise InvalidArgument.of_field("dataset.folder", f"there is no folder {name!r}", "FOLDER_MISSING")
    return folder


def _files_below(folder: Path) -> list[Path]:
    """All files but hidden ones; linked folders are named as files, so that they are refused and not followed."""
    found = []
    for parent, folders, names in os.walk(folder):
        linked = [name for name in folders if (Path(parent) / name).is_symlink()]
        folders[:] = [name for name in folders if name not in linked and not name.startswith(".")]
        found += [Path(parent) / name for name in [*names, *linked] if not name.startswith(".")]
    return found


def _read_file(path: Path, most_bytes: int) -> bytes | None:
    """At most one byte more than allowed; None if it is no regular file or cannot be read."""
    try:
        # Opening a pipe would wait for its writer.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            return file.read(max(0, most_bytes) + 1)
    except OSError:
        return None
