"""Finding values by dotted names."""

from templates.errors import TemplateError


def lookup(values, dotted):
    """Follow `a.b.c` through dictionaries and attributes."""
    current = values
    for part in dotted.split("."):
        if isinstance(current, dict) and part in current:
            current = current[part]
        elif not isinstance(current, dict) and hasattr(current, part):
            current = getattr(current, part)
        else:
            raise TemplateError(f"no value for {dotted}")
    return current
