"""Uploads during a run: bytes that nobody can make again, each remembered once a gateway has answered for it."""

from __future__ import annotations

import asyncio
import hashlib
import random
from functools import partial

from chaos.faults.load import Client

UPLOADS = "uploads"
"""Stands where a delivery names its job."""
_EVERY_S = 0.4
_SIZES_BYTES = (1, 3_000, 300_000)


async def upload_originals(client: Client, seed: int, answered: set[str]) -> None:
    """Until cancelled. What was answered is never uploaded again, so that nothing but its store can keep it."""
    draw = random.Random(f"originals {seed}")
    while True:
        data = draw.randbytes(draw.choice(_SIZES_BYTES)) + draw.randbytes(8)
        told = await client.until_answered(partial(_upload, client, data))
        if told == hashlib.sha256(data).hexdigest():
            answered.add(told)
        await asyncio.sleep(_EVERY_S)


async def _upload(client: Client, data: bytes) -> str:
    """SHA-256 as the gateway says it; empty without an answer in time."""
    try:
        async with asyncio.timeout(client.patience_s):
            return (await client.door().upload(data)).sha256
    except TimeoutError:
        return ""
