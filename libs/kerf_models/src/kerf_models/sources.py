"""Where a model's files are: a folder, or a repository of the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kerf_core.errors import FailedPrecondition, Unavailable

_PART = r"[A-Za-z0-9][\w.-]{0,95}"
_REPOSITORY = re.compile(rf"(?P<id>{_PART}/{_PART})(@(?P<revision>[\w.][\w./-]{{0,127}}))?")


def resolve_source(
    source: str, *, wanted: Sequence[str], unwanted: Sequence[str] = (), local_files_only: bool = True
) -> Path:
    """The folder that holds the model's files.

    `source` is a path, or a repository `owner/name` or `owner/name@revision`; an existing folder wins. A repository is
    looked up in the local Hugging Face cache; only with `local_files_only=False` are missing files downloaded: those
    whose names fit a pattern of `wanted` and none of `unwanted`. Let no pickle be wanted.

    Raises FailedPrecondition MODEL_NOT_INSTALLED where there is nothing, Unavailable MODEL_DOWNLOAD_FAILED.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    repository = _REPOSITORY.fullmatch(source)
    if repository is None:
        raise FailedPrecondition(
            "MODEL_NOT_INSTALLED",
            f"there is no model folder {source}; put the model there, or set the path to where it is",
        )
    return _snapshot(repository["id"], repository["revision"], wanted, unwanted, local_files_only)


def _snapshot(
    repository: str, revision: str | None, wanted: Sequence[str], unwanted: Sequence[str], local_files_only: bool
) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        found = snapshot_download(
            repository,
            revision=revision,
            local_files_only=local_files_only,
            allow_patterns=list(wanted),
            ignore_patterns=list(unwanted) or None,
        )
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise _not_installed(repository, "the hub does not have it") from error
    except LocalEntryNotFoundError as error:
        if local_files_only:
            raise _not_installed(repository, "it is not in the local cache and downloads are off") from error
        raise _not_fetched(repository, "the hub cannot be reached, and the local cache does not have it") from error
    except OSError as error:
        raise _not_fetched(repository, type(error).__name__) from error
    return Path(found)


def _not_installed(repository: str, why: str) -> FailedPrecondition:
    return FailedPrecondition("MODEL_NOT_INSTALLED", f"model repository {repository}: {why}")


def _not_fetched(repository: str, why: str) -> Unavailable:
    return Unavailable("MODEL_DOWNLOAD_FAILED", f"model repository {repository} could not be downloaded: {why}")
