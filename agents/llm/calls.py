"""Normalizes and validates tool calls; every call passes through here.

A valid call names an offered tool, has arguments that satisfy the tool's schema, and carries an id that is unique
within the conversation, so that a strict server accepts it as history. Rejected calls are explained to the model in
words.
"""

import json
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.llm.base import ToolCall, ToolSpec
from agents.llm.contents import answer_text, decoded, pieces, without_tokens
from agents.llm.structured import violation

MOST_CALLS = 32
"""Maximum number of calls run per reply; a model that writes more has gone astray."""
_LONGEST_NAME = 200
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
_CALL_IN_TEXT = re.compile(
    r"<tool_call>|<function=|<function_call>|\[TOOL_CALLS\]|<\|tool_call|<\|python_tag\|>|<｜tool"
    r"|<\|channel\|>\s*commentary\s+to="
)
_FUNCTION = re.compile(r"<function=([^>\n]{1,80})>(.*?)</function>", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\n]{1,80})>\n?(.*?)\n?</parameter>", re.DOTALL)
_LEFT_TAGS = re.compile(r"(?:\s*</(?:parameter|function|tool_call|invoke|arguments)>)+\s*\Z")
_SHELLS = frozenset({"bash", "sh", "/bin/bash", "/bin/sh", "/usr/bin/bash"})
_WRAPPERS = ("arguments", "parameters", "input", "args")
_INDEX = re.compile(r"(?:\(\)|[:\[_#.-]\d{1,9}\]?)+\Z")
_AFTER_ARGUMENTS = re.compile(r"(?:[\s}\])`]|</\w{1,20}>)*\Z")


class Unusable(Exception):
    """The written text does not yield a call; the message completes "That could not be run: ..."."""


@dataclass(frozen=True, slots=True)
class Written:
    """A call as written, unvalidated: any field may hold any value."""

    name: Any
    arguments: Any
    id: Any = None


def written_calls(message: Mapping[str, Any]) -> list[Written]:
    """Return the calls of an assistant message, from OpenAI's current and legacy fields.

    Raises:
        Unusable: `tool_calls` is not a list.
    """
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise Unusable("tool_calls is not a list")
    found = []
    for call in calls or ():
        fields = call if isinstance(call, dict) else {}
        function = fields.get("function")
        function = function if isinstance(function, dict) else fields
        found.append(Written(function.get("name"), function.get("arguments"), fields.get("id")))
    former = message.get("function_call")
    if not found and isinstance(former, dict):
        found.append(Written(former.get("name"), former.get("arguments")))
    return found


def calls_in_content(text: str, tools: Sequence[ToolSpec]) -> tuple[list[Written], str]:
    """Return calls left in the text by a server with the wrong tool parser, and the text before them."""
    answer = answer_text(text)
    marked = _CALL_IN_TEXT.search(answer)
    if marked is None:
        return [], text
    rest = answer[marked.start() :]
    found = [Written(name, dict(_PARAMETER.findall(body))) for name, body in _FUNCTION.findall(rest)]
    return found or list(_objects_as_calls(rest, [tool.name for tool in tools])), answer[: marked.start()].rstrip()


def _objects_as_calls(text: str, names: Collection[str]) -> Iterator[Written]:
    """Yield calls from JSON objects with a name and arguments, or with arguments only, preceded by a tool's name."""
    at = 0
    for _ in range(10 * MOST_CALLS):
        start = text.find("{", at)
        if start < 0:
            return
        value, end, _ = decoded(text, start)
        before, at = text[max(at, start - 160) : start], max(end, start + 1)
        if not isinstance(value, dict):
            at = start + 1
        elif isinstance(value.get("name"), str):
            yield Written(value["name"], next((value[key] for key in _WRAPPERS if key in value), {}))
        else:
            said = [
                piece for piece in _names_in(before.replace("```json", "")) for name in names if _is_name(name, piece)
            ]
            yield from (Written(piece, value) for piece in said[-1:])


def read_calls(
    written: Sequence[Written], tools: Sequence[ToolSpec], taken: Collection[str], turn: int
) -> tuple[tuple[ToolCall, ...], tuple[str, ...]]:
    """Validate the calls of one reply.

    Args:
        written: calls as written by the model.
        tools: tools offered to the model.
        taken: call ids already used in the conversation.
        turn: turn number, which keeps generated ids distinct from those of other replies.

    Returns:
        The valid calls, and the problems with the others.
    """
    known = {tool.name: tool for tool in tools}
    calls: list[ToolCall] = []
    problems: list[str] = []
    ids = set(taken)
    for index, one in enumerate(written[:MOST_CALLS]):
        try:
            name = _named(one, known)
            arguments = _arguments(one.arguments, known[name], known)
        except Unusable as error:
            problems.append(str(error))
            continue
        given = (
            one.id if isinstance(one.id, str) and _ID.match(one.id) and one.id not in ids else f"c{turn:05}{index:03}"
        )
        ids.add(given)
        calls.append(ToolCall(id=given, name=name, arguments=arguments))
    if len(written) > MOST_CALLS:
        problems.append(f"there were {len(written)} calls in one reply; only the first {MOST_CALLS} count")
    return tuple(calls), tuple(dict.fromkeys(problems))


def _named(one: Written, known: Mapping[str, ToolSpec]) -> str:
    """Resolve the tool named by a call, ignoring namespaces, indices and control tokens around the name.

    Raises:
        Unusable
    """
    written = one.name if isinstance(one.name, str) else ""
    means = {name for name in known for piece in _names_in(written) if _is_name(name, piece)}
    if not written.strip():
        means = {name for name, tool in known.items() if _fits_only(one.arguments, tool)}
    if len(means) == 1:
        return means.pop()
    tools = " and ".join(known)
    problem = f"there is no tool named {written[:60]!r}" if written.strip() else "a call does not name its tool"
    raise Unusable(f"{problem}; the tools are {tools}" if len(known) != 1 else f"{problem}; the tool is {tools}")


def _names_in(written: str) -> Iterator[str]:
    if len(written) <= _LONGEST_NAME:
        for piece in pieces(written):
            yield piece.rpartition("to=")[2].strip(" \t\n\"'`")


def _is_name(name: str, piece: str) -> bool:
    base = _INDEX.sub("", piece)
    last = re.split(r"\.|::?|/|__", base)[-1]
    return name.lower() in (piece.lower(), base.lower(), last.lower()) and not re.search(r"\s", piece)


def _fits_only(arguments: Any, tool: ToolSpec) -> bool:
    """Whether the tool has required arguments and these satisfy its schema."""
    try:
        return bool(tool.parameters.get("required")) and bool(_arguments(arguments, tool, {}))
    except Unusable:
        return False


def _arguments(written: Any, tool: ToolSpec, known: Mapping[str, ToolSpec]) -> str:
    """Return the arguments as JSON text that satisfies the tool's schema.

    Raises:
        Unusable
    """
    values = _object(written, tool)
    if tool.foreign:
        return _encoded(values, tool)
    properties: Mapping[str, Any] = tool.parameters.get("properties", {})
    for key in _WRAPPERS:
        if key not in properties and isinstance(values.get(key), dict):
            values = values[key]
    by_case = {key.lower(): key for key in properties}
    values = {by_case.get(str(key).lower(), key): value for key, value in values.items()}
    strays = [other.name for other in known.values() if set(other.parameters.get("required", ())) & values.keys()]
    if not properties and strays:
        raise Unusable(f"{tool.name} takes no arguments; those were for {strays[0]}")
    fitted = {key: _coerced(values[key], schema) for key, schema in properties.items() if key in values}
    wrong = violation(fitted, tool.parameters)
    if wrong:
        raise Unusable(
            f"the arguments of {tool.name} do not fit: {wrong.replace('$.', '').replace('$ ', 'the object ')}"
        )
    return _encoded(fitted, tool)


def _encoded(values: Mapping[str, Any], tool: ToolSpec) -> str:
    try:
        return json.dumps(values, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise Unusable(f"the arguments of {tool.name} hold a number that JSON has not") from None


def _object(written: Any, tool: ToolSpec) -> dict[str, Any]:
    """Unwrap the arguments object from nested JSON strings and one-element lists.

    Raises:
        Unusable: there is no object.
    """
    value = written
    for _ in range(4):
        if value is None or value == "":
            return {}
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, dict):
            return value
        if not isinstance(value, str):
            break
        try:
            value = json.loads(value, strict=False)
        except (ValueError, RecursionError) as error:
            return _object_in(value, tool, error)
    raise Unusable(f"the arguments of {tool.name} must be one JSON object")


def _object_in(text: str, tool: ToolSpec, error: Exception) -> dict[str, Any]:
    """Extract the only object from arguments with extra text: a control token, a stray brace, an empty object.

    Raises:
        Unusable: there is no object, or more than one.
    """
    rest = without_tokens(text).strip()
    found: list[dict[str, Any]] = []
    while rest.startswith("{") and len(found) < MOST_CALLS:
        value, end, _ = decoded(rest, 0)
        if not isinstance(value, dict):
            break
        found.append(value)
        rest = rest[end:].strip()
    full = [value for value in found if value] or found[:1]
    if len(full) == 1 and _AFTER_ARGUMENTS.match(rest):
        return dict(full[0])
    if len(full) > 1:
        raise Unusable(f"the arguments of {tool.name} hold {len(full)} objects: make a call for each")
    said = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:120]
    raise Unusable(f"the arguments of {tool.name} are not valid JSON: {said}")


def _coerced(value: Any, schema: Mapping[str, Any]) -> Any:
    """Coerce a value to its schema's type where the intent is unambiguous."""
    match schema.get("type"), value:
        case "string", str():
            return _LEFT_TAGS.sub("", value)
        case "string", [str(), *_] if all(isinstance(word, str) for word in value):
            if len(value) == 3 and value[0] in _SHELLS and re.fullmatch(r"-[a-z]*c", value[1]):
                return value[2]
            return shlex.join(value)
        case "array", str():
            return [value]
        case (("number" | "integer"), str()) if re.fullmatch(r"\s*\d{1,9}(?:\.\d{1,9})?\s*", value):
            return float(value) if "." in value else int(value)
        case "boolean", ("true" | "True" | "false" | "False"):
            return str(value).lower() == "true"
    return value
