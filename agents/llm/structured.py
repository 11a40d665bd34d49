"""Replies that must satisfy a JSON schema, for servers that cannot be told so and for models that slip."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agents.llm.base import Message, ResponseSchema

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
    return [*messages, reply, {"role": "user", "content": request}]


def extract(content: str, schema: Mapping[str, Any]) -> tuple[str | None, str]:
    """The JSON text in a reply that satisfies a schema, fences and prose around it removed.

    Returns:
        The text and an empty problem, or None and what is wrong.
    """
    start, end = content.find("{"), content.rfind("}")
    if start < 0 or end < start:
        return None, "it has no JSON object"
    found = content[start : end + 1]
    try:
        value = json.loads(found)
    except (ValueError, RecursionError) as error:
        return None, f"it is not valid JSON ({error})"
    problem = violation(value, schema)
    return (None, problem) if problem else (found, "")


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
    types = _TYPES.get(schema.get("type", ""), (object,))
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types and object not in types):
        return f"{at} must be of type {schema['type']}"
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
