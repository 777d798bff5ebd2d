"""What a fresh stack needs once: a bucket, and somebody who may call it. It lies in the gateway's image.

    python prepare_stack.py bucket                                make the S3 bucket if it is missing
    python prepare_stack.py api-key --tenant NAME [--operator]    let a key act for a tenant

`api-key` stores the key in KERF_API_KEY; without one it draws a key and prints it, once: only its hash is kept. Where
NATS and S3 are is read from the gateway's settings (KERF_GATEWAY_…). Both commands may be repeated.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from urllib.parse import urlparse

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from kerf_core.auth import new_api_key, store_api_key
from kerf_core.bus import Bus
from kerf_core.errors import KerfError
from kerf_core.settings import load_settings
from kerf_core.streams import declare
from kerf_gateway.settings import GatewaySettings

_MIN_KEY_CHARS = 32
_OWNED = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_REFUSED = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"})


class NotPrepared(Exception):
    """Says to a person what is wrong and what to do."""


def make_bucket(settings: GatewaySettings, wait_s: float) -> str:
    """Make the bucket if it is missing, waiting for S3 to come up; returns what was done."""
    if not settings.s3_access_key or not settings.s3_secret_key.get_secret_value():
        raise NotPrepared("set KERF_GATEWAY_S3_ACCESS_KEY and KERF_GATEWAY_S3_SECRET_KEY")
    url = urlparse(settings.s3_endpoint)
    client = Minio(
        url.netloc,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        secure=url.scheme == "https",
        region=settings.s3_region,
        http_client=urllib3.PoolManager(timeout=urllib3.Timeout(connect=2, read=10), retries=False),
    )
    give_up_at = time.monotonic() + wait_s
    while True:
        try:
            if client.bucket_exists(settings.s3_bucket):
                return f"the bucket {settings.s3_bucket} is there already"
            client.make_bucket(settings.s3_bucket)
            return f"made the bucket {settings.s3_bucket}"
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
            code = error.code if isinstance(error, S3Error) else ""
            if code in _OWNED:
                return f"the bucket {settings.s3_bucket} is there already"
            if code in _REFUSED:
                raise NotPrepared(f"{settings.s3_endpoint} refuses the S3 keys ({code}): check them") from error
            if time.monotonic() > give_up_at:
                raise NotPrepared(f"{settings.s3_endpoint} did not answer for {wait_s:g} s: {error}") from error
            time.sleep(0.5)


async def add_key(settings: GatewaySettings, api_key: str, tenant: str, *, operator: bool, wait_s: float) -> None:
    """Store the hash of a key, waiting for NATS to come up."""
    try:
        async with asyncio.timeout(wait_s):
            bus = await Bus.connect(settings, "prepare")
    except TimeoutError:
        raise NotPrepared(f"{settings.nats_url} cannot be reached, or refuses the user: see above") from None
    try:
        await declare(bus.js, settings)
        await store_api_key(bus.js, api_key, tenant, operator=operator, description="prepare_stack")
    finally:
        await bus.close()


def chosen_key(given: str | None) -> tuple[str, bool]:
    """The key to store, and whether it was drawn here. Raises NotPrepared if the given one is too short to be one."""
    if not given:
        return new_api_key(), True
    if not given.startswith("kerf_") or len(given) < _MIN_KEY_CHARS:
        raise NotPrepared(f"KERF_API_KEY must begin with kerf_ and have at least {_MIN_KEY_CHARS} characters")
    return given, False


def main(arguments: list[str], given_key: str | None) -> int:
    """Do one of the two; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="how long to wait for the server")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("bucket")
    key = commands.add_parser("api-key")
    key.add_argument("--tenant", required=True)
    key.add_argument("--operator", action="store_true", help="may look across tenants")
    options = parser.parse_args(arguments)
    settings = load_settings(GatewaySettings, [])
    try:
        if options.command == "bucket":
            print(make_bucket(settings, options.wait))
            return 0
        api_key, drawn = chosen_key(given_key)
        asyncio.run(add_key(settings, api_key, options.tenant, operator=options.operator, wait_s=options.wait))
        print(api_key if drawn else f"the key in KERF_API_KEY acts for the tenant {options.tenant}")
        return 0
    except (NotPrepared, KerfError) as error:
        print(f"prepare_stack: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], os.environ.get("KERF_API_KEY")))
