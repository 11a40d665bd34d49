"""The fake server's HTTP bodies: healthy chat completions and every broken kind of reply."""

import asyncio
import contextlib
import hashlib
import json
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from agents.llm.base import Completion
from agents.llm.fake import count_tokens
from agents.llm.fake_faults import OPENAI_OVERFLOW, VLLM_OVERFLOW, Fault

Delivery = Literal["whole", "truncated", "reset", "hang", "drip"]


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An HTTP response and its mode of delivery. `usage` is what a client that reads it must have counted."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery = "whole"
    usage: Mapping[str, int] = field(default_factory=dict)

    def head(self) -> bytes:
        """Return the status line and headers, with the content length of the whole body."""
        lines = [f"HTTP/1.1 {self.status} -", f"content-type: {self.content_type}", f"content-length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def json_reply(status: int, value: object, **headers: str) -> HttpReply:
    """Build a JSON response; underscores in header names become hyphens."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return HttpReply(status, json.dumps(value).encode(), headers=named)


def error_reply(status: int, message: str, *, code: str | None = None, param: str | None = None) -> HttpReply:
    """Build an error response in OpenAI's format."""
    kind = "invalid_request_error" if 400 <= status < 500 else "server_error"
    return json_reply(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


class PrefixCache:
    """Counts tokens like a server with prefix caching at message granularity."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def count(self, messages: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        """Return the prompt tokens of a conversation, and how many an earlier conversation already computed."""
        digest, total, cached = hashlib.sha256(), 0, 0
        for message in messages:
            digest.update(json.dumps(message, sort_keys=True).encode())
            total += count_tokens(message)
            if digest.hexdigest() in self._seen:
                cached = total
            self._seen.add(digest.hexdigest())
        return total, cached


def usage_of(prompt: tuple[int, int], completions: Sequence[Completion]) -> dict[str, Any]:
    """Build the `usage` object of a reply."""
    spent = sum(count_tokens(completion.message) for completion in completions)
    return {
        "prompt_tokens": prompt[0],
        "completion_tokens": spent,
        "total_tokens": prompt[0] + spent,
        "prompt_tokens_details": {"cached_tokens": prompt[1]},
    }


def completion_body(model: str, completions: Sequence[Completion], usage: Mapping[str, Any]) -> dict[str, Any]:
    """Build a `chat.completion` object."""
    choices = [
        {
            "index": index,
            "message": completion.message,
            "finish_reason": completion.finish_reason,
            "logprobs": _logprobs(completion),
        }
        for index, completion in enumerate(completions)
    ]
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "model": model,
        "choices": choices,
        "usage": dict(usage),
    }


def _logprobs(completion: Completion) -> dict[str, Any] | None:
    tokens = [
        {
            "token": one.token,
            "logprob": one.logprob,
            "top_logprobs": [{"token": token, "logprob": logprob} for token, logprob in one.top],
        }
        for one in completion.logprobs
    ]
    return {"content": tokens} if tokens else None


def billed(body: Mapping[str, Any], delivery: Delivery = "whole") -> HttpReply:
    """A 200 whose usage counts."""
    usage = body["usage"]
    counted = {
        "prompt_tokens": usage["prompt_tokens"],
        "cached_tokens": usage["prompt_tokens_details"]["cached_tokens"],
        "completion_tokens": usage["completion_tokens"],
    }
    return HttpReply(200, json.dumps(body).encode(), delivery=delivery, usage=counted if delivery == "whole" else {})


def overflow(request: Mapping[str, Any], context: int, *, counted: bool) -> HttpReply | None:
    """Build vLLM's rejection of a request that exceeds the context; None if it fits.

    Args:
        request: the request body.
        context: context length in tokens.
        counted: whether to report the token count of an overlong prompt, as older versions do.
    """
    prompt = PrefixCache().count(request["messages"])[0]
    reply = request.get("max_tokens") or 0
    says = f"This model's maximum context length is {context} tokens"
    if prompt >= context:
        tokens = f"{prompt}" if counted else f"at least {context + 1}"
        return error_reply(400, f"{says}. However, your prompt contains {tokens} input tokens.")
    if prompt + reply > context:
        return error_reply(
            400, f"'max_tokens' is too large: {reply}. {says} and your request has {prompt} input tokens."
        )
    return None


def faulty_reply(fault: Fault, body: dict[str, Any], retry_after_s: float) -> HttpReply:
    """Build the response that a server with this fault sends in place of `body`.

    Args:
        fault: the fault to simulate.
        body: the healthy response body.
        retry_after_s: value of `Retry-After` in seconds.
    """
    if fault in _PLAIN:
        return _PLAIN[fault]
    match fault:
        case "rate_limit":
            return json_reply(
                429, {"error": {"message": "slow down", "code": "rate_limit"}}, retry_after=f"{retry_after_s}"
            )
        case "reset" | "hang":
            return HttpReply(200, json.dumps(body).encode(), delivery=fault)
        case "truncated_body":
            return billed(body, "truncated")
        case "slow_drip":
            return billed(body, "drip")
        case "empty_choices":
            return billed(body | {"choices": []})
        case "null_choices":
            return billed(body | {"choices": None})
    return billed(body | {"choices": [_spoil(choice, fault) for choice in body["choices"]]})


def _spoil(choice: Mapping[str, Any], fault: Fault) -> dict[str, Any]:
    empty = {"role": "assistant", "content": None}
    changes: dict[str, dict[str, Any]] = {
        "abort": {"finish_reason": "abort"},
        "null_finish": {"finish_reason": None},
        "length": {"finish_reason": "length"},
        "null_content": {"message": empty, "finish_reason": "stop"},
        "refusal": {"message": empty | {"refusal": "I cannot help with that."}, "finish_reason": "stop"},
    }
    return {**choice, **changes[fault]}


async def send(
    reply: HttpReply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, drip_s: float, hang_s: float
) -> bool:
    """Send a reply in its mode of delivery; returns False if the connection must be closed.

    Args:
        reply: the reply to send.
        reader: client's stream.
        writer: stream for the response.
        drip_s: seconds between the bytes of a `drip`.
        hang_s: seconds before a `hang` gives up on a client that keeps waiting.
    """
    if reply.delivery == "reset":
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False
    if reply.delivery == "hang":
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1), hang_s)
        return False
    writer.write(reply.head())
    if reply.delivery == "drip":
        for byte in reply.body:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(drip_s)
        return True
    writer.write(reply.body if reply.delivery == "whole" else reply.body[: len(reply.body) // 2])
    await writer.drain()
    return reply.delivery == "whole"


_PLAIN: Mapping[str, HttpReply] = {
    "server_error": error_reply(503, "overloaded"),
    "garbage_json": HttpReply(200, b'{"id": "x", "choices": [{"ind'),
    "html": HttpReply(200, b"<html><body>Bad gateway</body></html>", "text/html"),
    "event_stream": HttpReply(200, b'data: {"choices": [{"delta": {"content": "par', "text/event-stream"),
    "in_band_error": json_reply(200, {"error": {"message": "engine died", "type": "server_error", "code": 500}}),
    "overflow_vllm": error_reply(400, VLLM_OVERFLOW),
    "overflow_openai": error_reply(400, OPENAI_OVERFLOW, code="context_length_exceeded", param="messages"),
    "unauthorized": error_reply(401, "Incorrect API key provided", code="invalid_api_key"),
    "not_found": error_reply(404, "The model does not exist", code="model_not_found"),
}
