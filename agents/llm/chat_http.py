"""Chat requests over HTTP, by aiohttp.

The SDK's HTTP layers take several times the processor time for a request, and more with every open connection, while
all other rollouts wait. This sends the same bytes and raises the SDK's errors.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import openai
from pydantic_core import PydanticSerializationError, to_json

_CONNECT_S = 10.0
_KEPT_S = 4.0
"""Seconds for which an idle connection is kept: vLLM's server closes them after five."""
_MOST_BYTES = 1 << 28


class ConnectError(ConnectionError):
    """The server was not reached: nothing was sent."""


class BrokenReply(ConnectionError):
    """The reply ended early, or was no HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as far as the SDK's errors look at it."""

    status_code: int
    headers: Mapping[str, str]
    request: None = None


class ChatHttp:
    """Connections to one server, kept open between requests.

    Args:
        base_url: with `/v1`.
        headers: sent with every request.
        proxies: whether the environment's proxies count.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], *, proxies: bool) -> None:
        self._url = base_url.rstrip("/")
        self._headers, self._proxies = dict(headers), proxies
        self._session: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: Mapping[str, Any]) -> str:
        """The text of the answer to one JSON request.

        Raises:
            openai.APIStatusError: another status than 2xx.
            openai.APIConnectionError: no connection, or no whole answer; the cause is a `ConnectError` when nothing
                was sent.
        """
        data = _encoded(body)
        try:
            async with self._opened().post(self._url + path, data=data) as response:
                answer = Answer(response.status, response.headers)
                text = (await _content(response)).decode("utf-8", "replace")
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _failed(error) from ConnectError(str(error))
        except (aiohttp.ClientError, OSError, EOFError, ValueError) as error:
            raise _failed(error) from BrokenReply(str(error))
        if not 200 <= answer.status_code < 300:
            raise _refusal(answer, text)
        return text

    def _opened(self) -> aiohttp.ClientSession:
        """The session: made by the first request, since it belongs to that one's event loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers={**self._headers, "Content-Type": "application/json", "Accept": "application/json"},
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_S),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                trust_env=self._proxies,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _encoded(body: Mapping[str, Any]) -> bytes:
    """A request as JSON: the whole history at every step, so by the fastest encoder there is."""
    try:
        return to_json(body)
    except PydanticSerializationError:  # lone surrogates, which it does not take
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


async def _content(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for part in response.content.iter_any():
        content += part
        if len(content) > _MOST_BYTES:
            raise BrokenReply(f"a reply of more than {_MOST_BYTES} bytes")
    return bytes(content)


def _failed(error: Exception) -> openai.APIConnectionError:
    return openai.APIConnectionError(message=str(error) or type(error).__name__, request=cast(Any, None))


def _refusal(answer: Answer, text: str) -> openai.APIStatusError:
    body: Any = text
    with contextlib.suppress(ValueError, RecursionError):
        body = json.loads(text)
    error = body.get("error", body) if isinstance(body, dict) else body
    said = f"Error code: {answer.status_code} - {body}"
    return openai.APIStatusError(said, response=cast(Any, answer), body=error)
