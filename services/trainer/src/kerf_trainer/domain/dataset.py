"""A dataset: files, what is wrong with them, and the pairs of picture and caption that they make."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from kerf_core.errors import InvalidArgument, Violation

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
DEFAULT_CAPTION_SUFFIX = ".txt"
_MAX_VIOLATIONS = 40
_MAX_NAMED = 8


@dataclass(frozen=True)
class Defect:
    """Something wrong with a file, or with the whole dataset (empty path)."""

    path: str
    reason: str
    message: str
    fatal: bool = True


@dataclass(frozen=True)
class DatasetFile:
    """One file; `data` is None if it could not be had, and `defect` says why."""

    path: str
    data: bytes | None
    defect: Defect | None = None


@dataclass(frozen=True)
class Dataset:
    """Files as they came. `defects` were found while they were fetched."""

    files: tuple[DatasetFile, ...]
    caption_suffix: str = DEFAULT_CAPTION_SUFFIX
    defects: tuple[Defect, ...] = ()


@dataclass(frozen=True)
class Pair:
    """A picture's file, which was decoded once to see that it is whole, and its caption."""

    path: str
    data: bytes
    caption: str
    sha256: str
    """Of the picture's file."""


@dataclass(frozen=True)
class LintReport:
    """What a dataset is worth."""

    defects: tuple[Defect, ...]
    pairs: tuple[Pair, ...] = field(default=())

    @property
    def warnings(self) -> list[str]:
        """What is odd but does not stop a training."""
        return [f"{defect.path}: {defect.message}" for defect in self.defects if not defect.fatal]

    def sha256(self) -> str:
        """Over pictures and captions, in order: two datasets with the same sum train the same LoRA."""
        whole = hashlib.sha256()
        for pair in self.pairs:
            caption = hashlib.sha256(pair.caption.encode()).hexdigest()
            whole.update(f"{pair.sha256} {caption}\n".encode())
        return whole.hexdigest()

    def raise_if_fatal(self) -> None:
        """Raise InvalidArgument DATASET_BROKEN with the fatal defects, all at once (the first 40 in full)."""
        fatal = [defect for defect in self.defects if defect.fatal]
        if not fatal:
            return
        violations = [Violation(f"dataset[{defect.path}]", f"{defect.reason}: {defect.message}") for defect in fatal]
        shown = "; ".join(f"{defect.path or 'dataset'}: {defect.message}" for defect in fatal[:_MAX_NAMED])
        more = f"; and {len(fatal) - _MAX_NAMED} more" if len(fatal) > _MAX_NAMED else ""
        if len(violations) > _MAX_VIOLATIONS:  # the status travels in a header of a few KiB
            left = len(violations) - _MAX_VIOLATIONS
            violations = [*violations[:_MAX_VIOLATIONS], Violation("dataset", f"{left} more; LintDataset lists all")]
        text = f"the dataset has {len(fatal)} defects, nothing was trained: {shown}{more}"
        raise InvalidArgument("DATASET_BROKEN", text, violations=tuple(violations))
