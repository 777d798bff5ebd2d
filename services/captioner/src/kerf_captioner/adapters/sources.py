"""Where a model's files are: a folder, or a repository of the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path

from kerf_core.errors import FailedPrecondition, Unavailable

_PART = r"[A-Za-z0-9][\w.-]{0,95}"
_REPOSITORY = re.compile(rf"(?P<id>{_PART}/{_PART})(@(?P<revision>[\w.][\w./-]{{0,127}}))?")
_WANTED_FILES = ["*.json", "*.txt", "*.safetensors"]


def resolve_source(source: str, *, local_files_only: bool) -> Path:
    """The folder that holds the model's files.

    `source` is a folder, or a repository `owner/name` or `owner/name@revision`, which is looked up in the local cache
    of the hub; only with `local_files_only=False` are missing files fetched (json, txt, safetensors; never a pickle).

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
    return _snapshot(repository["id"], repository["revision"], local_files_only=local_files_only)


def _snapshot(repository: str, revision: str | None, *, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        found = snapshot_download(
            repository, revision=revision, local_files_only=local_files_only, allow_patterns=_WANTED_FILES
        )
    except (LocalEntryNotFoundError, RepositoryNotFoundError, HFValidationError) as error:
        why = "it is not in the local cache and downloads are off" if local_files_only else "the hub does not have it"
        raise FailedPrecondition("MODEL_NOT_INSTALLED", f"model repository {repository}: {why}") from error
    except OSError as error:
        raise Unavailable(
            "MODEL_DOWNLOAD_FAILED", f"model repository {repository} could not be fetched: {type(error).__name__}"
        ) from error
    return Path(found)
