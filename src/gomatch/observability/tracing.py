"""Traces by OpenTelemetry: off unless an OTLP endpoint is configured, and then sampled.

The W3C traceparents of requests travel in the queue's messages and in the callback, so one trace
follows an order from HTTP or WebSocket to the replica that notifies its owner. A batch has orders
of many requests: each traced one gets a span of its own for what was done to all of them, and
these spans link to each other. While tracing is off this imports nothing of OpenTelemetry and
every call returns at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from gomatch.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

    from gomatch.settings import Settings

LIMIT = 16
"""Traces that one batch carries; those of further requests end where they were accepted."""

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01")


def join(traces: Iterable[str]) -> str:
    """Traceparents of a batch from those of its parts, each once and at most LIMIT of them,
    separated by commas; empty without any."""
    found = dict.fromkeys(one for trace in traces if trace for one in trace.split(","))
    return ",".join(list(found)[:LIMIT])


def log_fields(traces: str) -> dict[str, list[str]]:
    """``trace_ids`` for a line of the log about a batch, where it has any."""
    found = [match[1] for match in _TRACEPARENT.finditer(traces[: LIMIT * 56])]
    return {"trace_ids": found} if found else {}


class Tracing:
    """What a program holds of tracing; ``Tracing.off()`` does nothing."""

    def __init__(self, provider: TracerProvider | None) -> None:
        self.provider = provider
        self._tracer = provider.get_tracer("gomatch") if provider else None

    @classmethod
    def off(cls) -> Tracing:
        return cls(None)

    @classmethod
    def configure(cls, settings: Settings, service: str) -> Tracing:
        """Raises ConfigurationError when an endpoint is set and the extra is not installed."""
        if not settings.otlp_endpoint:
            return cls.off()
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
        except ImportError as error:
            raise ConfigurationError(
                "GOMATCH_OTLP_ENDPOINT is set but the extra gomatch[tracing] is not installed"
            ) from error
        provider = TracerProvider(
            resource=Resource.create({"service.name": service}),
            sampler=ParentBased(TraceIdRatioBased(settings.trace_ratio)),
        )
        exporter = OTLPSpanExporter(
            endpoint=settings.otlp_endpoint.rstrip("/") + "/v1/traces", timeout=5
        )
        provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=2048))
        return cls(provider)

    @property
    def enabled(self) -> bool:
        return self._tracer is not None

    def current_traceparent(self) -> str:
        """The traceparent of the current sampled span, or an empty string."""
        if self._tracer is None:
            return ""
        from opentelemetry import trace

        return _traceparent(trace.get_current_span())

    def current_trace_id(self) -> str:
        """The trace id of the current sampled span, or an empty string."""
        return self.current_traceparent()[3:35]

    def request(self, name: str) -> AbstractContextManager[object]:
        """A new trace, sampled like those of HTTP requests, for one request on a connection that
        carries many; its span is the current one inside."""
        if self._tracer is None:
            return nullcontext()
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        return self._tracer.start_as_current_span(name, context=Context(), kind=SpanKind.SERVER)

    def batch(self, name: str, traces: str, **attributes: str | int) -> AbstractContextManager[str]:
        """A span under each of the traceparents ``traces``, linked to the others; yields the
        traceparents to hand on. Without any nothing is recorded: only sampled requests are
        followed. No span becomes the current one."""
        if self._tracer is None or not traces:
            return nullcontext(traces)
        return self._spans(name, traces, attributes)

    @contextmanager
    def _spans(self, name: str, traces: str, attributes: dict[str, str | int]) -> Iterator[str]:
        from opentelemetry.trace import (
            Link,
            NonRecordingSpan,
            SpanContext,
            Status,
            StatusCode,
            TraceFlags,
            set_span_in_context,
        )

        assert self._tracer is not None
        parents = [
            SpanContext(int(trace, 16), int(span, 16), True, TraceFlags(TraceFlags.SAMPLED))
            for trace, span in _TRACEPARENT.findall(traces[: LIMIT * 56])
        ]
        spans = [
            self._tracer.start_span(
                name,
                context=set_span_in_context(NonRecordingSpan(parent)),
                attributes=attributes,
                links=[Link(other) for other in parents if other is not parent],
            )
            for parent in parents
        ]
        try:
            yield ",".join(filter(None, map(_traceparent, spans))) or traces
        except Exception as error:
            for span in spans:
                span.set_status(Status(StatusCode.ERROR, repr(error)))
            raise
        finally:
            for span in spans:
                span.end()

    def close(self) -> None:
        """Send what is left, for at most five seconds."""
        if self.provider is not None:
            self.provider.force_flush(5_000)
            self.provider.shutdown()


def _traceparent(span: Span) -> str:
    context = span.get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
