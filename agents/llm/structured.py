"""Schema-conforming replies, for servers without schema enforcement and for models that make mistakes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agents.llm.base import Message, ResponseSchema
from agents.llm.contents import Objects, json_objects

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def ask_for(messages: Sequence[Message], schema: ResponseSchema) -> list[Message]:
    """Append the schema to the end of the conversation; earlier messages stay unchanged."""
    wanted = json.dumps(schema.json_schema, ensure_ascii=False)
    request = f"Reply with one JSON object and nothing else. It must satisfy this JSON schema:\n{wanted}"
    last = messages[-1]
    if last.get("role") == "user" and isinstance(last.get("content"), str):
        return [*messages[:-1], {**last, "content": f"{last['content']}\n\n{request}"}]
    return [*messages, {"role": "user", "content": request}]


def ask_again(messages: Sequence[Message], reply: Message, problem: str) -> list[Message]:
    """Append an unusable reply to the conversation, together with its problem."""
    request = f"Your reply cannot be used: {problem}. Reply again with only the corrected JSON object."
    shown = str(reply.get("content") or "(nothing)")
    if len(shown) > _SHOWN_AGAIN:
        shown = f"{shown[:_SHOWN_AGAIN]}\n[... {len(shown) - _SHOWN_AGAIN} characters left out ...]"
    return [*messages, {"role": "assistant", "content": shown}, {"role": "user", "content": request}]


_LONGEST_STRING, _LONGEST_ITEM, _MOST_ITEMS = 4000, 600, 32
_SHOWN_AGAIN = 4000
"""Maximum characters of an unusable reply that are shown to the model again."""
_MOST_CHECKS = 50_000
"""Parts of values that are checked against a schema for one reply."""
_BOUNDS = frozenset({"maxLength", "minLength", "maxItems", "minItems"})


def bounded(schema: Mapping[str, Any], longest: int = _LONGEST_STRING) -> dict[str, Any]:
    """Add an upper bound to every string and list of a schema, so that a looping model terminates."""
    made: dict[str, Any] = dict(schema)
    for key in ("properties", "$defs"):
        if isinstance(schema.get(key), Mapping):
            made[key] = {name: bounded(part, longest) for name, part in schema[key].items()}
    if "anyOf" in schema:
        made["anyOf"] = [bounded(part, longest) for part in schema["anyOf"]]
    if schema.get("type") == "string" and not schema.keys() & {"enum", "const", "pattern", "format"}:
        made.setdefault("maxLength", longest)
    if schema.get("type") == "array":
        made.setdefault("maxItems", _MOST_ITEMS)
        made["items"] = bounded(schema.get("items", {}), min(longest, _LONGEST_ITEM))
    return made


def unbounded(schema: Any) -> Any:
    """Remove length bounds from a schema, for servers that do not support them."""
    if isinstance(schema, list):
        return [unbounded(part) for part in schema]
    if isinstance(schema, Mapping):
        return {key: unbounded(part) for key, part in schema.items() if key not in _BOUNDS}
    return schema


def extract(
    content: str, schema: Mapping[str, Any], *, reasoning: str | None = None, cut: bool = False
) -> tuple[str | None, str]:
    """Extract the last JSON object in a reply that satisfies a schema, ignoring surrounding text.

    Thinking is skipped. Its objects, and those in the separate reasoning, are considered only if there is no other
    answer, as when the server's parser mistakes the answer for thinking.

    Args:
        content: content of the reply.
        schema: JSON schema to satisfy.
        reasoning: reasoning returned in a separate field.
        cut: whether the reply was truncated at its token limit; objects in unfinished thinking are then only drafts.

    Returns:
        The JSON text and an empty problem, or None and the problem.
    """
    found = json_objects(content)
    groups = [found.answer]
    if not cut:
        groups.append(found.unfinished)
        if not found.prose and not found.answer:
            groups += [found.thinking, _every(json_objects(reasoning or ""))]
    problem, checked = "", _Schema(schema)
    for value in (value for group in groups for value in reversed(group)):
        for one in (value, *_wrapped(value)):
            wrong = checked.violation(one)
            if not wrong:
                return json.dumps(one, ensure_ascii=False), ""
            problem = problem or wrong
    if not problem and found.problem:
        problem = f"it is not valid JSON ({found.problem})"
    return None, problem or "it has no JSON object"


def _wrapped(value: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the objects nested in an object, since models wrap answers in another key or in a function call."""
    for held in value.values():
        if isinstance(held, dict):
            yield held


def _every(found: Objects) -> list[Any]:
    return [*found.thinking, *found.unfinished, *found.answer]


class _Schema:
    """A schema while values are checked against it, with bounded work: schemas come from agents as well.

    Args:
        root: the schema, against which references are resolved.
    """

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root, self._left = root, _MOST_CHECKS

    def violation(self, value: Any) -> str:
        """See `violation`."""
        try:
            return self.check(value, self.root, "$")
        except (_TooMuch, RecursionError):
            return "it cannot be checked: the schema has too many alternatives"

    def check(self, value: Any, schema: Mapping[str, Any], at: str) -> str:
        """Check a value, at this JSON path, against a part of the schema."""
        self._left -= 1
        if self._left < 0:
            raise _TooMuch
        if "$ref" in schema:
            return self.check(value, self.root.get("$defs", {}).get(schema["$ref"].rsplit("/", 1)[-1], {}), at)
        if "anyOf" in schema:
            first = ""
            for option in schema["anyOf"]:
                problem = self.check(value, option, at)
                if not problem:
                    return ""
                first = first or problem
            return first
        problem = _own_violation(value, schema, at)
        if problem:
            return problem
        if isinstance(value, dict):
            properties = schema.get("properties", {})
            inside = ((value[key], properties[key], f"{at}.{key}") for key in properties if key in value)
        else:
            items = schema.get("items", {})
            inside = (
                (item, items, f"{at}[{index}]") for index, item in enumerate(value if type(value) is list else ())
            )
        return next((problem for part in inside if (problem := self.check(*part))), "")


class _TooMuch(Exception):
    pass


def violation(value: Any, schema: Mapping[str, Any]) -> str:
    """Describe how a value violates a JSON schema; empty if it is valid.

    Supports the keywords used by pydantic's schemas, except upper bounds on lengths, since overlong values can be
    truncated.
    """
    return _Schema(schema).violation(value)


def _own_violation(value: Any, schema: Mapping[str, Any], at: str) -> str:
    """How a value violates a schema without references and alternatives, whatever is inside it."""
    if "const" in schema and value != schema["const"]:
        return f"{at} must be {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{at} must be one of {schema['enum']}"
    named = schema.get("type", "")
    types = tuple(
        kind for name in ([named] if isinstance(named, str) else named) for kind in _TYPES.get(name, (object,))
    )
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types and object not in types):
        return f"{at} must be of type {named}"
    if isinstance(value, dict):
        return _object_violation(value, schema, at)
    if isinstance(value, list) and len(value) < schema.get("minItems", 0):
        return f"{at} has {len(value)} items, fewer than {schema['minItems']}"
    return ""


def _object_violation(value: dict[str, Any], schema: Mapping[str, Any], at: str) -> str:
    properties = schema.get("properties", {})
    missing = [key for key in schema.get("required", ()) if key not in value]
    if missing:
        return f"{at} lacks {', '.join(missing)}"
    if schema.get("additionalProperties") is False and not value.keys() <= properties.keys():
        return f"{at} has unknown keys {', '.join(sorted(value.keys() - properties.keys()))}"
    return ""
