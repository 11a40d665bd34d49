"""A run as OpenTelemetry spans: tree, times, names, and no prompts unless requested."""

import gzip
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import typer.main

pytest.importorskip("opentelemetry.sdk")
sys.path.insert(0, str(Path(__file__).parent.parent / "show"))
import itertools

import synthetic
from hostile import HostileVoice
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind, StatusCode

from core.errors import ExtraMissing
from heats.cli import app
from heats.errors import RemoteFailed, UsageError
from heats.store.store import RunStore
from heats.tracing import names
from heats.tracing.otlp import readable_spans, send, write_spans
from heats.tracing.spans import Span, spans_of

MakeRun = Callable[..., RunStore]


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRun:
    """Builds a synthetic run: keyword arguments of `synthetic.Plan`."""
    monkeypatch.setattr("os.fsync", lambda handle: None)
    small = {"tasks": 2, "rollouts": 4, "keep": 2, "steps": 4}
    return lambda **plan: synthetic.build_run(tmp_path / "run", synthetic.Plan(**{**small, **plan}))


@pytest.fixture
def collector() -> Iterator[HTTPServer]:
    """A collector on the loopback interface that stores requests; `status` is its answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            data = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            server.requests.append((self.path, ExportTraceServiceRequest.FromString(data)))  # type: ignore[attr-defined]
            self.send_response(server.status)  # type: ignore[attr-defined]
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Do not log."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.status = [], 200  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def tree(spans: list[Span]) -> dict[str, Span]:
    found: dict[str, Span] = {}
    for span in spans:
        assert span.key not in found
        assert span.parent in found or span.parent == ""
        found[span.key] = span
    return found


def test_spans_make_one_tree_from_the_run_down_to_each_call(make_run: MakeRun) -> None:
    run = make_run(infra_share=0.0)
    spans = tree(list(spans_of(run)))
    kinds = {
        name: [one for one in spans.values() if one.name.startswith(name)]
        for name in ("task", "heat", "invoke_agent", "chat", "execute_tool")
    }
    steps = [
        run.task(f"demo__task-00{number}").rollout(f"heat-{heat}/rollout-0{index}").trajectory()
        for number in range(2)
        for heat in range(2)
        for index in range(4)
    ]
    assert (len(kinds["task"]), len(kinds["heat"]), len(kinds["invoke_agent"])) == (2, 4, 16)
    assert len(kinds["chat"]) == len(kinds["execute_tool"]) == sum(one.agent_steps for one in steps)
    chat = kinds["chat"][0]
    path = [chat]
    while path[-1].parent:
        path.append(spans[path[-1].parent])
    assert [one.name.split(" ")[0] for one in path] == ["chat", "invoke_agent", "heat", "task", "invoke_workflow"]


def test_no_span_ends_before_it_starts_and_tools_follow_their_chat(make_run: MakeRun) -> None:
    spans = list(spans_of(make_run()))
    assert all(one.end >= one.start > 1.7e9 for one in spans)
    chat, tool = next((a, b) for a, b in itertools.pairwise(spans) if b.name.startswith("execute_tool"))
    assert tool.start == chat.end
    assert tool.end - tool.start == pytest.approx(0.4)


def test_usage_of_the_chats_adds_up_to_the_trajectory(make_run: MakeRun) -> None:
    run = make_run(infra_share=0.0)
    spans = list(spans_of(run))
    agent = next(one for one in spans if one.name == "invoke_agent bash")
    chats = [one for one in spans if one.parent == agent.key and one.name.startswith("chat")]
    trajectory = run.task("demo__task-000").rollout("heat-0/rollout-00").trajectory()
    assert sum(one.attributes[names.INPUT_TOKENS] for one in chats) == sum(
        step.usage.prompt_tokens for step in trajectory.steps if step.usage
    )
    assert chats[0].attributes[names.REQUEST_MODEL] == "builtin:repair"
    assert chats[0].remote


def test_what_was_said_stays_here_unless_it_is_asked_for(make_run: MakeRun) -> None:
    run = make_run(voice=lambda said: f"CANARY {said}", tasks=1)
    without = [
        one
        for one in spans_of(run)
        if "CANARY"
        in repr({**one.attributes, names.TASK: "", names.CONVERSATION: "", names.REQUEST_MODEL: ""}.values())
    ]
    assert [one.name for one in without if one.name.startswith(("chat", "execute_tool"))] == []
    known = {names.INPUT_MESSAGES, names.OUTPUT_MESSAGES, names.TOOL_ARGUMENTS, names.TOOL_RESULT}
    assert not any(known & one.attributes.keys() for one in spans_of(run))
    with_it = {key for one in spans_of(run, content=True) for key in known & one.attributes.keys()}
    assert with_it == known


def test_failed_infrastructure_is_an_error_and_a_wrong_patch_is_none(make_run: MakeRun) -> None:
    spans = [one for one in spans_of(make_run(tasks=4, infra_share=0.3)) if one.name.startswith("invoke_agent")]
    failed = [one for one in spans if one.error]
    assert 0 < len(failed) < len(spans)
    assert all(one.attributes[names.ERROR_TYPE] == "no_attempt" for one in failed)


def test_names_are_those_of_the_conventions() -> None:
    known = {
        value for key, value in vars(gen_ai_attributes).items() if key.startswith("GEN_AI") and isinstance(value, str)
    }
    ours = {value for key, value in vars(names).items() if isinstance(value, str) and value.startswith("gen_ai.")}
    assert ours <= known
    operations = {one.value for one in gen_ai_attributes.GenAiOperationNameValues}
    assert {names.CHAT, names.EXECUTE_TOOL, names.INVOKE_AGENT, names.INVOKE_WORKFLOW} <= operations
    assert names.OPENAI in {one.value for one in gen_ai_attributes.GenAiProviderNameValues}


def test_the_sdk_gets_the_tree_with_ids_that_are_the_same_again(make_run: MakeRun) -> None:
    run, exporter = make_run(infra_share=0.2), InMemorySpanExporter()
    kept = list(readable_spans(run))
    assert send(run, "http://collector.test", exporter=exporter) == len(kept)
    spans = {one.context.span_id: one for one in kept}
    assert len(spans) == len(kept)
    assert {one.context.trace_id for one in kept} == {kept[0].context.trace_id}
    assert all(one.parent is None or one.parent.span_id in spans for one in kept)
    assert [one.name for one in kept if one.parent is None] == ["invoke_workflow heats"]
    assert {one.kind for one in kept if one.name.startswith("chat")} == {SpanKind.CLIENT}
    assert any(one.status.status_code is StatusCode.ERROR for one in kept)
    assert any(event.name == "match" for one in kept for event in one.events)
    assert [one.context.span_id for one in readable_spans(run)] == list(spans)


def test_a_collector_gets_every_span_over_http(make_run: MakeRun, collector: HTTPServer) -> None:
    run = make_run(tasks=3, rollouts=8, keep=4, steps=8)
    sent = send(run, f"http://127.0.0.1:{collector.server_port}")
    requests = collector.requests  # type: ignore[attr-defined]
    assert {path for path, _ in requests} == {"/v1/traces"}
    assert len(requests) == -(-sent // 512)
    got = [
        span
        for _, one in requests
        for resource in one.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert len(got) == sent > 500
    about = {one.key: one.value.string_value for one in requests[0][1].resource_spans[0].resource.attributes}
    assert about["service.name"] == "heats"


def test_a_collector_that_refuses_is_told(
    make_run: MakeRun, collector: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 400  # type: ignore[attr-defined]
    with pytest.raises(RemoteFailed, match=r"rejected the spans.*400") as told:
        send(make_run(tasks=1), f"http://127.0.0.1:{collector.server_port}/v1/traces")
    assert "\n" not in str(told.value)
    assert caplog.text == "", "what the SDK logs stood between our lines"


def test_the_file_is_otlp_in_json_lines(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tasks=3, steps=6, voice=HostileVoice())
    written = write_spans(run, tmp_path / "spans.jsonl", content=True)
    lines = [json.loads(line) for line in (tmp_path / "spans.jsonl").read_text().splitlines()]
    spans = [
        span
        for line in lines
        for resource in line["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert len(spans) == written
    assert all(len(span["traceId"]) == 32 and len(span["spanId"]) == 16 for span in spans)
    assert {span["parentSpanId"] for span in spans if "parentSpanId" in span} <= {span["spanId"] for span in spans}
    assert "\x1b" not in json.dumps(spans, ensure_ascii=False)


def test_the_command_writes_or_sends(
    make_run: MakeRun,
    tmp_path: Path,
    collector: HTTPServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    run, command = make_run(tasks=1), typer.main.get_command(app)
    command.main(["export", str(run.directory), "otlp", "-o", str(tmp_path / "out")], standalone_mode=False)
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "spans.otlp.jsonl")
    command.main(
        ["export", str(run.directory), "otlp", "--endpoint", f"http://127.0.0.1:{collector.server_port}"],
        standalone_mode=False,
    )
    assert "spans sent" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--endpoint"):
        command.main(["export", str(run.directory), "otlp", "--endpoint", "collector:4318"], standalone_mode=False)
    monkeypatch.delitem(sys.modules, "heats.tracing.otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ExtraMissing, match=r"heats\[otel\]"):
        command.main(["export", str(run.directory), "otlp"], standalone_mode=False)


def test_a_run_that_still_goes_on_can_be_exported(make_run: MakeRun) -> None:
    run = make_run(tasks=1)
    (run.task("demo__task-000").directory / "result.json").unlink()
    (run.task("demo__task-000").directory / "heat-1" / "rollout-00" / "outcome.json").unlink(missing_ok=True)
    spans = tree(list(spans_of(run)))
    assert spans["task demo__task-000"].attributes[names.STATUS] == "running"
