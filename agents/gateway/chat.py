"""OpenAI chat completions, https://platform.openai.com/docs/api-reference/chat."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from agents.gateway import wire
from agents.gateway.wire import Answer, Asked, Refused
from agents.llm.base import Message, ResponseSchema, TokenLogprob, ToolSpec
from agents.llm.ledger import Usage

_KINDS: Mapping[str, str] = {
    "key": "authentication_error",
    "limit": "permission_error",
    "unavailable": "server_error",
    "busy": "rate_limit_error",
}


class ChatCompletions:
    """`POST /v1/chat/completions`; see `Dialect`."""

    ping = b": waiting for the model\n\n"

    def read(self, body: Mapping[str, Any]) -> Asked:
        """See `Dialect.read`."""
        if body.get("n") not in (None, 1):
            raise Refused("request", "n must be 1: heats samples by rollouts")
        tools = tuple(_tool(one) for one in wire.tool_items(body))
        choice, offered = choice_of(body.get("tool_choice"), tools)
        options = body.get("stream_options")
        return Asked(
            model=wire.name_of(body),
            messages=wire.in_order(_message(one) for one in wire.items(body, "messages")),
            tools=offered,
            tool_choice=choice,
            response_schema=_schema(body.get("response_format")),
            stream=body.get("stream") is True,
            temperature=wire.number(body, "temperature", 0, 10),
            top_p=wire.number(body, "top_p", 1e-6, 1),
            max_tokens=wire.count(body, "max_completion_tokens", "max_tokens"),
            logprobs=int(wire.number(body, "top_logprobs", 0, 20) or 0) if body.get("logprobs") is True else None,
            with_usage=isinstance(options, dict) and options.get("include_usage") is True,
        )

    def whole(self, answer: Answer) -> Mapping[str, Any]:
        """See `Dialect.whole`."""
        done = answer.completion
        message = {"role": "assistant", "content": done.content or None, **_thought(answer)}
        if done.tool_calls:
            message["tool_calls"] = [wire.call_message(call.id, call.name, call.arguments) for call in done.tool_calls]
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": _finish(answer),
            "logprobs": _logprobs(done.logprobs),
        }
        return {**_head(answer, "chat.completion"), "choices": [choice], "usage": _usage(answer.usage)}

    def events(self, answer: Answer) -> Iterator[bytes]:
        """See `Dialect.events`."""
        done = answer.completion
        yield _chunk(answer, {"role": "assistant", "content": "", **_thought(answer)})
        if done.content:
            yield _chunk(answer, {"content": done.content}, logprobs=_logprobs(done.logprobs))
        for index, call in enumerate(done.tool_calls):
            yield _chunk(
                answer, {"tool_calls": [{"index": index, **wire.call_message(call.id, call.name, call.arguments)}]}
            )
        yield _chunk(answer, {}, finish=_finish(answer))
        if answer.asked.with_usage:
            yield wire.event({**_head(answer, "chat.completion.chunk"), "choices": [], "usage": _usage(answer.usage)})
        yield b"data: [DONE]\n\n"

    def refusal(self, refused: Refused) -> Mapping[str, Any]:
        """See `Dialect.refusal`."""
        kind = _KINDS.get(refused.reason, "invalid_request_error")
        code = "context_length_exceeded" if refused.reason == "context" else refused.reason
        return {"error": {"message": str(refused), "type": kind, "param": None, "code": code}}

    def refusal_event(self, refused: Refused) -> bytes:
        """See `Dialect.refusal_event`."""
        return wire.event(self.refusal(refused))


def choice_of(
    value: Any, tools: tuple[ToolSpec, ...]
) -> tuple[Literal["auto", "required", "none"], tuple[ToolSpec, ...]]:
    """Read `tool_choice` of both OpenAI formats; returns it with the tools that remain to be offered.

    Raises:
        Refused: it names a tool that is not offered.
    """
    if isinstance(value, dict) and value.get("type") == "allowed_tools":
        allowed = value.get("allowed_tools", value)  # chat completions nest it, responses do not
        names = {_named(one) for one in wire.items(allowed, "tools")}
        offered = tuple(one for one in tools if one.name in names)
        return ("required" if allowed.get("mode") == "required" and offered else "auto"), offered
    if isinstance(value, dict):
        return "required", wire.only(tools, _named(value))
    if value == "required" and tools:
        return "required", tools
    return ("none" if value == "none" else "auto"), tools


def _named(value: Mapping[str, Any]) -> Any:
    function = value.get("function")
    return function.get("name") if isinstance(function, dict) else value.get("name")


def _message(one: Mapping[str, Any]) -> Message:
    content = wire.text_of(one.get("content"))
    match one.get("role"):
        case "system" | "developer":
            return {"role": "system", "content": content}
        case "user":
            return {"role": "user", "content": content}
        case "tool":
            return {"role": "tool", "tool_call_id": str(one.get("tool_call_id")), "content": content}
        case "assistant":
            calls = [_call(call) for call in wire.items(one, "tool_calls")]
            message: Message = {"role": "assistant", "content": content or (None if calls else "")}
            return {**message, "tool_calls": calls} if calls else message
        case other:
            raise Refused("request", f"messages of the role {str(other)[:40]!r} are not supported")


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    named = function if isinstance(function, dict) else {}
    return wire.call_message(call.get("id"), named.get("name"), named.get("arguments"))


def _tool(one: Mapping[str, Any]) -> ToolSpec:
    function = one.get("function")
    if one.get("type") != "function" or not isinstance(function, dict):
        raise Refused("request", f"tools of the type {str(one.get('type'))[:40]!r} are not supported, only functions")
    return wire.tool(function.get("name"), function.get("description"), function.get("parameters"))


def _schema(form: Any) -> ResponseSchema | None:
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "json_object":
        return ResponseSchema(name="json_object", json_schema={"type": "object"})
    named = form.get("json_schema") if kind == "json_schema" else None
    if not isinstance(named, dict) or not isinstance(named.get("schema"), dict):
        return None
    return ResponseSchema(name=str(named.get("name") or "reply")[:64], json_schema=named["schema"])


def _thought(answer: Answer) -> dict[str, Any]:
    reasoning = answer.completion.reasoning
    return {"reasoning_content": reasoning} if reasoning else {}


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{answer.id}", "object": kind, "created": answer.created, "model": answer.asked.model}


def _chunk(
    answer: Answer, delta: Mapping[str, Any], *, finish: str | None = None, logprobs: Mapping[str, Any] | None = None
) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
    return wire.event({**_head(answer, "chat.completion.chunk"), "choices": [choice]})


def _finish(answer: Answer) -> str:
    finish = answer.completion.finish_reason
    return "tool_calls" if answer.completion.tool_calls else "stop" if finish == "tool_calls" else finish


def _logprobs(tokens: Sequence[TokenLogprob]) -> Mapping[str, Any] | None:
    rows = [
        {
            "token": one.token,
            "logprob": one.logprob,
            "top_logprobs": [{"token": token, "logprob": logprob} for token, logprob in one.top],
        }
        for one in tokens
    ]
    return {"content": rows} if rows else None


def _usage(usage: Usage) -> Mapping[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
