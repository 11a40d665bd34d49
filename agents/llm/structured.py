"""Replies that must satisfy a JSON schema, for servers that cannot be told so and for models that slip."""

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
    """The conversation with the schema written out at its end; earlier messages stay as they are."""
    wanted = json.dumps(schema.json_schema, ensure_ascii=False)
    request = f"Reply with one JSON object and nothing else. It must satisfy this JSON schema:\n{wanted}"
    last = messages[-1]
    if last.get("role") == "user" and isinstance(last.get("content"), str):
        return [*messages[:-1], {**last, "content": f"{last['content']}\n\n{request}"}]
    return [*messages, {"role": "user", "content": request}]


def ask_again(messages: Sequence[Message], reply: Message, problem: str) -> list[Message]:
    """The conversation with an unusable reply and what is wrong with it."""
    request = f"Your reply cannot be used: {problem}. Reply again with only the corrected JSON object."
    shown = str(reply.get("content") or "(nothing)")
    if len(shown) > _SHOWN_AGAIN:
        shown = f"{shown[:_SHOWN_AGAIN]}\n[... {len(shown) - _SHOWN_AGAIN} characters left out ...]"
    return [*messages, {"role": "assistant", "content": shown}, {"role": "user", "content": request}]


_LONGEST_STRING, _LONGEST_ITEM, _MOST_ITEMS = 4000, 600, 32
_SHOWN_AGAIN = 4000
"""Characters of an unusable reply that its author is shown again."""
_BOUNDS = frozenset({"maxLength", "minLength", "maxItems", "minItems"})


def bounded(schema: Mapping[str, Any], longest: int = _LONGEST_STRING) -> dict[str, Any]:
    """A schema in which every string and every list has an upper bound, so that a model that loops comes to an end."""
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
    """A schema without bounds on lengths, for servers that do not take these."""
    if isinstance(schema, list):
        return [unbounded(part) for part in schema]
    if isinstance(schema, Mapping):
        return {key: unbounded(part) for key, part in schema.items() if key not in _BOUNDS}
    return schema


def extract(
    content: str, schema: Mapping[str, Any], *, reasoning: str | None = None, cut: bool = False
) -> tuple[str | None, str]:
    """The JSON object in a reply that satisfies a schema: the last one that does, whatever stands around it.

    Thinking is passed over. Only where there is no answer beside it, as when a server's parser took the answer for
    thinking, are the objects in it looked at, and those in the reply's separate reasoning.

    Args:
        content: of the reply.
        reasoning: the reply's text in a field of its own.
        cut: the reply ended at its token limit: what stands in unfinished thinking is a draft then.

    Returns:
        The text and an empty problem, or None and what is wrong.
    """
    found = json_objects(content)
    groups = [found.answer]
    if not cut:
        groups.append(found.unfinished)
        if not found.prose and not found.answer:
            groups += [found.thinking, _every(json_objects(reasoning or ""))]
    problem = ""
    for value in (value for group in groups for value in reversed(group)):
        for one in (value, *_wrapped(value)):
            wrong = violation(one, schema)
            if not wrong:
                return json.dumps(one, ensure_ascii=False), ""
            problem = problem or wrong
    if not problem and found.problem:
        problem = f"it is not valid JSON ({found.problem})"
    return None, problem or "it has no JSON object"


def _wrapped(value: Mapping[str, Any]) -> Iterator[Any]:
    """The objects that an object holds itself: models wrap an answer in another key, or in a call of a function."""
    for held in value.values():
        if isinstance(held, dict):
            yield held


def _every(found: Objects) -> list[Any]:
    return [*found.thinking, *found.unfinished, *found.answer]


def violation(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, at: str = "$") -> str:
    """How a value breaks a JSON schema, or an empty string.

    Knows the keywords that pydantic's schemas use, but upper bounds on lengths: a reader can cut what is too long.
    """
    root = schema if root is None else root
    if "$ref" in schema:
        return violation(value, root.get("$defs", {}).get(schema["$ref"].rsplit("/", 1)[-1], {}), root, at)
    if "anyOf" in schema:
        problems = [violation(value, option, root, at) for option in schema["anyOf"]]
        return "" if "" in problems else problems[0]
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
        return _object_violation(value, schema, root, at)
    if isinstance(value, list):
        return _list_violation(value, schema, root, at)
    return ""


def _object_violation(value: dict[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], at: str) -> str:
    properties = schema.get("properties", {})
    missing = [key for key in schema.get("required", ()) if key not in value]
    if missing:
        return f"{at} lacks {', '.join(missing)}"
    if schema.get("additionalProperties") is False and not value.keys() <= properties.keys():
        return f"{at} has unknown keys {', '.join(sorted(value.keys() - properties.keys()))}"
    problems = (violation(value[key], properties[key], root, f"{at}.{key}") for key in properties if key in value)
    return next((problem for problem in problems if problem), "")


def _list_violation(value: list[Any], schema: Mapping[str, Any], root: Mapping[str, Any], at: str) -> str:
    if len(value) < schema.get("minItems", 0):
        return f"{at} has {len(value)} items, fewer than {schema['minItems']}"
    items = schema.get("items", {})
    problems = (violation(item, items, root, f"{at}[{index}]") for index, item in enumerate(value))
    return next((problem for problem in problems if problem), "")
