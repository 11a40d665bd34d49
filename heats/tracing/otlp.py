"""Export spans with the OpenTelemetry SDK: to an OTLP endpoint over HTTP, or to a file of JSON lines.

The same run gives the same trace and span ids each time, so that exporting it twice does not duplicate it. Needs the
extra `otel`.
"""

import base64
import importlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from core.sanitize import one_line
from heats.errors import RemoteFailed, UsageError
from heats.store.store import RunStore
from heats.tracing.spans import Span, spans_of

BATCH = 512
_IDS = ("traceId", "spanId", "parentSpanId")


class _Ids(IdGenerator):
    """Ids derived from the run; the next span gets the id of its key."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self.key = ""

    def span_id(self, key: str) -> int:
        return int.from_bytes(self._digest(f"span {key}")[:8]) or 1

    def generate_span_id(self) -> int:
        return self.span_id(self.key)

    def generate_trace_id(self) -> int:
        return int.from_bytes(self._digest("trace")[:16]) or 1

    def _digest(self, text: str) -> bytes:
        return sha256(f"heats {self._run_id} {text}".encode("utf-8", "surrogatepass")).digest()


class _Collector(SpanProcessor):
    """Holds finished spans until they are collected."""

    def __init__(self) -> None:
        self.finished: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.finished.append(span)


def readable_spans(run: RunStore, *, content: bool = False) -> Iterator[ReadableSpan]:
    """The spans of a run as SDK objects."""
    manifest = run.manifest
    ids, collector = _Ids(manifest.run_id), _Collector()
    about = {"service.name": "heats", "service.version": metadata.version("heats"), "heats.run.id": manifest.run_id}
    provider = TracerProvider(resource=Resource.create(about), id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(collector)
    tracer = provider.get_tracer("heats", metadata.version("heats"))
    for span in spans_of(run, content=content):
        _emit(tracer, ids, span)
        yield from collector.finished
        collector.finished.clear()


def _emit(tracer: trace.Tracer, ids: _Ids, span: Span) -> None:
    around = trace.set_span_in_context(trace.INVALID_SPAN)
    if span.parent:
        parent = SpanContext(ids.generate_trace_id(), ids.span_id(span.parent), False, TraceFlags(TraceFlags.SAMPLED))
        around = trace.set_span_in_context(trace.NonRecordingSpan(parent))
    ids.key = span.key
    kind = SpanKind.CLIENT if span.remote else SpanKind.INTERNAL
    made = tracer.start_span(
        span.name, context=around, kind=kind, attributes=span.attributes, start_time=_nanoseconds(span.start)
    )
    for moment in span.moments:
        made.add_event(moment.name, moment.attributes, timestamp=_nanoseconds(moment.time))
    if span.error:
        made.set_status(Status(StatusCode.ERROR, span.error))
    made.end(_nanoseconds(span.end))


def _nanoseconds(time: float) -> int:
    return round(time * 1e6) * 1000


def send(run: RunStore, endpoint: str, *, content: bool = False, exporter: SpanExporter | None = None) -> int:
    """Send a run's spans to an OTLP endpoint. Blocks.

    Args:
        run: the run.
        endpoint: URL of a collector, such as `http://localhost:4318`; `/v1/traces` is appended if missing.
        content: include prompts, replies, commands and outputs.
        exporter: replaces OTLP over HTTP.

    Returns:
        Number of spans sent.

    Raises:
        UsageError: the endpoint is not an http or https URL.
        RemoteFailed: it did not accept them; what was sent before stays there.
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--endpoint: {one_line(endpoint)} is not an http or https URL")
    url = endpoint if parts.path.endswith("/v1/traces") else f"{endpoint.rstrip('/')}/v1/traces"
    exporter = exporter or OTLPSpanExporter(endpoint=url, timeout=10)
    sent = 0
    with _heard() as said:
        try:
            for batch in _batches(readable_spans(run, content=content)):
                if exporter.export(batch) is not SpanExportResult.SUCCESS:
                    why = f": {one_line(said[0])[:300]}" if said else ""
                    raise RemoteFailed(f"{parts.hostname} rejected the spans ({sent} were sent before){why}")
                sent += len(batch)
        finally:
            exporter.shutdown()
    return sent


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect what the SDK logs, in place of printing it to the user's screen."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("opentelemetry")
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


def write_spans(run: RunStore, path: Path, *, content: bool = False) -> int:
    """Write a run's spans as OTLP in JSON lines, each line a request of up to 512 spans.

    Args:
        run: the run.
        path: the output file.
        content: include prompts, replies, commands and outputs.

    Returns:
        Number of spans written.
    """
    json_format = importlib.import_module("google.protobuf.json_format")  # has no type information
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_name(f".{path.name}.tmp")
    written = 0
    with unfinished.open("w", encoding="utf-8") as file:  # line by line: large runs have millions of spans
        for batch in _batches(readable_spans(run, content=content)):
            message = json_format.MessageToDict(encode_spans(batch), use_integers_for_enums=True)
            file.write(json.dumps(_hexadecimal(message)) + "\n")
            written += len(batch)
    unfinished.replace(path)
    return written


def _batches(spans: Iterator[ReadableSpan]) -> Iterator[list[ReadableSpan]]:
    while batch := list(islice(spans, BATCH)):
        yield batch


def _hexadecimal(value: Any) -> Any:
    """Convert ids to hexadecimal, as OTLP's JSON requires; protobuf's own JSON has base64."""
    if isinstance(value, list):
        return [_hexadecimal(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64decode(one).hex() if key in _IDS and isinstance(one, str) else _hexadecimal(one)
        for key, one in value.items()
    }
