"""The session fixtures that all other tests stand on."""

from __future__ import annotations

import io

import nats
from minio import Minio

from fixtures_stack import NatsInfo, S3Info


async def test_nats_stores_on_disk(nats_server: NatsInfo) -> None:
    client = await nats.connect(nats_server.url, user=nats_server.user, password=nats_server.password)
    js = client.jetstream()
    await js.add_stream(name="FIXTURE", subjects=["fixture"])
    assert (await js.publish("fixture", b"x")).seq == 1
    await client.close()
    assert list(nats_server.folder.rglob("FIXTURE"))


def test_s3_stores_objects(s3_server: S3Info) -> None:
    endpoint = s3_server.endpoint.removeprefix("http://")
    client = Minio(endpoint, access_key=s3_server.access_key, secret_key=s3_server.secret_key, secure=False)
    client.put_object(s3_server.bucket, "fixture", io.BytesIO(b"x"), 1)
    assert client.stat_object(s3_server.bucket, "fixture").size == 1
