"""Cut text to a budget and fill in templates."""

from bisect import bisect_right
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import SandboxedEnvironment

from core.errors import ExpectedError

EVENNESS = 0.95
"""Lower bound on the share of a text's tokens that a proportional share of its characters holds, as density varies."""


def elide(text: str, head: int, tail: int) -> tuple[str, int]:
    """Keep the first and last characters and replace the middle with a note of how much was omitted.

    Args:
        text: the text to shorten.
        head: characters to keep at the start.
        tail: characters to keep at the end.

    Returns:
        The shortened text and the number of characters omitted.
    """
    omitted = len(text) - head - tail
    if omitted <= 0:
        return text, 0
    return f"{text[:head]}\n[... {omitted} characters omitted ...]\n{text[len(text) - tail :]}", omitted


def cut(text: str, limit: int) -> str:
    """Cut the middle out of a text longer than `limit` characters; the result, note included, stays within it."""
    if len(text) <= limit:
        return text
    room = limit - len(f"\n[... {len(text)} characters omitted ...]\n")
    if room < 2:
        return text[: max(limit, 0)]
    return elide(text, (room + 1) // 2, room // 2)[0]


def on_one_line(text: str) -> str:
    """Join the lines of a text; blanks within a line stay, since they may matter in code and in what tests print."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def smaller(budget: int, size: Callable[[int], int], share: float | None, *, least: int) -> int:
    """Choose the next budget for a request that exceeded its model's context.

    Args:
        budget: characters allowed so far for the texts that can be cut.
        size: characters of the whole request by budget; must not decrease as the budget grows.
        share: fraction of the request's tokens that fits; None if unknown, in which case the budget is halved.
        least: smallest useful budget, in characters.

    Returns:
        The new budget in characters, or 0 if no budget of at least `least` would fit.
    """
    if share is None:
        return budget // 2 if budget // 2 >= least else 0
    most = int(size(budget) * share * EVENNESS)
    fitting = bisect_right(range(least, budget), most, key=size)
    return least + fitting - 1 if fitting else 0


class TemplateFault(ExpectedError, ValueError):
    """A template is malformed, uses an unknown variable, or attempts something forbidden."""


def fill(template: str, **values: Any) -> str:
    """Render a Jinja2 template. Values are inserted verbatim and never rendered themselves.

    Raises:
        TemplateFault: the template is malformed, uses an unknown variable, or applies an invalid operation to a value.
    """
    try:
        return _compiled(template).render(values)
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise TemplateFault(f"the template {template[:80]!r} cannot be filled in: {error}") from error


def checked_template(text: str, known: Collection[str]) -> str:
    """Return the template if it parses and uses only known variables.

    Raises:
        TemplateFault: it is malformed or uses an unknown variable.
    """
    try:
        used = meta.find_undeclared_variables(_environment().parse(text))
    except jinja2.TemplateSyntaxError as error:
        raise TemplateFault(f"broken template: {error}") from error
    if not used <= set(known):
        raise TemplateFault(f"unknown variables {sorted(used - set(known))}; known: {sorted(known)}")
    return text


def _environment() -> SandboxedEnvironment:
    """The Jinja environment for prompts and messages: plain text, no HTML escaping, no access to Python."""
    return SandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )


@lru_cache(maxsize=64)
def _compiled(template: str) -> jinja2.Template:
    return _environment().from_string(template)
