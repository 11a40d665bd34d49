"""Requests to a model server over HTTP, by aiohttp.

It takes the least processor time for a request, in which all other rollouts wait.
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
"""Seconds for which an idle connection is kept: vLLM's server closes them after five."""
_MOST_BYTES, _MOST_BYTES_WITH_LOGPROBS = 16 << 20, 64 << 20
"""Of an answer: reading one as JSON holds up everybody else, and no reply of use is that long."""


class HttpFailed(Exception):
    """A request got no answer of use; what it means is said in `retry.py`."""


class ConnectError(HttpFailed):
    """The server was not reached: nothing was sent."""


class BrokenReply(HttpFailed):
    """The reply ended early, or was no HTTP."""


class ReplyTooLarge(HttpFailed):
    """The answer has more bytes than any that could be used."""


class StatusError(HttpFailed):
    """The server answered with another status than 2xx.

    Args:
        status: of HTTP.
        headers: of the answer, by names of any case.
        body: its text, or the JSON that it holds; of an error object, what is in it.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: Any) -> None:
        self.status, self.headers = status, headers
        self.body = body.get("error", body) if isinstance(body, dict) else body
        super().__init__(f"Error code: {status} - {body}")


class ChatHttp:
    """Connections to one server, kept open between requests.

    Args:
        base_url: with `/v1`.
        headers: sent with every request.
        proxies: whether the environment's proxies count.
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
        """The text of the answer to one JSON request below the base URL.

        Args:
            path: below the base URL.
            body: sent as JSON.
            headers: of this request alone.
            heard: gets the headers of the answer, by names in lower case.

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
        """As `post`, for any URL, with a body or without one.

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
        """The session: made by the first request, since it belongs to that one's event loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers={**self._headers, "Content-Type": "application/json", "Accept": "application/json"},
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_S),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _proxy(url: str) -> str | None:
    """The environment's proxy. Where aiohttp looks itself, it reads .netrc as well, and takes no key beside that."""
    parts, known = urlsplit(url), getproxies()
    return None if proxy_bypass(parts.netloc) else known.get(parts.scheme)


def _encoded(body: Mapping[str, Any]) -> bytes:
    """A request as JSON."""
    history = body.get("messages")
    if not isinstance(history, History):
        return _json(body)
    rest = _json({key: value for key, value in body.items() if key != "messages"})
    return b'{"messages":%b,%b' % (history.encoded(_json), rest[1:])


def _json(value: Mapping[str, Any]) -> bytes:
    try:
        return to_json(value)
    except PydanticSerializationError:  # lone surrogates, which it does not take
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
    """Why a server was not reached, without its address, which whoever reports this names."""
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
