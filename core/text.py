"""Cutting text to a budget, and filling templates."""

from bisect import bisect_right
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import SandboxedEnvironment

from core.errors import ExpectedError

EVENNESS = 0.95
"""Share of a text's tokens that a share of its characters is sure to hold: tokens are not spread evenly."""


def elide(text: str, head: int, tail: int) -> tuple[str, int]:
    """Keep the first `head` and the last `tail` characters and state the cut between them.

    Returns:
        The text, and how many characters were left out.
    """
    omitted = len(text) - head - tail
    if omitted <= 0:
        return text, 0
    return f"{text[:head]}\n[... {omitted} characters omitted ...]\n{text[len(text) - tail :]}", omitted


def cut(text: str, limit: int) -> str:
    """Cut the middle out of a text that is longer than `limit` characters; what is left, note included, keeps to it."""
    if len(text) <= limit:
        return text
    room = limit - len(f"\n[... {len(text)} characters omitted ...]\n")
    if room < 2:
        return text[: max(limit, 0)]
    return elide(text, (room + 1) // 2, room // 2)[0]


def smaller(budget: int, size: Callable[[int], int], share: float | None, *, least: int) -> int:
    """The next budget for a request that did not fit its model's context.

    Args:
        budget: characters allowed so far to the texts that can be cut.
        size: characters of the whole request by budget; never falls as the budget grows.
        share: part of the request's tokens that fits; None where nobody counted, and half the budget is tried.
        least: smallest budget that is of any use, in characters.

    Returns:
        Characters; 0 where no budget from `least` on would fit.
    """
    if share is None:
        return budget // 2 if budget // 2 >= least else 0
    most = int(size(budget) * share * EVENNESS)
    fitting = bisect_right(range(least, budget), most, key=size)
    return least + fitting - 1 if fitting else 0


class TemplateFault(ExpectedError, ValueError):
    """A template is broken, names a variable that it is not given, or does what it may not."""


def fill(template: str, **values: Any) -> str:
    """Render a Jinja2 template. Values are inserted as they are and never rendered themselves.

    Raises:
        TemplateFault: the template is broken, names an unknown value, or cannot do with a value what it wants to.
    """
    try:
        return _compiled(template).render(values)
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise TemplateFault(f"the template {template[:80]!r} cannot be filled in: {error}") from error


def checked_template(text: str, known: Collection[str]) -> str:
    """The template itself, if it can be read and names only variables that it will be given.

    Raises:
        TemplateFault: it is broken, or names an unknown variable.
    """
    try:
        used = meta.find_undeclared_variables(_environment().parse(text))
    except jinja2.TemplateSyntaxError as error:
        raise TemplateFault(f"broken template: {error}") from error
    if not used <= set(known):
        raise TemplateFault(f"unknown variables {sorted(used - set(known))}; known: {sorted(known)}")
    return text


def _environment() -> SandboxedEnvironment:
    """What templates of prompts and messages are read with: plain text, no HTML, and no way into Python."""
    return SandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )


@lru_cache(maxsize=64)
def _compiled(template: str) -> jinja2.Template:
    return _environment().from_string(template)
