"""One call, tried until it is answered. Knows codes and patience, not jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from datetime import timedelta
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from kerf_client.connection import CallIdentity, RetryPolicy
from kerf_client.errors import KerfError, ServiceUnavailable, from_rpc_error

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
T = TypeVar("T")

_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
# What gRPC says by itself when a peer dies in the middle of a stream; a server's own answer carries an ErrorInfo.
_CUT = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED}


def is_transient(error: KerfError) -> bool:
    """True where the same call may well succeed in a moment: the peer is away, or the connection was cut."""
    if error.code in _AWAY:
        return True
    return error.code is not None and error.code in _CUT and error.reason == error.code.name


class Patience:
    """Sleeps between attempts and knows when enough is enough."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._delays: Iterator[float] = policy.delays_seconds()
        self._since = self._now()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def sign_of_life(self) -> None:
        """The server answered: start counting anew."""
        self._delays = self._policy.delays_seconds()
        self._since = self._now()

    async def wait(self, error: KerfError) -> None:
        """Sleep before the next attempt; raises `error` itself once `give_up_after` would pass."""
        delay = next(self._delays)
        if error.retry_after is not None:
            delay = max(delay, error.retry_after.total_seconds())
        if self._now() + delay - self._since > self._policy.give_up_after.total_seconds():
            raise error
        await asyncio.sleep(delay)


class Caller:
    """Makes calls on one channel with one API key."""

    def __init__(self, target: str, api_key: str, policy: RetryPolicy) -> None:
        self.target = target
        self.policy = policy
        self._api_key = api_key

    def metadata(self, identity: CallIdentity) -> tuple[tuple[str, str], ...]:
        """Headers for one attempt of a call."""
        return identity.metadata(self._api_key)

    def translate(self, error: grpc.aio.AioRpcError, identity: CallIdentity) -> KerfError:
        """The typed exception for the end of an RPC."""
        return from_rpc_error(error, request_id=identity.request_id, target=self.target)

    async def unary(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        idempotent: bool = True,
        timeout: timedelta | None = None,
    ) -> Response:
        """Call and answer. An idempotent call is tried again while the server is away. Raises KerfError."""
        identity = CallIdentity.new()
        seconds = (timeout or self.policy.call_timeout).total_seconds()

        async def attempt() -> Response:
            return await method(request, timeout=seconds, metadata=self.metadata(identity))

        return await self.attempts(attempt, identity, idempotent=idempotent)

    async def attempts(
        self, attempt: Callable[[], Awaitable[T]], identity: CallIdentity, *, idempotent: bool = True
    ) -> T:
        """Run `attempt` until it does not end for a transient reason. Raises KerfError."""
        patience = Patience(self.policy)
        while True:
            try:
                return await attempt()
            except grpc.aio.AioRpcError as end:
                error = self.translate(end, identity)
            except grpc.aio.UsageError as end:
                raise ServiceUnavailable("this client was closed", reason="CLIENT_CLOSED") from end
            if not (idempotent and is_transient(error)):
                raise error
            await patience.wait(error)

    async def stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Request, Response], request: Request, identity: CallIdentity
    ) -> AsyncGenerator[Response, None]:
        """One attempt at a stream. Raises KerfError; a silence of `stall_after` counts as the peer being away.

        The call is cancelled in any case when the iterator ends or is closed: grpcio keeps an abandoned one alive.
        """
        stall_seconds = self.policy.stall_after.total_seconds()
        call = method(request, metadata=self.metadata(identity))
        try:
            while True:
                async with asyncio.timeout(stall_seconds):
                    message = await call.read()
                if message is grpc.aio.EOF:
                    return
                yield message  # type: ignore[misc]  # the stubs do not narrow on grpc.aio.EOF
        except grpc.aio.AioRpcError as end:
            raise self.translate(end, identity) from None
        except TimeoutError:
            raise ServiceUnavailable(
                f"{self.target} was silent for {stall_seconds:g} s",
                code=grpc.StatusCode.UNAVAILABLE,
                reason="STREAM_STALLED",
            ) from None
        finally:
            call.cancel()
