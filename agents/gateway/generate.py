"""Google's generateContent, https://ai.google.dev/api/generate-content. Fields may be in camel or in snake case."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from agents.gateway import wire
from agents.gateway.wire import Answer, Asked, Refused
from agents.llm.base import Message, ResponseSchema, ToolSpec
from agents.llm.ledger import Usage

_STATUSES: Mapping[int, str] = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
_FINISHES: Mapping[str, str] = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}
_MEDIA = ("inlineData", "fileData")
_RESULTS = ("output", "result", "content")
_SCHEMAS, _NAMED_SCHEMAS, _LISTED_SCHEMAS = ("items",), ("properties",), ("anyOf",)


class GenerateContent:
    """`POST /v1beta/models/NAME:generateContent`; see `Dialect`. The model's name comes from the path.

    Thoughts that a client sends back are dropped: the gateway puts the model's own message in their place.

    Args:
        stream: whether this is `streamGenerateContent`, whose answers are server-sent events.
    """

    # Google's clients parse whatever is not an event of theirs as JSON, so a comment would not do.
    ping = b'data: {"candidates": []}\n\n'

    def __init__(self, *, stream: bool = False) -> None:
        self._stream = stream

    def read(self, body: Mapping[str, Any]) -> Asked:
        """See `Dialect.read`. Tools that Google's servers would run, such as web search, are not offered."""
        settings = _object(body, "generationConfig")
        if _field(settings, "candidateCount") not in (None, 1):
            raise Refused("request", "candidateCount must be 1: heats samples by rollouts")
        if body.get("cachedContent") or body.get("cached_content"):
            raise Refused("request", "cachedContent is not supported: send the whole conversation")
        system = _text(_parts(_object(body, "systemInstruction")))
        opening: list[Message] = [{"role": "system", "content": system}] if system else []
        tools = tuple(_tool(one) for one in _declared(body))
        choice, offered = _choice(_object(_object(body, "toolConfig"), "functionCallingConfig"), tools)
        return Asked(
            model=wire.name_of(body),
            messages=wire.in_order([*opening, *_messages(wire.items(body, "contents"))]),
            tools=offered,
            tool_choice=choice,
            response_schema=_response_schema(settings),
            stream=self._stream,
            temperature=wire.number(settings, "temperature", 0, 10),
            top_p=wire.number({"p": _field(settings, "topP")}, "p", 1e-6, 1),
            max_tokens=wire.count({"most": _field(settings, "maxOutputTokens")}, "most"),
        )

    def whole(self, answer: Answer) -> Mapping[str, Any]:
        """See `Dialect.whole`."""
        done = answer.completion
        parts: list[dict[str, Any]] = [{"text": done.content}] if done.content or not done.tool_calls else []
        for call in done.tool_calls:
            parts.append({"functionCall": {"id": call.id, "name": call.name, "args": wire.arguments_of(call)}})
        finish = "STOP" if done.tool_calls else _FINISHES.get(done.finish_reason, "STOP")
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": finish, "index": 0}
        about = {"modelVersion": answer.asked.model, "responseId": answer.id}
        return {"candidates": [candidate], "usageMetadata": _usage(answer.usage), **about}

    def events(self, answer: Answer) -> Iterator[bytes]:
        """See `Dialect.events`."""
        yield wire.event(self.whole(answer))

    def refusal(self, refused: Refused) -> Mapping[str, Any]:
        """See `Dialect.refusal`. The words for a full context are those that clients look for."""
        message = str(refused)
        if refused.reason == "context":
            message = f"The input token count exceeds the maximum number of tokens allowed: {refused}"
        status = _STATUSES.get(refused.status, "INVALID_ARGUMENT")
        return {"error": {"code": refused.status, "message": message, "status": status}}

    def refusal_event(self, refused: Refused) -> bytes:
        """See `Dialect.refusal_event`. Google's own servers, too, write an error without `data:`."""
        return json.dumps(self.refusal(refused)).encode() + b"\n\n"


def _field(body: Mapping[str, Any], name: str) -> Any:
    """Return a field under its name in camel or in snake case."""
    if name in body:
        return body[name]
    return body.get("".join(f"_{char.lower()}" if char.isupper() else char for char in name))


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object in a body; empty if it is absent.

    Raises:
        Refused: it is something else.
    """
    value = _field(body, name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused("request", f"{name} must be an object")
    return value


def _listed(body: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    return wire.items({name: _field(body, name)}, name)


def _parts(content: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return _listed(content, "parts")


def _text(parts: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of parts without calls and results; thoughts are left out.

    Raises:
        Refused: a part is no text.
    """
    return "\n".join(_part(part) for part in parts if part.get("thought") is not True)


def _part(part: Mapping[str, Any]) -> str:
    media = next((name for name in _MEDIA if _field(part, name) is not None), None)
    if media is not None:
        return wire.text_of([{"type": media}])
    text = part.get("text")
    if not isinstance(text, str):
        raise Refused("request", f"parts with {', '.join(map(str, part))[:80] or 'nothing in them'} are not supported")
    return text


def _messages(contents: Sequence[Mapping[str, Any]]) -> Iterator[Message]:
    """Translate the conversation. Calls and results without ids belong together by name and order."""
    waiting: list[tuple[str, str]] = []
    for number, content in enumerate(contents):
        parts, role = _parts(content), content.get("role", "user")
        calls = [one for one in parts if _field(one, "functionCall") is not None]
        results = [one for one in parts if _field(one, "functionResponse") is not None]
        plain = [one for one in parts if _field(one, "functionCall") is None]
        texts = [one for one in plain if _field(one, "functionResponse") is None]
        said = _text(texts)
        if role == "model":
            made = [_call(_object(one, "functionCall"), f"{number}-{at}") for at, one in enumerate(calls)]
            waiting = [(call["id"], call["function"]["name"]) for call in made]
            message: Message = {"role": "assistant", "content": said or (None if made else "")}
            yield {**message, "tool_calls": made} if made else message
        elif role in ("user", "function") and not calls:
            for one in results:
                yield _result(_object(one, "functionResponse"), waiting)
            if texts:
                yield {"role": "user", "content": said}
        else:
            raise Refused("request", f"contents of the role {str(role)[:40]!r}, or calls in them, are not supported")


def _call(call: Mapping[str, Any], position: str) -> dict[str, Any]:
    arguments = json.dumps(_object(call, "args"), ensure_ascii=False)
    return wire.call_message(call.get("id") or f"call-{position}", call.get("name"), arguments)


def _result(result: Mapping[str, Any], waiting: list[tuple[str, str]]) -> Message:
    given, name = result.get("id"), result.get("name")
    found = next((one for one in waiting if one[0] == given), None)
    found = found or next((one for one in waiting if not given and one[1] == name), None)
    if found is not None:
        waiting.remove(found)
    for part in _parts(result):
        _part(part)
    call_id = found[0] if found else str(given or name)
    return {"role": "tool", "tool_call_id": call_id, "content": _shown(_field(result, "response"))}


def _shown(response: Any) -> str:
    """Return a tool's result as text: what tools print is usually the only text in an object."""
    if isinstance(response, dict) and len(response) == 1:
        ((key, value),) = response.items()
        if key in _RESULTS and isinstance(value, str):
            return value
    return response if isinstance(response, str) else json.dumps(response, ensure_ascii=False)


def _declared(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    declared = [one for group in wire.tool_items(body) for one in _listed(group, "functionDeclarations")]
    return wire.tool_items({"tools": declared})


def _tool(one: Mapping[str, Any]) -> ToolSpec:
    schema = _field(one, "parametersJsonSchema")
    return wire.tool(
        one.get("name"), one.get("description"), _json_schema(one.get("parameters")) if schema is None else schema
    )


def _json_schema(schema: Any) -> Any:
    """Translate Google's form of a schema: types in capitals, `nullable`, and numbers as text."""
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for key, value in schema.items():
        match value:
            case str() if key == "type":
                made[key] = [value.lower(), "null"] if schema.get("nullable") is True else value.lower()
            case str() if key[:3] in ("min", "max") and value.isdigit():
                made[key] = int(value)
            case dict() if key in _NAMED_SCHEMAS:
                made[key] = {name: _json_schema(inner) for name, inner in value.items()}
            case list() if key in _LISTED_SCHEMAS:
                made[key] = [_json_schema(inner) for inner in value]
            case _ if key in _SCHEMAS:
                made[key] = _json_schema(value)
            case _ if key not in ("nullable", "propertyOrdering"):
                made[key] = value
    return made


def _choice(
    setting: Mapping[str, Any], tools: tuple[ToolSpec, ...]
) -> tuple[Literal["auto", "required", "none"], tuple[ToolSpec, ...]]:
    mode, allowed = setting.get("mode"), _field(setting, "allowedFunctionNames")
    if mode == "NONE":
        return "none", tools
    if isinstance(allowed, list) and allowed:
        tools = tuple(tool for name in dict.fromkeys(map(str, allowed)) for tool in wire.only(tools, name))
    return ("required" if mode == "ANY" and tools else "auto"), tools


def _response_schema(settings: Mapping[str, Any]) -> ResponseSchema | None:
    if _field(settings, "responseMimeType") != "application/json":
        return None
    schema = _field(settings, "responseJsonSchema")
    schema = _json_schema(_field(settings, "responseSchema")) if schema is None else schema
    if schema is None:
        return ResponseSchema(name="json_object", json_schema={"type": "object"})
    return ResponseSchema(name="reply", json_schema=schema) if isinstance(schema, dict) else None


def _usage(usage: Usage) -> Mapping[str, Any]:
    return {
        "promptTokenCount": usage.prompt_tokens,
        "cachedContentTokenCount": usage.cached_tokens,
        "candidatesTokenCount": usage.completion_tokens - usage.reasoning_tokens,
        "thoughtsTokenCount": usage.reasoning_tokens,
        "totalTokenCount": usage.tokens,
    }
