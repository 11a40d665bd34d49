"""Chat requests over plain HTTP, at a tenth of the SDK's work per request.

The SDK and the layers below it take more time for a request than the agent and its sandbox together, and more with
every open connection, while all other rollouts wait. Servers of one's own, which get most requests, are reached by
`http://` without a proxy; for those this sends the same bytes and raises the same errors. Whatever is unusual (TLS, a
proxy, a redirect, a compressed reply) is the SDK's business.
"""

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import openai

_CONNECT_S = 10.0
_HEAD_BYTES = 1 << 16
_MOST_BYTES = 1 << 28

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class ConnectError(ConnectionError):
    """The server was not reached: nothing was sent."""


class BrokenReply(ConnectionError):
    """The reply ended early, or was no HTTP."""


class NotPlain(Exception):
    """The server answers in a way that is left to the SDK; the request may be sent again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as far as the SDK's errors look at it. Header names are in lower case."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes
    request: None = None


class PlainHttp:
    """Connections to one server, kept open between requests.

    Args:
        base_url: with `http://`, as `reachable` says.
        api_key: sent as bearer token.
    """

    def __init__(self, base_url: str, api_key: str) -> None:
        parts = urlsplit(base_url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        host = parts.netloc.rpartition("@")[2]
        self._path = parts.path.rstrip("/")
        self._head = (
            f"Host: {host}\r\nAuthorization: Bearer {api_key}\r\nContent-Type: application/json\r\n"
            "Accept: application/json\r\nUser-Agent: heats\r\nContent-Length: "
        )
        self._idle: list[Stream] = []

    @staticmethod
    def reachable(base_url: str, *, proxies: bool) -> bool:
        """Whether a server is reached by plain HTTP.

        Args:
            proxies: whether the environment's proxies are to be used for it.
        """
        parts = urlsplit(base_url)
        if parts.scheme != "http" or not parts.hostname or parts.username or parts.query:
            return False
        known = urllib.request.getproxies() if proxies else {}
        proxied = bool(known.get("http") or known.get("all"))
        return not proxied or bool(urllib.request.proxy_bypass(parts.hostname))

    async def post(self, path: str, body: Mapping[str, Any]) -> str:
        """The text of the answer to one JSON request.

        Raises:
            openai.APIStatusError: another status than 2xx.
            openai.APIConnectionError: no connection, or no whole answer; the cause is a `ConnectError` when nothing
                was sent.
            NotPlain
        """
        data = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        head = f"POST {self._path}{path} HTTP/1.1\r\n{self._head}{len(data)}\r\n\r\n"
        try:
            stream = await self._connection()
            try:
                stream[1].write(head.encode("latin-1", "replace") + data)
                await stream[1].drain()
                answer = await _answer(stream[0])
            except BaseException:
                stream[1].transport.abort()
                raise
        except (OSError, EOFError, ValueError) as error:
            cause = error if isinstance(error, ConnectError) else BrokenReply(str(error))
            raise openai.APIConnectionError(message=str(cause), request=cast(Any, None)) from cause
        self._keep(stream, answer)
        if 300 <= answer.status_code < 400 or "content-encoding" in answer.headers:
            raise NotPlain
        if answer.status_code >= 400:
            raise _refusal(answer)
        return answer.content.decode("utf-8", "replace")

    async def close(self) -> None:
        """Close the connections."""
        for _, writer in self._idle:
            writer.transport.abort()
        self._idle.clear()

    async def _connection(self) -> Stream:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.transport.abort()
        try:
            async with asyncio.timeout(_CONNECT_S):
                return await asyncio.open_connection(self._host, self._port, limit=_HEAD_BYTES)
        except (OSError, TimeoutError) as error:
            raise ConnectError(str(error)) from error

    def _keep(self, stream: Stream, answer: Answer) -> None:
        if answer.headers.get("connection", "").lower() == "close":
            stream[1].transport.abort()
        else:
            self._idle.append(stream)


def _refusal(answer: Answer) -> openai.APIStatusError:
    body: Any = answer.content.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError):
        body = json.loads(body)
    error = body.get("error", body) if isinstance(body, dict) else body
    said = f"Error code: {answer.status_code} - {body}"
    return openai.APIStatusError(said, response=cast(Any, answer), body=error)


async def _answer(reader: asyncio.StreamReader) -> Answer:
    status = 100
    while status < 200:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1."):
            raise BrokenReply(f"no HTTP: {first[:80]!r}")
        status = int(rest[:3])
    headers = {"connection": "close"} if version == "HTTP/1.0" else {}
    for name, colon, value in (line.partition(":") for line in lines):
        if colon:
            headers[name.strip().lower()] = value.strip()
    return Answer(status, headers, await _content(reader, headers))


async def _content(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader)
    if "content-length" in headers:
        return await reader.readexactly(_sized(int(headers["content-length"])))
    headers["connection"] = "close"
    return await reader.read(-1)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    content = bytearray()
    while True:
        size = int((await reader.readline()).split(b";")[0].strip(), 16)
        if size == 0:
            break
        content += await reader.readexactly(size)
        _sized(len(content))
        await reader.readexactly(2)
    while (await reader.readline()).strip():  # trailers
        pass
    return bytes(content)


def _sized(size: int) -> int:
    if not 0 <= size <= _MOST_BYTES:
        raise BrokenReply(f"a reply of {size} bytes")
    return size
