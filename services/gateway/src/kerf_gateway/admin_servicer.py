"""`AdminService` over gRPC."""

from __future__ import annotations

from kerf.admin.v1 import admin_pb2 as api
from kerf.admin.v1.admin_pb2_grpc import AdminServiceServicer
from kerf_core.auth import current_tenant, require_operator
from kerf_core.errors import FailedPrecondition
from kerf_core.grpc_calls import Context
from kerf_core.stages import TenantId
from kerf_gateway.tenants.deletions import DeletionBook


class AdminServicer(AdminServiceServicer):
    """See admin.proto."""

    def __init__(self, deletions: DeletionBook) -> None:
        self._deletions = deletions

    async def DeleteTenant(self, request: api.DeleteTenantRequest, context: Context) -> api.TenantDeletion:
        require_operator()
        if request.tenant == current_tenant():
            text = f"the key of this call belongs to {request.tenant!r} itself: use an operator's key of another tenant"
            raise FailedPrecondition("OWN_TENANT", text)
        return await self._deletions.begin(TenantId(request.tenant))

    async def GetTenantDeletion(self, request: api.GetTenantDeletionRequest, context: Context) -> api.TenantDeletion:
        require_operator()
        return await self._deletions.show(TenantId(request.tenant))
