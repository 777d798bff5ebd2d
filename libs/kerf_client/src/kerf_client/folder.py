"""The folder that results are written to: whole files only, and never over somebody else's."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from kerf_client.errors import InvalidRequest
from kerf_client.outputs import MANIFEST_FILE

MANIFEST_FORMAT = "kerf-job/1"
_MAX_MANIFEST_BYTES = 16 * 1024 * 1024


class ResultFolder:
    """A folder with `job.json` as the list of what kerf wrote there, by SHA-256.

    Files of a former run that nobody touched since are replaced, or removed where the new run makes none of that
    name. Anything else is foreign: a run that would need its name is refused.
    """

    def __init__(self, path: Path, possible_filename: Callable[[str], bool]) -> None:
        self.path = path
        self._possible = possible_filename

    def prepare(self) -> None:
        """Look whether `write` will do, without making anything. Raises InvalidRequest with what is in the way."""
        nearest = next(each for each in (self.path, *self.path.absolute().parents) if each.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            text = f"{self.path} cannot be used as output folder: {nearest} is no folder that you may write to"
            raise InvalidRequest(text, reason="FOLDER_UNUSABLE")
        if nearest != self.path:
            return
        try:
            found = sorted(each for each in self.path.iterdir() if self._possible(each.name))
            foreign = [each.name for each in found if not self._is_ours(each)]
        except OSError as error:
            text = f"{self.path} cannot be used as output folder: {error.strerror or error}"
            raise InvalidRequest(text, reason="FOLDER_UNUSABLE") from None
        if foreign:
            raise self._in_the_way(foreign)

    def write(self, files: Mapping[str, bytes], manifest: dict[str, object]) -> list[Path]:
        """Write `files` and, last, `job.json` with `manifest`. Each appears whole or not at all. Returns the paths."""
        self.prepare()
        former = self._former_hashes()
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        full_manifest = {"format": MANIFEST_FORMAT, **manifest, "sha256": hashes}
        text = json.dumps(full_manifest, indent=2, ensure_ascii=False) + "\n"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name, data in files.items():
                self._replace(name, data)
            for name in former.keys() - files.keys():
                (self.path / name).unlink(missing_ok=True)
            self._replace(MANIFEST_FILE, text.encode())
        except OSError as error:
            text = f"{self.path} cannot be written: {error.strerror or error}"
            raise InvalidRequest(text, reason="FOLDER_UNWRITABLE") from None
        return [self.path / name for name in (*files, MANIFEST_FILE)]

    def _in_the_way(self, names: list[str]) -> InvalidRequest:
        return InvalidRequest(
            f"{self.path}: {', '.join(names)} would be overwritten, but kerf did not write it like this; "
            "move it away or choose another folder with --out",
            reason="FILE_IN_THE_WAY",
        )

    def _former_hashes(self) -> dict[str, str]:
        path = self.path / MANIFEST_FILE
        try:
            if path.stat().st_size > _MAX_MANIFEST_BYTES:
                return {}
            manifest = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(manifest, dict) or manifest.get("format") != MANIFEST_FORMAT:
            return {}
        hashes = manifest.get("sha256")
        if not isinstance(hashes, dict):
            return {}
        return {name: str(value) for name, value in hashes.items() if self._possible(name)}

    def _is_ours(self, path: Path) -> bool:
        if path.is_symlink() or not path.is_file():
            return False
        if path.name == MANIFEST_FILE:
            return bool(self._former_hashes())
        expected = self._former_hashes().get(path.name)
        return expected is not None and hashlib.sha256(path.read_bytes()).hexdigest() == expected

    def _replace(self, name: str, data: bytes) -> None:
        descriptor, temporary = tempfile.mkstemp(prefix=".kerf-", dir=self.path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(self.path / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
