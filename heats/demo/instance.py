"""Coerces a value into the form that a JSON schema requires; without a value, makes the smallest instance."""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_EMPTY: Mapping[str, Any] = {"object": {}, "array": [], "string": "", "integer": 0, "number": 0, "boolean": False}


def fitted(value: Any, schema: Schema, root: Schema | None = None) -> Any:
    """`value`, truncated, completed and coerced to satisfy `schema`, as far as its keywords are common ones.

    Args:
        value: the value; None for nothing in particular.
        schema: the schema.
        root: where `$ref` is resolved; the schema itself by default.
    """
    root = root or schema
    schema = _resolved(schema, root)
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return fitted(value, _chosen(value, schema[keyword], root), root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return value if value in schema["enum"] else schema["enum"][0]
    kind = schema.get("type") or ("object" if "properties" in schema else None)
    if isinstance(kind, list):
        kind = next((name for name in kind if _is(value, name)), kind[0])
    if not isinstance(kind, str) or kind == "null":
        return None if kind == "null" else value
    if not _is(value, kind):
        value = schema.get("default") if _is(schema.get("default"), kind) else _EMPTY[kind]
    match kind:
        case "object":
            return _object(value, schema, root)
        case "array":
            return _array(value, schema, root)
        case "string":
            return _string(value, schema)
        case "integer" | "number":
            value = max(value, schema.get("minimum", value))
            return min(value, schema.get("maximum", value))
    return value


def _resolved(schema: Schema, root: Schema) -> Schema:
    seen = 0
    while "$ref" in schema and seen < 20:
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target.get(part, {})
        schema, seen = target, seen + 1
    return schema


def _is(value: Any, kind: str) -> bool:
    types: Mapping[str, Any] = {
        "object": Mapping,
        "array": (list, tuple),
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    if kind in ("integer", "number") and isinstance(value, bool):
        return False
    return kind in types and isinstance(value, types[kind])


def _chosen(value: Any, options: list[Schema], root: Schema) -> Schema:
    resolved = [_resolved(option, root) for option in options]
    fits = (option for option in resolved if _is(value, str(option.get("type", "object"))))
    return next(fits, resolved[0])


def _object(value: Mapping[str, Any], schema: Schema, root: Schema) -> dict[str, Any]:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    required = set(schema.get("required", ()))
    wanted = [name for name in properties if name in value or name in required]
    return {name: fitted(value.get(name), properties[name], root) for name in wanted}


def _array(value: Any, schema: Schema, root: Schema) -> list[Any]:
    items = list(value)[: schema.get("maxItems", len(value))]
    items += [None] * (schema.get("minItems", 0) - len(items))
    return [fitted(item, schema.get("items", {}), root) for item in items]


def _string(value: str, schema: Schema) -> str:
    limit = schema.get("maxLength")
    if limit is not None and len(value) > limit:
        value = value[: max(limit - 1, 0)] + "…"[:limit]
    return value.ljust(schema.get("minLength", 0), ".")
