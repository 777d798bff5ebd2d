"""What a fresh stack needs besides running processes: somebody who may call it."""

from __future__ import annotations

import nats
from nats.js.errors import NotFoundError

from kerf_core.auth import store_api_key
from kerf_core.settings import ServiceSettings
from kerf_core.streams import CONFIG, declare
from kerf_embedded.state import StackInfo

TENANT = "local"
_TIMEOUT_S = 10


async def bootstrap(info: StackInfo) -> None:
    """Let the stack's API key act for the tenant `local`, as an operator. Idempotent."""
    client = await nats.connect(
        info.nats_url, user=info.nats_user, password=info.nats_password, connect_timeout=_TIMEOUT_S
    )
    try:
        js = client.jetstream(timeout=_TIMEOUT_S)
        try:
            await js.key_value(CONFIG)
        except NotFoundError:  # the stack runs no service that would have declared it
            # model_construct: the defaults alone, for the environment belongs to the services
            await declare(js, ServiceSettings.model_construct())
        await store_api_key(js, info.api_key, TENANT, operator=True, description="embedded stack")
    finally:
        await client.close()
