"""Rendering."""

import re

from templates.errors import TemplateError
from templates.lookup import lookup

_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}")


def render(template, **values):
    """Fill in every `{{ name }}`."""
    if template.count("{{") != template.count("}}"):
        raise TemplateError("a placeholder is not closed")
    return _PLACEHOLDER.sub(lambda found: _value(found[1].strip(), values), template)


def _value(expression, values):
    if not expression:
        raise TemplateError("an empty placeholder")
    value = lookup(values, expression)
    return "" if value is None else str(value)
