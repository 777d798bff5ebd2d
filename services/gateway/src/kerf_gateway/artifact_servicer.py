"""`ArtifactService` over gRPC."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from kerf.artifacts.v1 import artifacts_pb2 as api
from kerf.artifacts.v1.artifacts_pb2_grpc import ArtifactServiceServicer
from kerf_core.auth import current_tenant
from kerf_core.blobs import BlobStore
from kerf_core.compute import ComputePool
from kerf_core.errors import DataLoss, InvalidArgument, NotFound, ResourceExhausted
from kerf_core.grpc_calls import Context, validate
from kerf_core.jobs.names import JobRef
from kerf_core.stages import JobId, TenantId
from kerf_gateway.admission import Admission
from kerf_gateway.inspection import inspect
from kerf_gateway.lost_outputs import LostOutputs
from kerf_gateway.settings import GatewaySettings

_CHUNK = 1 << 20
_DEFAULT_PAGE = 100


class ArtifactServicer(ArtifactServiceServicer):
    """See artifacts.proto."""

    def __init__(self, blobs: BlobStore, lost: LostOutputs, admission: Admission, settings: GatewaySettings) -> None:
        self._blobs = blobs
        self._admission = admission
        self._lost = lost
        self._settings = settings
        self._memory = ComputePool(settings.max_uploads)

    async def UploadArtifact(
        self, request_iterator: AsyncIterator[api.UploadArtifactRequest], context: Context
    ) -> api.Artifact:
        tenant = current_tenant()
        async with self._memory.slot():
            first = await anext(aiter(request_iterator), None)
            if first is None:
                raise InvalidArgument.of_field("part", "the first message must be a header or an upload, but none came")
            validate(first)
            if first.HasField("upload"):
                return await self._adopt(tenant, first.upload.removeprefix("uploads/"))
            if not first.HasField("header"):
                raise InvalidArgument.of_field("part", "the first message must be a header or an upload, not a chunk")
            data = await self._collect(first.header, request_iterator)
            return await self._store(tenant, data)

    async def DownloadArtifact(
        self, request: api.DownloadArtifactRequest, context: Context
    ) -> AsyncIterator[api.DownloadArtifactResponse]:
        tenant = current_tenant()
        sha256 = request.name.removeprefix("artifacts/")
        async with self._memory.slot():
            try:
                artifact = await self._blobs.stat(tenant, sha256)
                data = await self._blobs.get(tenant, sha256)
            except (NotFound, DataLoss) as error:
                if not request.job:
                    raise
                self._admission.check(tenant)
                ref = JobRef(tenant, JobId(request.job.removeprefix("jobs/")))
                raise await self._lost.make_again(ref, sha256) from error
            if request.offset > len(data):
                raise InvalidArgument.of_field("offset", f"is {request.offset}, but there are {len(data)} bytes only")
            yield api.DownloadArtifactResponse(artifact=artifact, chunk=data[request.offset : request.offset + _CHUNK])
            for start in range(request.offset + _CHUNK, len(data), _CHUNK):
                yield api.DownloadArtifactResponse(chunk=data[start : start + _CHUNK])

    async def GetArtifact(self, request: api.GetArtifactRequest, context: Context) -> api.Artifact:
        return await self._blobs.stat(current_tenant(), request.name.removeprefix("artifacts/"))

    async def ListArtifacts(self, request: api.ListArtifactsRequest, context: Context) -> api.ListArtifactsResponse:
        size = request.page_size or _DEFAULT_PAGE
        found = await self._blobs.list(current_tenant(), after=request.page_token, limit=size + 1)
        token = found[size - 1].sha256 if len(found) > size else ""
        return api.ListArtifactsResponse(artifacts=found[:size], next_page_token=token)

    async def CreateDownloadUrl(
        self, request: api.CreateDownloadUrlRequest, context: Context
    ) -> api.CreateDownloadUrlResponse:
        tenant = current_tenant()
        sha256 = request.name.removeprefix("artifacts/")
        await self._blobs.stat(tenant, sha256)
        expires = self._expires(request.expires_in_seconds)
        answer = api.CreateDownloadUrlResponse(url=self._blobs.download_url(tenant, sha256, expires))
        answer.expire_time.FromDatetime(datetime.now(UTC) + expires)
        return answer

    async def CreateUploadUrl(
        self, request: api.CreateUploadUrlRequest, context: Context
    ) -> api.CreateUploadUrlResponse:
        self._admission.check(current_tenant())
        upload = secrets.token_hex(16)
        expires = self._expires(request.expires_in_seconds)
        url = self._blobs.upload_url(current_tenant(), upload, expires)
        answer = api.CreateUploadUrlResponse(url=url, upload=f"uploads/{upload}")
        answer.expire_time.FromDatetime(datetime.now(UTC) + expires)
        return answer

    async def DeleteArtifact(self, request: api.DeleteArtifactRequest, context: Context) -> api.DeleteArtifactResponse:
        await self._blobs.delete(current_tenant(), request.name.removeprefix("artifacts/"))
        return api.DeleteArtifactResponse()

    def _expires(self, seconds: int) -> timedelta:
        if not seconds:
            return self._settings.url_expires
        if seconds < 60:
            raise InvalidArgument.of_field("expires_in_seconds", "must be 0 or at least 60")
        return timedelta(seconds=seconds)

    async def _collect(self, header: api.UploadHeader, parts: AsyncIterator[api.UploadArtifactRequest]) -> bytes:
        limit = self._settings.max_upload_bytes
        if header.size_bytes > limit:
            raise _too_large(header.size_bytes, limit)
        data = bytearray()
        async for part in parts:
            validate(part)
            if not part.HasField("chunk"):
                raise InvalidArgument.of_field("part", "after the header only chunks may come")
            data += part.chunk
            if len(data) > limit:
                raise _too_large(len(data), limit)
        if header.size_bytes and header.size_bytes != len(data):
            raise InvalidArgument.of_field("header.size_bytes", f"says {header.size_bytes}, but {len(data)} bytes came")
        if header.sha256 and header.sha256 != await asyncio.to_thread(_sha256, bytes(data)):
            raise InvalidArgument.of_field("header.sha256", "does not match the bytes that came: send them again")
        return bytes(data)

    async def _adopt(self, tenant: TenantId, upload: str) -> api.Artifact:
        data = await self._blobs.take_upload(tenant, upload, max_bytes=self._settings.max_upload_bytes)
        artifact = await self._store(tenant, data)
        await self._blobs.delete_upload(tenant, upload)
        return artifact

    async def _store(self, tenant: TenantId, data: bytes) -> api.Artifact:
        """An upload is an original: it is made durable before it is answered.

        Only here, when all has come, is it refused for want of room: gRPC's Python client hides from its caller what a
        server says that ends a stream in the middle.
        """
        self._admission.check(tenant)
        found = await asyncio.to_thread(inspect, data)
        return await self._blobs.put(
            tenant, data, found.media_type, size_px=found.size_px, size_mm=found.size_mm, original=True
        )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _too_large(size: int, limit: int) -> ResourceExhausted:
    return ResourceExhausted("UPLOAD_TOO_LARGE", f"the upload has {size} bytes or more, at most {limit} fit")
