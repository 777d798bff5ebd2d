"""Finds every defect of a dataset before anything is trained."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from kerf_core.errors import InvalidArgument
from kerf_media.decode import Picture, PictureLimits, decode_picture
from kerf_trainer.domain.dataset import (
    DEFAULT_CAPTION_SUFFIX,
    PICTURE_SUFFIXES,
    Dataset,
    DatasetFile,
    Defect,
    LintReport,
    Pair,
)

_SUFFIX = re.compile(r"^\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")
_MAX_PATH_CHARS = 255
_UNREAD_PICTURES = (".tif", ".tiff", ".heic", ".avif", ".svg", ".jxl")


@dataclass(frozen=True)
class DatasetLimits:
    """What the operator allows, and what counts as small."""

    max_files: int = 4000
    max_pictures: int = 2000
    max_bytes: int = 512 << 20
    max_caption_chars: int = 2000
    min_side_px: int = 64
    picture: PictureLimits = field(default_factory=PictureLimits)


def lint(
    dataset: Dataset, limits: DatasetLimits, *, side_px: int = 0, check: Callable[[], None] = lambda: None
) -> LintReport:
    """Look at every file; decodes every picture, so it blocks. `side_px`: what pictures will be fitted to, 0 = unknown.

    `check` is called for every file; what it raises comes out. Defects are in order of the paths.
    """
    found = _Findings(dataset, limits, side_px)
    found.defects += dataset.defects
    suffix = found.caption_suffix()
    good = [file for file in dataset.files if found.accepts(file)]
    found.count(good)
    captions = {_stem(file.path, suffix): file for file in good if file.path.endswith(suffix)}
    rest = [file for file in good if not file.path.endswith(suffix)]
    pictures = found.pictures_by_stem(rest)
    for stem, file in captions.items():
        if stem not in pictures:
            found.add(file.path, "PICTURE_MISSING", f"no picture {stem}.png (or another kind) lies beside this caption")
    for stem, file in pictures.items():
        check()
        found.pair(file, captions.get(stem), f"{stem}{suffix}")
    if not pictures and not any(defect.reason == "DATASET_MISSING" for defect in found.defects):
        found.add("", "EMPTY_DATASET", "there is no picture in it; add pictures, each with a caption beside it")
    defects = sorted(found.defects, key=lambda defect: (defect.path, defect.reason))
    return LintReport(tuple(defects), tuple(sorted(found.pairs, key=lambda pair: pair.path)))


class _Findings:
    """Collects defects and pairs."""

    def __init__(self, dataset: Dataset, limits: DatasetLimits, side_px: int) -> None:
        self._dataset = dataset
        self._limits = limits
        self._wanted_side_px = side_px or limits.min_side_px
        self._paths: set[str] = set()
        self._seen: dict[str, str] = {}
        self.defects: list[Defect] = []
        self.pairs: list[Pair] = []

    def add(self, path: str, reason: str, message: str, *, fatal: bool = True) -> None:
        """Note a defect."""
        self.defects.append(Defect(path, reason, message, fatal))

    def caption_suffix(self) -> str:
        """The suffix to go on with; a wrong one is a defect, but must not hide the others."""
        suffix = self._dataset.caption_suffix or DEFAULT_CAPTION_SUFFIX
        if _SUFFIX.match(suffix) and suffix.lower() not in PICTURE_SUFFIXES:
            return suffix
        dotted = f".{suffix}"
        if _SUFFIX.match(dotted) and dotted.lower() not in PICTURE_SUFFIXES:
            self.add("", "CAPTION_SUFFIX", f"caption_suffix {suffix!r} has no dot: write {dotted!r}")
            return dotted
        self.add("", "CAPTION_SUFFIX", f"caption_suffix {suffix!r} is no ending of a caption file: write '.txt'")
        return DEFAULT_CAPTION_SUFFIX

    def accepts(self, file: DatasetFile) -> bool:
        """True if the file's name is usable and its bytes are here."""
        odd = _what_is_odd(file.path)
        if odd:
            self.add(file.path, "BAD_PATH", f"{odd}; rename the file")
        elif file.path in self._paths:
            self.add(file.path, "PATH_TWICE", "is named twice; send every file once")
        elif file.defect is not None:
            self.defects.append(file.defect)
        self._paths.add(file.path)
        return not odd and file.data is not None and file.defect is None

    def count(self, files: list[DatasetFile]) -> None:
        """Note too many files and too many bytes."""
        limits = self._limits
        if len(files) > limits.max_files:
            self.add(
                "", "TOO_MANY_FILES", f"{len(files)} files are more than this worker's limit of {limits.max_files}"
            )
        size = sum(len(file.data or b"") for file in files)
        if size > limits.max_bytes:
            self.add(
                "", "DATASET_TOO_LARGE", f"{size:,} bytes are more than this worker's limit of {limits.max_bytes:,}"
            )

    def pictures_by_stem(self, files: list[DatasetFile]) -> dict[str, DatasetFile]:
        """The pictures among the files that are no captions."""
        pictures: dict[str, DatasetFile] = {}
        for file in files:
            ending = PurePosixPath(file.path).suffix.lower()
            stem = file.path[: len(file.path) - len(ending)]
            if ending in _UNREAD_PICTURES:
                self.add(file.path, "PICTURE_UNREADABLE", f"kerf does not read {ending} files; convert it to PNG")
            elif ending not in PICTURE_SUFFIXES:
                self.add(file.path, "FILE_IGNORED", "is neither a picture nor a caption", fatal=False)
            elif stem in pictures:
                other = pictures[stem].path
                self.add(
                    file.path,
                    "STEM_TWICE",
                    f"has the same name as {other} but for its ending, and one caption fits both: rename it",
                )
            else:
                pictures[stem] = file
        if len(pictures) > self._limits.max_pictures:
            limit = self._limits.max_pictures
            self.add("", "TOO_MANY_PICTURES", f"{len(pictures)} pictures are more than this worker's limit of {limit}")
        return pictures

    def pair(self, file: DatasetFile, caption_file: DatasetFile | None, caption_path: str) -> None:
        """Read a picture and its caption; a pair only if both are good."""
        picture = self._picture(file)
        if caption_file is None:
            if not self._knows_defect_of(caption_path):
                self.add(file.path, "CAPTION_MISSING", f"has no caption: write one into {caption_path}")
            return
        caption = self._caption(caption_file)
        if picture is not None and caption:
            data = file.data or b""
            self.pairs.append(Pair(file.path, data, caption, hashlib.sha256(data).hexdigest()))

    def _knows_defect_of(self, path: str) -> bool:
        return path in self._paths and any(defect.path == path for defect in self.defects)

    def _picture(self, file: DatasetFile) -> Picture | None:
        try:
            picture = decode_picture(file.data or b"", self._limits.picture)
        except InvalidArgument as error:
            reason = "PICTURE_TOO_LARGE" if error.reason == "PICTURE_TOO_LARGE" else "PICTURE_BROKEN"
            self.add(file.path, reason, error.message)
            return None
        twin = self._seen.setdefault(hashlib.sha256(picture.rgb.tobytes()).hexdigest(), file.path)
        if twin != file.path:
            self.add(file.path, "PICTURE_DUPLICATE", f"shows the same as {twin}, which counts double now", fatal=False)
        side_px = min(picture.width_px, picture.height_px)
        if side_px < self._wanted_side_px:
            text = (
                f"is only {picture.width_px} × {picture.height_px} px and will be enlarged to {self._wanted_side_px} px"
            )
            self.add(file.path, "PICTURE_SMALL", text, fatal=False)
        return picture

    def _caption(self, file: DatasetFile) -> str:
        try:
            text = (file.data or b"").decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.add(file.path, "CAPTION_NOT_UTF8", f"byte {error.start} is no UTF-8; save the file as UTF-8")
            return ""
        caption = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
        if not caption:
            self.add(file.path, "CAPTION_EMPTY", "says nothing; describe the picture in it")
        elif len(caption) > self._limits.max_caption_chars:
            limit = self._limits.max_caption_chars
            self.add(file.path, "CAPTION_TOO_LONG", f"{len(caption)} characters are more than the limit of {limit}")
            return ""
        return caption


def _stem(path: str, suffix: str) -> str:
    return path[: len(path) - len(suffix)]


def _what_is_odd(path: str) -> str:
    """Why a path cannot be that of a file in a folder; empty if it can."""
    return next(_oddities(path), "")


def _oddities(path: str) -> Iterator[str]:
    if not path or len(path) > _MAX_PATH_CHARS:
        yield f"the path has {len(path)} characters, 1 to {_MAX_PATH_CHARS} are allowed"
    if any(unicodedata.category(sign).startswith("C") for sign in path):
        yield "the path has control characters or invisible signs in it"
    if "\\" in path or path.startswith("/") or re.match(r"^[A-Za-z]:", path):
        yield "the path is not relative, with '/' between its parts"
    if any(part in ("", ".", "..") for part in path.split("/")):
        yield "the path has empty, '.' or '..' parts and may leave the folder"
