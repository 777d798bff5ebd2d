"""LoRAs that a request names as artifacts: brought here before the work begins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kerf_core.blobs import BlobStore
from kerf_core.stages import TenantId
from kerf_diffusion.domain.requests import LoraWeight
from kerf_sd.lora_files import ADOPTED, LoraFolder


def artifacts_among(loras: Sequence[LoraWeight]) -> list[str]:
    """SHA-256 of the LoRAs that are named as artifacts."""
    return [lora.name.removeprefix(ADOPTED) for lora in loras if lora.name.startswith(ADOPTED)]


class LoraArtifacts:
    """Reads a tenant's LoRAs from S3 into the folder that the models take theirs from."""

    def __init__(self, folder: LoraFolder, blobs: BlobStore) -> None:
        self._folder = folder
        self._blobs = blobs

    async def fetch(self, tenant: TenantId, artifacts: Sequence[str]) -> None:
        """Have these artifacts of `tenant` (SHA-256) at hand.

        Raises NotFound (another tenant's is not found either), DataLoss, Unavailable, FailedPrecondition LORA_BROKEN.
        """
        for sha256 in artifacts:
            await self._blobs.stat(tenant, sha256)  # whether it is this tenant's, also where the bytes are here already
            if not self._folder.adopted(sha256):
                data = await self._blobs.get(tenant, sha256)
                await asyncio.to_thread(self._folder.adopt, sha256, data)
