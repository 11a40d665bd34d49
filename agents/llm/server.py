"""One OpenAI-compatible server over HTTP, and the additional endpoints of a vLLM server.

Everything except chat is optional: if a server lacks an endpoint, the result is None and nothing fails.
"""

import asyncio
import json
import os
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from agents.errors import ModelConfigError, ModelError, ModelUnavailable
from agents.llm.chat_http import ChatHttp, ConnectError, HttpFailed, StatusError
from agents.llm.config import ModelConfig
from agents.llm.counters import Counters, read_counters, read_kv_tokens
from agents.llm.replies import InBandError, UnusableReply, decode

_ASIDE_S = 10.0
"""Timeout of requests other than chat, in seconds."""
_SLEEP_S = 300.0
"""Timeout of falling asleep and of waking up: a large model's weights move between GPU and main memory."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """A server's limits for one model; None if unknown.

    Attributes:
        context: context length in tokens, prompt and reply combined.
        kv_tokens: capacity of the KV cache in tokens, shared by all requests and the prefix cache.
        version: version of vLLM.
    """

    context: int | None = None
    kv_tokens: int | None = None
    version: str | None = None


class Server:
    """The HTTP side of one endpoint.

    Args:
        config: specifies the server and the limits of a request.
        api_key: sent as bearer token; kept in memory only.
        base_url: selects one of the configured servers; defaults to the first.

    Attributes:
        takes_session_field: True until the server rejects the session field in a request body.

    Raises:
        ModelConfigError: there is no base URL, or it is not an HTTP URL.
    """

    def __init__(self, config: ModelConfig, api_key: str, base_url: str | None = None) -> None:
        base_url = base_url or next(iter(config.base_urls), None)
        if not base_url:
            raise ModelConfigError(
                f"model {config.name!r} needs a server: give --base-url URL or set OPENAI_BASE_URL "
                "(a local vLLM is http://localhost:8000/v1)"
            )
        parts = _parts(base_url)
        self.config = config
        # Environment proxies are for external hosts; a local server is never behind one.
        loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
        self._http = ChatHttp(_bare(parts), _headers(api_key, parts), proxies=not loopback)
        self.root = self._http.base_url.removesuffix("/v1")
        self.takes_session_field = True
        self._heard: dict[str, str] = {}
        self._releases = bool(config.session.finish)

    @property
    def place(self) -> str:
        """Distinguishes servers within this process; never stored."""
        return self.root

    @property
    def base_url(self) -> str:
        """The base URL without credentials."""
        return self._http.base_url

    async def chat(self, body: Mapping[str, Any], session: str = "") -> str:
        """Send a chat request and return the text of the reply.

        Args:
            body: request body, to which `extra_body` and the session field are added.
            session: id of the request's session; empty for none.

        Raises:
            HttpFailed, TimeoutError.
        """
        names = self.config.session
        headers = names.headers(session, self._heard.get(session)) if session else {}
        fields = names.fields(session) if session and self.takes_session_field else {}
        heard: dict[str, str] = {}
        async with asyncio.timeout(self.config.request_timeout_s):
            asked = {**body, **fields, **self.config.extra_body}
            text = await self._http.post("/chat/completions", asked, headers, heard)
        if session and names.echo and (token := heard.get(names.header.lower())):
            self._heard[session] = token
        return text

    def rejects_session_field(self, said: str) -> bool:
        """Whether a 400 or 422 response complains about the session field, which is then omitted from now on.

        Args:
            said: the response to a request that had the field. Others may be on their way and be rejected as well.
        """
        first = self.config.session.field.partition(".")[0]
        if not first or first not in said:
            return False
        self.takes_session_field = False
        return True

    async def finish(self, session: str) -> None:
        """Release a session if the router supports it; a router that does not is tried only once."""
        self._heard.pop(session, None)
        if not self._releases:
            return
        try:
            await self._asked("POST", f"{self.root}{self.config.session.finish}?session_id={session}", {})
        except StatusError as error:
            self._releases = error.status not in (404, 405, 501)
        except (HttpFailed, TimeoutError):
            return

    async def answers(self) -> bool:
        """Whether the server responds and does not report being down."""
        try:
            await self._asked("GET", f"{self._http.base_url}/models")
        except StatusError as error:
            return error.status < 500
        except (HttpFailed, TimeoutError):
            return False
        return True

    async def models(self) -> dict[str, dict[str, Any]]:
        """Return the served models by name; empty if the server does not list them.

        Raises:
            ModelConfigError: the base URL lacks the `/v1` prefix required by the server.
            HttpFailed, UnusableReply, InBandError, TimeoutError.
        """
        try:
            served = decode(await self._asked("GET", f"{self._http.base_url}/models")).get("data")
        except StatusError as error:
            if error.status != 404:
                raise
            if self.root == self._http.base_url and await self._aside("GET", "/v1/models") is not None:
                raise ModelConfigError(f"the API is under /v1: use --base-url {self.root}/v1") from None
            return {}
        return {str(item.get("id")): item for item in served or () if isinstance(item, dict)}

    async def healthy(self) -> bool:
        """Whether a vLLM server reports being ready."""
        return await self._aside("GET", "/health") is not None

    async def limits(self, model: str) -> ServerLimits:
        """Return the server's reported limits for a model."""
        served = _object(await self._aside("GET", "/v1/models")).get("data")
        entry = next((one for one in served or () if isinstance(one, dict) and one.get("id") == model), {})
        context = entry.get("max_model_len")
        page = await self._aside("GET", "/metrics")
        kv_tokens = read_kv_tokens(page) if page else None
        return ServerLimits(context if isinstance(context, int) else None, kv_tokens, await self.version())

    async def version(self) -> str | None:
        """Return the version of vLLM."""
        said = await self._aside("GET", "/version")
        version = _object(said).get("version")
        return version if isinstance(version, str) else None

    async def counters(self) -> Counters | None:
        """Return the server's counters; None if it exposes none, as only vLLM does, or does not answer."""
        try:
            return await self.poll()
        except (HttpFailed, TimeoutError):
            return None

    async def poll(self) -> Counters | None:
        """Return the server's counters; None if it exposes none.

        Raises:
            HttpFailed, TimeoutError: it does not say now, and may say later.
        """
        try:
            return read_counters(await self._asked("GET", f"{self.root}/metrics"))
        except StatusError as error:
            if error.status >= 500 or error.status in (408, 429):
                raise
            return None

    async def sleep(self) -> None:
        """Release the GPU's memory, using vLLM's sleep mode; a server that is down or asleep already stays as it is.

        Raises:
            ModelConfigError: the server has no sleep mode.
            HttpFailed, TimeoutError
        """
        try:
            if not await self._is_sleeping():
                await self._asked("POST", f"{self.root}/sleep?level=1", limit_s=_SLEEP_S)
        except ConnectError:
            return

    async def wake(self) -> None:
        """Return from `sleep`; does nothing if the server is awake.

        Raises:
            ModelConfigError: the server has no sleep mode.
            HttpFailed, TimeoutError
        """
        if await self._is_sleeping():
            await self._asked("POST", f"{self.root}/wake_up", limit_s=_SLEEP_S)

    async def _is_sleeping(self) -> bool:
        try:
            said = _object(await self._asked("GET", f"{self.root}/is_sleeping"))
        except StatusError as error:
            if error.status not in (404, 405, 501):
                raise
            raise ModelConfigError(
                f"{self.base_url} has no sleep mode, which models that share a GPU need: start its vLLM with "
                "VLLM_SERVER_DEV_MODE=1 and --enable-sleep-mode, as `heats serve --second MODEL` does"
            ) from None
        return said.get("is_sleeping") is True

    async def count_tokens(self, body: Mapping[str, Any]) -> tuple[int, int] | None:
        """Return the prompt tokens of a chat request and the model's context length, as reported by the server."""
        asked = {key: body[key] for key in ("model", "messages", "tools") if key in body}
        kwargs = self.config.extra_body.get("chat_template_kwargs")
        said = _object(
            await self._aside("POST", "/tokenize", {**asked, **({"chat_template_kwargs": kwargs} if kwargs else {})})
        )
        count, limit = said.get("count"), said.get("max_model_len")
        return (count, limit) if isinstance(count, int) and isinstance(limit, int) else None

    async def template_digest(self, body: Mapping[str, Any]) -> str | None:
        """Digest of the tokens that the server makes of a chat request, or None if it does not say.

        It changes with the chat template and with the tokenizer.
        """
        said = _object(await self._aside("POST", "/tokenize", body))
        tokens = said.get("tokens")
        return sha256(json.dumps(tokens).encode()).hexdigest()[:16] if isinstance(tokens, list) and tokens else None

    async def _aside(
        self, method: Literal["GET", "POST"], path: str, body: Mapping[str, Any] | None = None
    ) -> str | None:
        """Request an endpoint outside the API, next to `/v1`; returns None if there is no answer."""
        try:
            return await self._asked(method, self.root + path, body)
        except (HttpFailed, TimeoutError):
            return None

    async def _asked(
        self,
        method: Literal["GET", "POST"],
        url: str,
        body: Mapping[str, Any] | None = None,
        limit_s: float | None = None,
    ) -> str:
        """Send a request other than chat."""
        async with asyncio.timeout(_ASIDE_S if limit_s is None else limit_s):
            return await self._http.ask(method, url, body)

    async def close(self) -> None:
        """Release connections."""
        await self._http.close()


def _parts(base_url: str) -> SplitResult:
    """Split a base URL.

    Raises:
        ModelConfigError: the URL does not name an HTTP server.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https"):
        raise ModelConfigError(f"--base-url {_bare(parts)}: start it with http:// or https://")
    try:
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:  # non-numeric port
        named = False
    if not named:
        raise ModelConfigError(
            f"--base-url {_bare(parts)}: no valid host and port; expected something like http://localhost:8000/v1"
        )
    return parts


def _bare(parts: SplitResult) -> str:
    """Return the URL without credentials, for display and for requests."""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _headers(api_key: str, parts: SplitResult) -> dict[str, str]:
    """Build the headers sent by OpenAI's own client, from the same variables, except those identifying the client."""
    names = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
    named = {header: os.environ[name] for header, name in names.items() if os.environ.get(name)}
    lines = [line.partition(":") for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()]
    custom = {header.strip(): value.strip() for header, colon, value in lines if colon}
    proof = f"Bearer {api_key}"
    if parts.username is not None:  # https://user:password@host/v1: for a proxy in front
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        proof = f"Basic {b64encode(pair.encode()).decode()}"
    return {"User-Agent": "heats", **named, **custom, "Authorization": proof}


def _object(text: str | None) -> Mapping[str, Any]:
    try:
        return {} if text is None else decode(text)
    except (UnusableReply, InBandError):
        return {}


def preflight_error(error: Exception, config: ModelConfig, place: str) -> Exception:
    """Add the server's address to the error of its first request, and to a 401 where the key is read from."""
    if isinstance(error, ModelConfigError):
        hint = f" (the key is read from {config.api_key_env})" if "answered 401" in str(error) else ""
        return ModelConfigError(f"{place}: {error}{hint}")
    if isinstance(error, ModelError):
        return ModelUnavailable(f"cannot use the model server at {place}: {error}")
    return error
