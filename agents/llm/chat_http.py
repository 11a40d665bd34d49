"""HTTP requests to a model server, using aiohttp.

aiohttp needs the least CPU time per request, and all other rollouts wait for that time.
"""

import contextlib
import json
import os
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from pydantic_core import PydanticSerializationError, to_json

from agents.llm.base import History

_CONNECT_S = 10.0
_KEPT_S = 4.0
"""Idle time after which a connection is closed, in seconds; vLLM's server closes connections after five."""
_MOST_BYTES, _MOST_BYTES_WITH_LOGPROBS = 16 << 20, 64 << 20
"""Maximum size of a reply. Parsing a larger one would block the event loop, and no useful reply is that long."""


class HttpFailed(Exception):
    """A request got no usable response; `retry.py` classifies the failure."""


class ConnectError(HttpFailed):
    """The server could not be reached; nothing was sent."""


class BrokenReply(HttpFailed):
    """The response ended early or was not valid HTTP."""


class ReplyTooLarge(HttpFailed):
    """The response exceeds the maximum size of a reply."""


class StatusError(HttpFailed):
    """The server responded with a status other than 2xx.

    Args:
        status: HTTP status code.
        headers: response headers; names may be in any case.
        body: the response text or its parsed JSON; for an error object, the object's content.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: Any) -> None:
        self.status, self.headers = status, headers
        self.body = body.get("error", body) if isinstance(body, dict) else body
        super().__init__(f"Error code: {status} - {body}")


class ChatHttp:
    """Connections to one server, kept open between requests.

    Args:
        base_url: base URL, including `/v1`.
        headers: headers sent with every request.
        proxies: whether to honour the environment's proxies.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], *, proxies: bool) -> None:
        self.base_url = base_url.rstrip("/")
        self._headers, self._proxy = dict(headers), _proxy(self.base_url) if proxies else None
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self,
        path: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
        heard: dict[str, str] | None = None,
    ) -> str:
        """Send a JSON POST request and return the text of the response.

        Args:
            path: path relative to the base URL.
            body: request body, sent as JSON.
            headers: additional headers for this request only.
            heard: receives the response headers, keyed by lower-case name.

        Raises:
            StatusError, ConnectError, BrokenReply, ReplyTooLarge.
        """
        return await self.ask("POST", self.base_url + path, body, headers, heard)

    async def ask(
        self,
        method: Literal["GET", "POST"],
        url: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        heard: dict[str, str] | None = None,
    ) -> str:
        """Send a request to an arbitrary URL and return the text of the response.

        Args:
            method: HTTP method.
            url: absolute URL.
            body: request body, sent as JSON; None sends none.
            headers: additional headers for this request only.
            heard: receives the response headers, keyed by lower-case name.

        Raises:
            StatusError, ConnectError, BrokenReply, ReplyTooLarge.
        """
        data = None if body is None else _encoded(body)
        most = _MOST_BYTES_WITH_LOGPROBS if body and body.get("logprobs") else _MOST_BYTES
        try:
            asked = self._opened().request(method, url, data=data, proxy=self._proxy, headers=headers)
            async with asked as response:
                text = (await _content(response, most)).decode("utf-8", "replace")
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ConnectError(_reason(error)) from error
        except (aiohttp.ClientError, OSError, EOFError, ValueError) as error:
            raise BrokenReply(_said(error)) from error
        if not 200 <= response.status < 300:
            raise StatusError(response.status, response.headers, _json_or(text))
        if heard is not None:
            heard.update({name.lower(): value for name, value in response.headers.items()})
        return text

    def _opened(self) -> aiohttp.ClientSession:
        """Return the session, created by the first request because it is bound to that request's event loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers={**self._headers, "Content-Type": "application/json", "Accept": "application/json"},
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_S),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


def _proxy(url: str) -> str | None:
    """Return the environment's proxy. aiohttp's own lookup also reads .netrc, which conflicts with an API key."""
    parts, known = urlsplit(url), getproxies()
    return None if proxy_bypass(parts.netloc) else known.get(parts.scheme)


def _encoded(body: Mapping[str, Any]) -> bytes:
    """Encode a request body as JSON."""
    history = body.get("messages")
    if not isinstance(history, History):
        return _json(body)
    rest = _json({key: value for key, value in body.items() if key != "messages"})
    return b'{"messages":%b,%b' % (history.encoded(_json), rest[1:])


def _json(value: Mapping[str, Any]) -> bytes:
    try:
        return to_json(value)
    except PydanticSerializationError:  # lone surrogates, which pydantic rejects
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


async def _content(response: aiohttp.ClientResponse, most: int) -> bytes:
    content = bytearray()
    async for part in response.content.iter_any():
        content += part
        if len(content) > most:
            raise ReplyTooLarge(f"a reply of more than {most >> 20} MiB")
    return bytes(content)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _reason(error: Exception) -> str:
    """Return why a server was unreachable, without its address, which the caller reports."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not valid: {getattr(error.certificate_error, 'verify_message', '') or 'refused'}"
    cause = getattr(error, "os_error", None)
    if isinstance(cause, ssl.SSLError):
        return f"no TLS at this address: {cause.reason or cause}"
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, socket.gaierror):
        return os.strerror(cause.errno)
    return str(cause.strerror or cause) if isinstance(cause, OSError) else f"no connection within {_CONNECT_S:.0f} s"


def _json_or(text: str) -> Any:
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    return text
