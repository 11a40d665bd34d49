"""The HTTP server of one rollout, on a socket in the folder that its sandbox sees.

Whatever is in a sandbox may use its socket, so every request is bounded in size, time and number, and an exhausted
bound harms this rollout alone: no other sandbox sees the socket, and no other rollout's token opens it.
"""

import asyncio
import hmac
import json
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from agents.gateway.asking import Asking
from agents.gateway.chat import ChatCompletions
from agents.gateway.generate import GenerateContent
from agents.gateway.messages import Messages
from agents.gateway.responses import Responses
from agents.gateway.wire import Asked, Dialect, Refused
from agents.llm.replies import without_surrogates

NAME = "model.sock"
_GOOGLE = "/{version:v1beta|v1alpha|v1}/models"
_KEYS = ("x-api-key", "x-goog-api-key")
_MOST_BYTES = 16 << 20
"""Size of a request body; a context of a million tokens fits."""
_MOST_CONNECTIONS, _MOST_CALLS = 64, 8
_IN_THREAD = 1 << 18
"""Bodies of more bytes are parsed in a thread."""
_BODY_S, _WRITE_S, _PATIENCE_S, _END_S = 30.0, 60.0, 10.0, 0.2
"""Seconds: to receive a body, to write a reply, before a stream begins with a ping, for open requests at the end."""


class Door:
    """One rollout's way to the model.

    Args:
        asking: answers the requests.

    Attributes:
        token: what the agent sends as its key.
    """

    def __init__(self, asking: Asking) -> None:
        self.token = secrets.token_urlsafe(24)
        self._asking = asking
        self._calls = asyncio.Semaphore(_MOST_CALLS)
        self._server: asyncio.Server | None = None
        app = web.Application(client_max_size=_MOST_BYTES)
        dialects: Mapping[str, Dialect] = {
            "/v1/chat/completions": ChatCompletions(),
            "/v1/responses": Responses(),
            "/v1/messages": Messages(),
            f"{_GOOGLE}/{{model:.+}}:generateContent": GenerateContent(),
            f"{_GOOGLE}/{{model:.+}}:streamGenerateContent": GenerateContent(stream=True),
        }
        app.add_routes([web.post(path, self._handler(dialect)) for path, dialect in dialects.items()])
        app.add_routes([web.get("/v1/models", self._models), web.get("/v1/models/{name:.+}", self._model)])
        app.router.add_route("*", "/{rest:.*}", self._nowhere)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, logger=_silent(), shutdown_timeout=_END_S
        )
        self._failed = False

    async def open(self, folder: Path) -> None:
        """Listen on a socket in a folder of the host.

        Raises:
            OSError: the socket cannot be made.
        """
        await self._runner.setup()
        self._server = await asyncio.get_running_loop().create_unix_server(self._connected, sock=_listening(folder))

    async def close(self) -> None:
        """End all requests and stop listening."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _connected(self) -> asyncio.Protocol:
        assert self._runner.server is not None
        if len(self._runner.server.connections) >= _MOST_CONNECTIONS:
            return _Full()
        return self._runner.server()

    def _handler(self, dialect: Dialect) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                self._check_token(request)
                async with self._calls:
                    asked = await self._read(request, dialect)
                    return await self._respond(request, dialect, asked)
            except Refused as refused:
                return web.json_response(dialect.refusal(refused), status=refused.status)
            except Exception as error:
                self._note(error)
                raise

        return handle

    def _note(self, error: Exception) -> None:
        """Log an unexpected error, at most once for each rollout."""
        if not self._failed:
            self._failed = True
            said = " ".join(f"{type(error).__name__}: {error}".split())
            logging.getLogger(__name__).warning("the gateway cannot answer a request: %s", said[:300])

    def _check_token(self, request: web.Request) -> None:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        given = next((request.headers[name] for name in _KEYS if request.headers.get(name)), bearer)
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode()):
            raise Refused("key", "the API key is not this rollout's; it is in the agent's environment")

    async def _read(self, request: web.Request, dialect: Dialect) -> Asked:
        try:
            async with asyncio.timeout(_BODY_S):
                data = await request.read()
        except TimeoutError:
            raise Refused("slow", f"the request was not complete after {_BODY_S:g} s") from None
        except web.HTTPRequestEntityTooLarge:
            raise Refused("size", f"the request is larger than {_MOST_BYTES >> 20} MiB") from None
        try:
            about = data, dict(request.match_info), dialect
            return await asyncio.to_thread(_asked, *about) if len(data) > _IN_THREAD else _asked(*about)
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError, ValidationError) as error:
            raise Refused("request", f"the request cannot be read: {str(error)[:200]}") from None

    async def _respond(self, request: web.Request, dialect: Dialect, asked: Asked) -> web.StreamResponse:
        answering = asyncio.ensure_future(self._asking.answer(asked))
        try:
            if not asked.stream:
                return web.json_response(dialect.whole(await answering))
            await asyncio.wait({answering}, timeout=_PATIENCE_S)
            if answering.done():
                answering.result()  # a refusal still has its own status
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
            with suppress(ConnectionError):
                await self._streamed(request, response, dialect, answering)
            return response
        finally:
            answering.cancel()
            with suppress(asyncio.CancelledError, Refused):
                await answering

    async def _streamed(
        self, request: web.Request, response: web.StreamResponse, dialect: Dialect, answering: "asyncio.Future[Any]"
    ) -> None:
        """Write pings until the answer is complete, then the answer, which the client has validated by then."""
        await response.prepare(request)
        while not answering.done():
            await _write(request, response, dialect.ping)
            await asyncio.wait({answering}, timeout=_PATIENCE_S)
        try:
            data = b"".join(dialect.events(answering.result()))
        except Refused as refused:
            data = dialect.refusal_event(refused)
        await _write(request, response, data)

    def _about(self) -> Mapping[str, Any]:
        return {"id": self._asking.model.name, "object": "model", "type": "model", "created": 0, "owned_by": "heats"}

    async def _models(self, request: web.Request) -> web.Response:
        return self._listing(request, {"object": "list", "data": [self._about()], "has_more": False})

    async def _model(self, request: web.Request) -> web.Response:
        return self._listing(request, {**self._about(), "id": request.match_info["name"]})

    def _listing(self, request: web.Request, body: Mapping[str, Any]) -> web.Response:
        try:
            self._check_token(request)
        except Refused as refused:
            return web.json_response(ChatCompletions().refusal(refused), status=refused.status)
        return web.json_response(body)

    async def _nowhere(self, request: web.Request) -> web.Response:
        refused = Refused("route", f"the gateway has no {request.method} {request.path[:200]}")
        return web.json_response(ChatCompletions().refusal(refused), status=refused.status)


class _Full(asyncio.Protocol):
    """Closes a connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `Protocol.connection_made`."""
        transport.close()


def _silent() -> logging.Logger:
    """A logger without output: aiohttp logs a traceback for every malformed request, and a sandbox can send many."""
    logger = logging.getLogger(f"{__name__}.http")
    logger.disabled = True
    return logger


def _asked(data: bytes, more: Mapping[str, str], dialect: Dialect) -> Asked:
    text = data.decode("utf-8-sig")  # json would guess the encoding, and let surrogates through
    body = json.loads(text)
    if not isinstance(body, dict):
        raise Refused("request", "the request must be a JSON object")
    return dialect.read({**(without_surrogates(body) if "\\ud" in text.lower() else body), **more})


async def _write(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    try:
        async with asyncio.timeout(_WRITE_S):
            await response.write(data)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the client does not read its reply") from None


def _listening(folder: Path) -> socket.socket:
    """Make a socket that every user of the sandbox may connect to; its path may be longer than sockets allow."""
    directory = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        made.bind(f"/proc/self/fd/{directory}/{NAME}")
        (folder / NAME).chmod(0o666)
    except BaseException:
        made.close()
        raise
    finally:
        os.close(directory)
    return made
