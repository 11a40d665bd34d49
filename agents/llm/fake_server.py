"""A small OpenAI-compatible server over real HTTP, for tests and benchmarks.

`python -m agents.llm.fake_server --port 0 --script persona.json` runs it as a separate process and prints its base
URL. `GET /stats` returns request statistics; `POST /shutdown` stops it.
"""

import argparse
import asyncio
import hashlib
import importlib
import json
import sys
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from agents.llm.base import Completion
from agents.llm.fake import text
from agents.llm.fake_faults import MIXED, FaultMix
from agents.llm.fake_persona import Persona, Script
from agents.llm.fake_wire import (
    HttpReply,
    PrefixCache,
    billed,
    completion_body,
    error_reply,
    faulty_reply,
    json_reply,
    overflow,
    send,
    usage_of,
)
from core.record import Record

Responder = Callable[[Mapping[str, Any]], Sequence[str | Completion] | str | Completion]
"""Maps a request body to its completions."""


class ServerOptions(Record):
    """Behaviour of the server.

    Attributes:
        latency_s: latency of every healthy reply in seconds.
        max_in_flight: concurrent requests above this number get a 429.
        takes_n: False ignores `n`, as some servers do; None rejects `n` above 1.
        takes_schema: False rejects `response_format`.
        takes_logprobs: False rejects `logprobs`.
        context: context length in tokens, prompt and reply combined; None never rejects a request for its length.
        shows_tools: whether the chat template shows tools to the model; their tokens count only then.
        tokenizes: whether `/tokenize` exists; if so, overflow errors omit the prompt's token count, as with vLLM.
        finishes_sessions: whether `/finish_session` exists, as in vllm-router.
        takes_session_field: False rejects `session_params`, as strict servers do.
        sleeps: whether it has vLLM's sleep mode; asleep, it fails chat requests.
        drip_s: pause between the bytes of a slow reply, in seconds.
    """

    model: str = "fake-model"
    api_key: str | None = None
    latency_s: float = 0.0
    max_in_flight: int | None = None
    retry_after_s: float = 0.05
    takes_n: bool | None = True
    takes_schema: bool = True
    takes_logprobs: bool = True
    context: int | None = None
    shows_tools: bool = True
    tokenizes: bool = False
    finishes_sessions: bool = False
    takes_session_field: bool = True
    sleeps: bool = False
    drip_s: float = 1.0
    hang_s: float = 3600.0


class FakeServer:
    """The server. `async with FakeServer(responder) as server: server.base_url`.

    Args:
        responder: produces the replies to chat requests; the default persona runs `ls` and submits.
        faults: faults to inject.
        log: file to which a JSON line per chat request is appended.
    """

    def __init__(
        self,
        responder: Responder | None = None,
        options: ServerOptions | None = None,
        *,
        faults: FaultMix | None = None,
        log: Path | None = None,
    ) -> None:
        self.options = options or ServerOptions()
        self.faults = faults or FaultMix()
        self.counts: Counter[str] = Counter()
        self.requests: deque[Mapping[str, Any]] = deque(maxlen=1000)
        self.headers: deque[Mapping[str, str]] = deque(maxlen=1000)
        """Headers of the chat requests, keyed by lower-case name."""
        self.finished_sessions: list[str] = []
        self.asleep = False
        self.metrics: Callable[[], str] | None = None
        """Renders the `/metrics` page, which does not exist without it."""
        self.finished = asyncio.Event()
        self._responder: Responder = responder or Persona()
        self._log = log
        self._cache = PrefixCache()
        self._answered: set[str] = set()
        self._in_flight = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def base_url(self) -> str:
        """Base URL for clients, including `/v1`."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def stats(self) -> dict[str, Any]:
        """Return counts since the start: requests, replies, tokens of complete replies; by kind; by fault; repeats."""
        return {**self.counts, "in_flight": self._in_flight}

    async def start(self, port: int = 0) -> None:
        """Listen on the loopback interface; port 0 selects a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._connections):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None
        await asyncio.sleep(0)

    async def __aenter__(self) -> "FakeServer":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = head[0].split(" ", 2)
                if not await self._handle(f"{method} {path}", headers, body, reader, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            self.counts["disconnects"] += 1
        except asyncio.CancelledError:
            self.counts["disconnects"] += 1
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _handle(
        self,
        route: str,
        headers: Mapping[str, str],
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Handle one request; returns False to close the connection.

        Args:
            route: method and path.
            headers: request headers.
            body: request body.
            reader: client's stream, watched for disconnects.
            writer: stream for the response.
        """
        if route == "POST /v1/chat/completions":
            return await self._chat(headers, body, reader, writer)
        model = {"id": self.options.model, "object": "model", "max_model_len": self.options.context or 4096}
        replies = {
            "GET /v1/models": json_reply(200, {"object": "list", "data": [model]}),
            "GET /health": HttpReply(200, b"", "text/plain"),
            "GET /stats": json_reply(200, self.stats),
            "POST /shutdown": json_reply(200, {"ok": True}),
        }
        reply = replies.get(route, error_reply(404, f"no route {route}"))
        if route == "GET /metrics" and self.metrics is not None:
            reply = HttpReply(200, self.metrics().encode(), "text/plain")
        if self.options.finishes_sessions and route.startswith("POST /finish_session?session_id="):
            self.finished_sessions.append(route.partition("=")[2])
            reply = json_reply(200, {"ok": True})
        if route == "POST /tokenize" and self.options.tokenizes:
            count = self._prompt(PrefixCache(), json.loads(body))[0]
            reply = json_reply(200, {"count": count, "max_model_len": self.options.context or 4096})
        if self.options.sleeps and route in ("POST /sleep?level=1", "POST /wake_up", "GET /is_sleeping"):
            self.counts[route] += 1
            self.asleep = route.startswith("POST /sleep") or (self.asleep and route.startswith("GET"))
            reply = json_reply(200, {"is_sleeping": self.asleep})
        if not self._authorized(headers) and route == "GET /v1/models":
            reply = error_reply(401, "Incorrect API key provided", code="invalid_api_key")
        await send(reply, reader, writer, drip_s=self.options.drip_s, hang_s=self.options.hang_s)
        if route == "POST /shutdown":
            self.finished.set()
        return True

    def _authorized(self, headers: Mapping[str, str]) -> bool:
        return self.options.api_key is None or headers.get("authorization") == f"Bearer {self.options.api_key}"

    async def _chat(
        self, headers: Mapping[str, str], body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        self._in_flight += 1
        self.counts["requests"] += 1
        self.counts["peak_in_flight"] = max(self.counts["peak_in_flight"], self._in_flight)
        try:
            request = json.loads(body)
            self.requests.append(request)
            self.headers.append(headers)
            kind = ((request.get("response_format") or {}).get("json_schema") or {}).get("name") or "agent"
            self.counts[f"requests.{kind}"] += 1
            reply = self._authorize_and_answer(headers, request)
            if reply.status == 200:
                await asyncio.sleep(self.options.latency_s)
            if reader.at_eof():
                self.counts["abandoned"] += 1
                return False
            whole = await send(reply, reader, writer, drip_s=self.options.drip_s, hang_s=self.options.hang_s)
            self._account(request, kind, reply)
            return whole
        finally:
            self._in_flight -= 1

    def _authorize_and_answer(self, headers: Mapping[str, str], request: Mapping[str, Any]) -> HttpReply:
        options = self.options
        if not self._authorized(headers):
            return error_reply(401, "Incorrect API key provided", code="invalid_api_key")
        if self.asleep:
            self.counts["asked_asleep"] += 1
            return error_reply(500, "the engine is asleep")
        if request.get("model") != options.model:
            return error_reply(404, f"The model `{request.get('model')}` does not exist.", code="model_not_found")
        if options.max_in_flight is not None and self._in_flight > options.max_in_flight:
            self.counts["throttled"] += 1
            return json_reply(429, {"error": {"message": "too many requests"}}, retry_after=str(options.retry_after_s))
        if (request.get("n") or 1) > 1 and options.takes_n is None:
            return error_reply(400, "n > 1 is not supported by this server", param="n")
        if request.get("response_format") and not options.takes_schema:
            return error_reply(400, "response_format json_schema is not supported", param="response_format")
        if request.get("logprobs") and not options.takes_logprobs:
            return error_reply(400, "logprobs is not supported with this model", param="logprobs")
        if "session_params" in request and not options.takes_session_field:
            return error_reply(400, "Unrecognized request argument supplied: session_params", param="session_params")
        if options.takes_n is False:
            request = {**request, "n": 1}
        too_long = overflow(request, options.context, counted=not options.tokenizes) if options.context else None
        if too_long is not None:
            self.counts["overflows"] += 1
        return too_long or self._answer(request)

    def _answer(self, request: Mapping[str, Any]) -> HttpReply:
        made = self._responder(request)
        many = [made] * int(request.get("n") or 1) if isinstance(made, str | Completion) else made
        completions = [text(one) if isinstance(one, str) else one for one in many]
        usage = usage_of(self._prompt(self._cache, request), completions)
        body = completion_body(self.options.model, completions, usage)
        fault = self.faults.draw()
        if fault is None:
            return billed(body)
        self.counts[f"faults.{fault}"] += 1
        return faulty_reply(fault, body, self.options.retry_after_s)

    def _prompt(self, cache: PrefixCache, request: Mapping[str, Any]) -> tuple[int, int]:
        """Return the number of prompt tokens of a request, and how many were cached."""
        tools = request.get("tools") if self.options.shows_tools else None
        return cache.count([*([{"role": "tools", "content": tools}] if tools else []), *request["messages"]])

    def _account(self, request: Mapping[str, Any], kind: str, reply: HttpReply) -> None:
        self.counts.update(reply.usage)
        digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        if reply.usage:
            self.counts["replies"] += 1
            self.counts[f"replies.{kind}"] += 1
            self.counts["repeated"] += digest in self._answered
            self._answered.add(digest)
        if self._log is not None:
            line = {"kind": kind, "seed": request.get("seed"), "digest": digest[:16], "status": reply.status}
            with self._log.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({**line, "delivery": reply.delivery, **reply.usage}) + "\n")


def load_responder(script: str | None) -> Responder:
    """Load a persona from a JSON file, or a responder from a Python module (`package.module[:name]`; `respond`)."""
    if script is None:
        return Persona()
    if script.endswith(".json"):
        return Persona(Script.model_validate_json(Path(script).read_bytes()))
    module, _, name = script.partition(":")
    responder: Responder = getattr(importlib.import_module(module), name or "respond")
    return responder


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until `POST /shutdown` or a signal."""
    options = ServerOptions(model=arguments.model, latency_s=arguments.latency, max_in_flight=arguments.max_in_flight)
    faults = FaultMix(MIXED if arguments.faults == "mixed" else {}, arguments.seed)
    server = FakeServer(load_responder(arguments.script), options, faults=faults, log=arguments.log)
    await server.start(arguments.port)
    sys.stdout.write(server.base_url + "\n")
    sys.stdout.flush()
    await server.finished.wait()
    await server.stop()


def main() -> None:
    """Entry point of `python -m agents.llm.fake_server`."""
    parser = argparse.ArgumentParser(description="a scripted OpenAI-compatible server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", help="persona as a .json file, or module[:callable]")
    parser.add_argument("--model", default="fake-model")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds per healthy reply")
    parser.add_argument("--max-in-flight", type=int, default=None)
    parser.add_argument("--faults", choices=("none", "mixed"), default="none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, default=None, help="append a JSON line per chat request")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
