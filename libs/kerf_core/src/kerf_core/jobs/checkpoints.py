"""What a stage saves so that a later attempt continues from there."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass

from kerf_core.blobs import BlobStore
from kerf_core.errors import NotFound
from kerf_core.jobs.names import JobRef

LOG = logging.getLogger(__name__)
_KEPT = 2


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint whose bytes were committed."""

    step: int
    size_bytes: int
    sha256: str
    key: str


class CheckpointStore:
    """Checkpoints of one stage: `checkpoints/<tenant>/<job>/<stage>/<step>.<fence>`, committed by a manifest beside it.

    The fence in the name keeps an attempt that was superseded from overwriting what its successor saved.
    """

    def __init__(self, blobs: BlobStore, ref: JobRef, stage: str) -> None:
        self._blobs = blobs
        self._folder = f"checkpoints/{ref.tenant}/{ref.job}/{stage}/"

    async def save(self, step: int, data: bytes, *, fence: int) -> str:
        """Write the bytes, then the manifest that makes them count; keep the last two. Returns the key.

        Raises ResourceExhausted, Unavailable.
        """
        key = f"{self._folder}{step:09d}.{fence}"
        await self._blobs.put_object(key, data)
        manifest = {"step": step, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        await self._blobs.put_object(f"{key}.json", json.dumps(manifest).encode())
        await self._remove((await self._manifests())[:-_KEPT])
        return key

    async def latest(self) -> tuple[int, bytes] | None:
        """The newest checkpoint whose bytes are what its manifest says: (step, bytes). Raises Unavailable."""
        for saved in reversed(await self.committed()):
            try:
                data = await self._blobs.get_object(saved.key)
            except NotFound:
                data = b""
            if hashlib.sha256(data).hexdigest() == saved.sha256:
                return saved.step, data
            LOG.warning("checkpoint %s is damaged: the one before it serves", saved.key)
        return None

    async def committed(self) -> list[SavedCheckpoint]:
        """All that were committed, oldest first. Raises Unavailable."""
        found = []
        for manifest in await self._manifests():
            try:
                read = json.loads(await self._blobs.get_object(manifest))
                saved = SavedCheckpoint(
                    int(read["step"]), int(read["size_bytes"]), str(read["sha256"]), manifest.removesuffix(".json")
                )
            except (NotFound, ValueError, KeyError, TypeError):
                continue  # it was removed meanwhile, or is damaged: not a checkpoint
            found.append(saved)
        return found

    async def clear(self) -> None:
        """Remove them all. Raises Unavailable."""
        for key in await self._blobs.list_objects(self._folder):
            await self._blobs.remove_object(key)

    async def _manifests(self) -> list[str]:
        keys = [key for key in await self._blobs.list_objects(self._folder) if key.endswith(".json")]
        return sorted(keys, key=_order)

    async def _remove(self, manifests: list[str]) -> None:
        for manifest in manifests:
            await self._blobs.remove_object(manifest)  # first, so that no manifest ever stands without its bytes
            await self._blobs.remove_object(manifest.removesuffix(".json"))


def _order(manifest: str) -> tuple[int, int]:
    step, fence = manifest.removesuffix(".json").rsplit("/", 1)[1].split(".")
    return int(step), int(fence)
