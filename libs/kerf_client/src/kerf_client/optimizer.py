"""The asynchronous client of an optimizer's direct door. A direct call is not durable: nothing of it is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from kerf.optimizer.v1.optimizer_pb2 import (
    ListPresetsRequest,
    ListPresetsResponse,
    MakeKerfTestRequest,
    MakeKerfTestResponse,
    MakeTestGridRequest,
    MakeTestGridResponse,
)
from kerf.optimizer.v1.optimizer_pb2_grpc import OptimizerServiceStub
from kerf.optimizer.v1.plan_pb2 import OperationKind
from kerf_client.calls import ConnectedClient
from kerf_client.connection import RetryPolicy, Tls

if TYPE_CHECKING:
    from kerf.optimizer.v1.optimizer_pb2_grpc import OptimizerServiceAsyncStub

_COMPUTE_TIMEOUT = timedelta(minutes=5)  # planned, written, read back and linted before it answers


class AsyncOptimizer(ConnectedClient):
    """A connection to one optimizer. Use it as an async context manager, in one event loop.

    Calls are tried again while the optimizer is away (see `RetryPolicy`) and raise a `kerf_client.KerfError` otherwise.
    """

    def __init__(self, target: str, api_key: str, *, tls: Tls | None = None, policy: RetryPolicy | None = None) -> None:
        super().__init__(target, api_key, tls=tls, policy=policy)
        self._stub: OptimizerServiceAsyncStub = OptimizerServiceStub(self._channel)

    async def list_presets(
        self,
        *,
        machine: str = "",
        material: str = "",
        kind: OperationKind.ValueType = OperationKind.OPERATION_KIND_UNSPECIFIED,
    ) -> ListPresetsResponse:
        """Presets of one machine, material and kind of operation (unset = of all), and every machine and material.

        Raises InvalidRequest for a name that nobody knows; it lists those that there are.
        """
        request = ListPresetsRequest(machine=machine, material=material, kind=kind)
        return await self._caller.unary(self._stub.ListPresets, request)

    async def make_test_grid(self, request: MakeTestGridRequest) -> MakeTestGridResponse:
        """Files of a power/speed grid. Raises InvalidRequest with what is wrong with it."""
        return await self._caller.unary(self._stub.MakeTestGrid, request, timeout=_COMPUTE_TIMEOUT)

    async def make_kerf_test(self, request: MakeKerfTestRequest) -> MakeKerfTestResponse:
        """Files of a strip that measures the kerf. Raises InvalidRequest with what is wrong with it."""
        return await self._caller.unary(self._stub.MakeKerfTest, request, timeout=_COMPUTE_TIMEOUT)
