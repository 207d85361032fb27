"""Traces by OpenTelemetry: off unless an OTLP endpoint is configured, and then sampled.

The W3C traceparent of a request travels in the queue's messages and in the callback, so one trace
follows an order from HTTP to the replica that notifies its owner. While tracing is off nothing of
OpenTelemetry is imported and every call here returns at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gomatch.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from gomatch.settings import Settings


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

        context = trace.get_current_span().get_span_context()
        if not context.is_valid or not context.trace_flags.sampled:
            return ""
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    @contextmanager
    def span(self, name: str, *, parent: str = "", **attributes: str | int) -> Iterator[str]:
        """A span under the traceparent ``parent``; yields the traceparent to hand on. Without a
        parent nothing is recorded: only sampled requests are followed."""
        if self._tracer is None or not parent:
            yield parent
            return
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract({"traceparent": parent})
        with self._tracer.start_as_current_span(name, context=context, attributes=attributes):
            yield self.current_traceparent() or parent

    def close(self) -> None:
        """Send what is left, for at most five seconds."""
        if self.provider is not None:
            self.provider.force_flush(5_000)
            self.provider.shutdown()
