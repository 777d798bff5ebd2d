"""W3C trace context in and out of gRPC metadata and NATS headers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache

from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()


def configure_tracing() -> None:
    """Let spans have ids. Without an exporter nothing leaves the process; the ids tie logs and services together."""
    trace.set_tracer_provider(TracerProvider())


@cache
def _tracer() -> Tracer:
    return trace.get_tracer("kerf")


def trace_headers() -> dict[str, str]:
    """`traceparent` (and `tracestate`) of the running span; empty outside of one."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier


@contextmanager
def span(name: str, headers: Mapping[str, str] | None = None, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
    """Run the body in a span that continues the trace of `headers`, or the running one."""
    parent = _PROPAGATOR.extract(dict(headers)) if headers else context.get_current()
    with _tracer().start_as_current_span(name, context=parent, kind=kind) as current:
        yield current
