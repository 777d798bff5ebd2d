"""A connection, and calls on it that are tried until they are answered. Knows codes and patience, not jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from datetime import timedelta
from types import TracebackType
from typing import Protocol, Self, TypeVar

import grpc

from kerf_client.connection import CallIdentity, RetryPolicy, Tls, check_api_key, open_channel
from kerf_client.errors import KerfError, ServiceUnavailable, from_rpc_error

STREAM_STALLED = "STREAM_STALLED"
"""Reason of the error that a stream ends with when it was silent for too long."""


class _PageRequest(Protocol):
    page_token: str


class _Page(Protocol):
    next_page_token: str


Request = TypeVar("Request")
Response = TypeVar("Response")
PageRequest = TypeVar("PageRequest", bound=_PageRequest)
Page = TypeVar("Page", bound=_Page)
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

    async def pages(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[PageRequest, Page],
        request: PageRequest,
        items_of: Callable[[Page], Iterable[T]],
    ) -> AsyncGenerator[T, None]:
        """The items of all pages from `request` on, fetched as they are needed. Raises KerfError."""
        while True:
            page = await self.unary(method, request)
            for item in items_of(page):
                yield item
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

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
                reason=STREAM_STALLED,
            ) from None
        finally:
            call.cancel()

    async def stream_again(
        self,
        connect: Callable[[CallIdentity], AsyncGenerator[Response, None]],
        ended_early: Callable[[], str],
        still_there: Callable[[], Awaitable[object]] | None = None,
    ) -> AsyncGenerator[Response, None]:
        """Streams made by `connect`, one after the other, until the caller leaves: each goes on where one was cut.

        `ended_early` says what is wrong with a stream that ended by itself. `still_there` is asked when a stream was
        silent for long: if it answers, the silence is no absence, however long it lasts. Raises ServiceUnavailable
        when nothing was heard for `give_up_after`, other KerfErrors at once.
        """
        patience = Patience(self.policy)
        identity = CallIdentity.new()
        while True:
            failure: KerfError
            try:
                async with aclosing(connect(identity)) as messages:
                    async for message in messages:
                        patience.sign_of_life()
                        yield message
                failure = ServiceUnavailable(
                    ended_early(), code=grpc.StatusCode.UNAVAILABLE, reason="STREAM_ENDED_EARLY"
                )
            except KerfError as error:
                if not is_transient(error):
                    raise
                failure = error
            if failure.reason == STREAM_STALLED and still_there is not None:
                await still_there()
                patience.sign_of_life()
            await patience.wait(failure)


class ConnectedClient:
    """A connection to one service of kerf. Use it as an async context manager, in one event loop."""

    def __init__(self, target: str, api_key: str, *, tls: Tls | None = None, policy: RetryPolicy | None = None) -> None:
        self._caller = Caller(target, check_api_key(api_key), policy or RetryPolicy())
        self._channel = open_channel(target, tls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all calls and close the connection."""
        await self._channel.close()
