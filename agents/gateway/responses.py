"""OpenAI Responses, https://platform.openai.com/docs/api-reference/responses. Nothing is stored between requests."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agents.gateway import wire
from agents.gateway.chat import ChatCompletions, choice_of
from agents.gateway.wire import Answer, Asked, Refused
from agents.llm.base import Message, ResponseSchema, ToolSpec
from agents.llm.ledger import Usage

_CALLS = ("function_call", "custom_tool_call")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_INPUT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


class Responses:
    """`POST /v1/responses`; see `Dialect`.

    Reasoning items that a client sends back are dropped: the gateway puts the model's own message in their place.
    """

    ping = wire.event({"type": "response.in_progress"}, "response.in_progress")  # Codex gives up where no event comes

    def read(self, body: Mapping[str, Any]) -> Asked:
        """See `Dialect.read`. Tools that OpenAI's servers would run, such as web search, are not offered."""
        if body.get("previous_response_id"):
            raise Refused("request", "previous_response_id is not supported: send the whole conversation")
        given = body.get("input")
        rows = [{"role": "user", "content": given}] if isinstance(given, str) else wire.items(body, "input")
        instructions = wire.text_of(body.get("instructions"))
        opening: list[Message] = [{"role": "system", "content": instructions}] if instructions else []
        listed = wire.tool_items(body)
        tools = tuple(_tool(one) for one in listed if one.get("type") in ("function", "custom"))
        choice, offered = choice_of(body.get("tool_choice"), tools)
        return Asked(
            model=wire.name_of(body),
            messages=wire.in_order([*opening, *_messages(rows)]),
            tools=offered,
            tool_choice=choice,
            response_schema=_schema(body.get("text")),
            custom=frozenset(str(one.get("name")) for one in listed if one.get("type") == "custom"),
            stream=body.get("stream") is True,
            temperature=wire.number(body, "temperature", 0, 10),
            top_p=wire.number(body, "top_p", 1e-6, 1),
            max_tokens=wire.count(body, "max_output_tokens"),
        )

    def whole(self, answer: Answer) -> Mapping[str, Any]:
        """See `Dialect.whole`."""
        cut = _is_cut(answer)
        return {
            **_head(answer),
            "status": "incomplete" if cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "output": list(_output(answer)),
            "usage": _usage(answer.usage),
        }

    def events(self, answer: Answer) -> Iterator[bytes]:
        """See `Dialect.events`."""
        for number_, data in enumerate(self._data(answer)):
            yield wire.event({**data, "sequence_number": number_}, data["type"])

    def _data(self, answer: Answer) -> Iterator[dict[str, Any]]:
        begun = {**_head(answer), "status": "in_progress", "output": []}
        yield {"type": "response.created", "response": begun}
        for index, item in enumerate(_output(answer)):
            at = {"output_index": index, "item_id": item["id"]}
            yield {"type": "response.output_item.added", "output_index": index, "item": _empty(item)}
            yield from _filling(item, at)
            yield {"type": "response.output_item.done", "output_index": index, "item": item}
        kind = "response.incomplete" if _is_cut(answer) else "response.completed"
        yield {"type": kind, "response": self.whole(answer)}

    def refusal(self, refused: Refused) -> Mapping[str, Any]:
        """See `Dialect.refusal`."""
        return ChatCompletions().refusal(refused)

    def refusal_event(self, refused: Refused) -> bytes:
        """See `Dialect.refusal_event`."""
        error = self.refusal(refused)["error"]
        failed = {"object": "response", "id": "resp_failed", "status": "failed", "error": error, "output": []}
        return wire.event({"type": "response.failed", "response": failed, "sequence_number": 1}, "response.failed")


def _is_cut(answer: Answer) -> bool:
    """Whether the reply is of no use because it was cut; a client repeats the turn then, so usable calls count."""
    return answer.completion.finish_reason == "length" and not answer.completion.tool_calls


def _tool(one: Mapping[str, Any]) -> ToolSpec:
    if one.get("type") == "function":
        return wire.tool(one.get("name"), one.get("description"), one.get("parameters"))
    form = one.get("format")
    grammar = form.get("definition") if isinstance(form, dict) else None
    description = (
        f"{one.get('description') or ''}\n\nThe input has this grammar:\n{grammar}"
        if grammar
        else one.get("description")
    )
    return wire.tool(one.get("name"), description, _INPUT)


def _messages(rows: Iterable[Mapping[str, Any]]) -> Iterator[Message]:
    """Translate the items; calls join the assistant's message before them."""
    said: Message | None = None
    for row in rows:
        kind = str(row.get("type") or "message")
        if kind == "reasoning":
            continue
        if kind in _CALLS:
            said = said or {"role": "assistant", "content": None}
            said = {**said, "content": said["content"] or None, "tool_calls": [*said.get("tool_calls", ()), _call(row)]}
            continue
        if said is not None:
            yield said
        message = _message(kind, row)
        said = message if message["role"] == "assistant" else None
        if said is None:
            yield message
    if said is not None:
        yield said


def _message(kind: str, row: Mapping[str, Any]) -> Message:
    if kind in _OUTPUTS:
        return {"role": "tool", "tool_call_id": str(row.get("call_id")), "content": wire.text_of(row.get("output"))}
    if kind != "message":
        raise Refused("request", f"input items of the type {kind[:40]!r} are not supported")
    content, role = wire.text_of(row.get("content")), row.get("role")
    if role == "assistant":
        return {"role": "assistant", "content": content}
    if role in ("system", "developer", "user"):
        return {"role": "user" if role == "user" else "system", "content": content}
    raise Refused("request", f"messages of the role {str(role)[:40]!r} are not supported")


def _call(row: Mapping[str, Any]) -> dict[str, Any]:
    if row.get("type") == "custom_tool_call":
        return wire.call_message(row.get("call_id"), row.get("name"), json.dumps({"input": row.get("input")}))
    return wire.call_message(row.get("call_id"), row.get("name"), row.get("arguments"))


def _schema(text: Any) -> ResponseSchema | None:
    form = text.get("format") if isinstance(text, dict) else None
    if not isinstance(form, dict) or form.get("type") != "json_schema" or not isinstance(form.get("schema"), dict):
        return None
    return ResponseSchema(name=str(form.get("name") or "reply")[:64], json_schema=form["schema"])


def _head(answer: Answer) -> dict[str, Any]:
    about = {"id": f"resp_{answer.id}", "object": "response", "created_at": answer.created, "error": None}
    return {**about, "model": answer.asked.model, "parallel_tool_calls": True, "tools": [], "tool_choice": "auto"}


def _output(answer: Answer) -> Iterator[dict[str, Any]]:
    done = answer.completion
    if done.reasoning:
        yield {
            "type": "reasoning",
            "id": f"rs_{answer.id}",
            "summary": [{"type": "summary_text", "text": done.reasoning}],
        }
    if done.content or not done.tool_calls:
        text = {"type": "output_text", "text": done.content, "annotations": []}
        about = {"type": "message", "id": f"msg_{answer.id}", "role": "assistant", "status": "completed"}
        yield {**about, "content": [text]}
    for index, call in enumerate(done.tool_calls):
        about = {"id": f"fc_{answer.id}_{index}", "call_id": call.id, "name": call.name, "status": "completed"}
        if call.name in answer.asked.custom:
            value = wire.arguments_of(call).get("input", "")
            yield {"type": "custom_tool_call", **about, "input": value if isinstance(value, str) else json.dumps(value)}
        else:
            yield {"type": "function_call", **about, "arguments": call.arguments}


def _empty(item: Mapping[str, Any]) -> dict[str, Any]:
    emptied: dict[str, dict[str, Any]] = {
        "message": {"content": [], "status": "in_progress"},
        "function_call": {"arguments": "", "status": "in_progress"},
        "custom_tool_call": {"input": "", "status": "in_progress"},
        "reasoning": {"summary": []},
    }
    return {**item, **emptied[item["type"]]}


def _filling(item: Mapping[str, Any], at: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    match item["type"]:
        case "message":
            part = item["content"][0]
            inner = {**at, "content_index": 0}
            yield {"type": "response.content_part.added", **inner, "part": {**part, "text": ""}}
            yield {"type": "response.output_text.delta", **inner, "delta": part["text"]}
            yield {"type": "response.output_text.done", **inner, "text": part["text"]}
            yield {"type": "response.content_part.done", **inner, "part": part}
        case "function_call":
            yield {"type": "response.function_call_arguments.delta", **at, "delta": item["arguments"]}
            yield {"type": "response.function_call_arguments.done", **at, "arguments": item["arguments"]}
        case "custom_tool_call":
            yield {"type": "response.custom_tool_call_input.delta", **at, "delta": item["input"]}
            yield {"type": "response.custom_tool_call_input.done", **at, "input": item["input"]}


def _usage(usage: Usage) -> Mapping[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.tokens,
    }
