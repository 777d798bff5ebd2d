"""Where a model's files are: a folder, or a repository of the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path

from kerf_core.errors import FailedPrecondition, Unavailable

_REPOSITORY = re.compile(r"^(?P<id>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(@(?P<revision>[\w./-]{1,128}))?$")
_WANTED_FILES = ["*.json", "*/*.json", "*/*.txt", "*/*.safetensors"]
_UNWANTED_FILES = ["*.fp16.*", "*non_ema*", "*safety_checker*"]


def resolve_source(source: str, *, local_files_only: bool = True) -> Path:
    """The folder that holds the model's files.

    `source` is a path, or a repository `owner/name` or `owner/name@revision`; an existing folder wins. A repository is
    looked up in the local Hugging Face cache; only with `local_files_only=False` are missing files downloaded (json,
    txt and safetensors, never a pickle).

    Raises FailedPrecondition MODEL_NOT_INSTALLED where there is nothing, Unavailable if a download failed.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    repository = _REPOSITORY.match(source)
    if repository is None or source.startswith((".", "/", "~")):
        raise FailedPrecondition(
            "MODEL_NOT_INSTALLED",
            f"there is no model folder {source}; put the model there, or set the path to where it is",
        )
    return _snapshot(repository["id"], repository["revision"], local_files_only)


def _snapshot(repository: str, revision: str | None, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                local_files_only=local_files_only,
                allow_patterns=_WANTED_FILES,
                ignore_patterns=_UNWANTED_FILES,
            )
        )
    except (LocalEntryNotFoundError, RepositoryNotFoundError, HFValidationError) as error:
        hint = "it is not in the local cache and downloads are off" if local_files_only else "the hub does not have it"
        raise FailedPrecondition("MODEL_NOT_INSTALLED", f"model repository {repository}: {hint}") from error
    except OSError as error:
        raise Unavailable(
            "MODEL_DOWNLOAD_FAILED", f"model repository {repository} could not be downloaded: {type(error).__name__}"
        ) from error
