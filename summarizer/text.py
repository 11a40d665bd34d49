"""Making untrusted text safe to show to a model, and cutting it to a budget.

What agents and tools print may hold terminal controls, invisible or direction-changing characters, and the markers
by which chat templates tell roles apart. `sanitise` makes all of them visible and powerless.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_SUSPECT = re.compile(r"[^\n\t\x20-\x7e]")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_ROLE_TAG = re.compile(
    r"<(/?(?:think|thinking|reasoning|tool_calls?|tool_response|tools|function_calls?|function_results?|invoke"
    r"|start_of_turn|end_of_turn|begin_of_text|end_of_text|system|assistant|user|human|bos|eos|pad|unk|s)"
    r"(?:[\s=][^<>\n]{0,80})?)>",
    re.IGNORECASE,
)
_BRACKETED = re.compile(
    r"\[(/?(?:INST|SYS|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|AVAILABLE_TOOLS|gMASK|THINK))\]"
)

EVENNESS = 0.95
"""Share of the characters that surely holds its share of the tokens: these are not spread evenly."""


def sanitise(text: str) -> str:
    """Show hidden characters as escapes and break chat-template markers; idempotent.

    Tabs and newlines stay, every other control, zero-width, direction, tag and private character becomes `\\uXXXX`;
    `<|x|>` becomes `<¦x¦>`, `<think>` becomes `‹think›`, `[INST]` becomes `⟦INST⟧`.
    """
    text = _ANSI.sub("", text.replace("\r\n", "\n"))
    text = _SUSPECT.sub(_visible, text)
    text = re.sub(r"<([|｜])|([|｜])>", lambda match: "<¦" if match[1] else "¦>", text)
    text = text.replace("<<SYS>>", "‹‹SYS››").replace("<</SYS>>", "‹‹/SYS››")
    return _BRACKETED.sub(r"⟦\1⟧", _ROLE_TAG.sub(r"‹\1›", text))


def _visible(match: re.Match[str]) -> str:
    char = match[0]
    hidden = unicodedata.category(char) in _HIDDEN_CATEGORIES or char in _FILLERS
    if hidden or 0xFE00 <= ord(char) <= 0xFE0F or 0xE0100 <= ord(char) <= 0xE01EF:
        return f"\\u{ord(char):04x}"
    return char


def cut(text: str, limit: int) -> str:
    """Keep head and tail of a text that is longer than `limit` characters, and say how much is left out."""
    if len(text) <= limit:
        return text
    room = limit - len(f"\n[{len(text)} characters omitted]\n")
    if room < 2:
        return text[: max(limit, 0)]
    head, tail = (room + 1) // 2, room // 2
    return f"{text[:head]}\n[{len(text) - room} characters omitted]\n{text[-tail:]}"


def smaller(budget: int, size: Callable[[int], int], share: float | None, *, least: int) -> int:
    """The next budget of a request that did not fit its model's context; 0 where none from `least` on would.

    Args:
        budget: characters that were allowed to the texts which can be cut.
        size: characters of the whole request by budget; never falls as the budget grows.
        share: part of the request's tokens that fits; None where nobody counted, and half the budget is tried.
    """
    if share is None:
        return budget // 2 if budget // 2 >= least else 0
    most = int(size(budget) * share * EVENNESS)
    fitting = bisect_right(range(least, budget), most, key=size)
    return least + fitting - 1 if fitting else 0


def fill(template: str, **values: object) -> str:
    """Render a Jinja2 template; values are inserted as they are and never rendered themselves.

    Raises:
        jinja2.TemplateError: a broken template or one that names an unknown value.
    """
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)
    return environment.from_string(template).render(**values)
