"""Parses reply text: separates the answer from the thinking, extracts JSON objects and detects repetition loops.

Servers without a reasoning parser leave the model's thinking in the content, and models wrap requested JSON in fences
and prose. All functions here do a bounded amount of work on replies of any size and nesting depth.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_NAMES = "think|thinking|thought|reasoning|analysis|seed:think"
_TAG = re.compile(
    rf"(?P<opens><(?:{_NAMES})>|\[THINK\]|◁think▷|<\|START_THINKING\|>|<\|begin_of_thought\|>"
    r"|<\|channel\|>\s*(?:analysis|thought)\b[^<]{0,80}(?:<\|message\|>)?)"
    rf"|(?P<closes></(?:{_NAMES})>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>|<\|end_of_thought\|>"
    r"|<\|channel\|>\s*(?:final|commentary(?!\s+to=))\b[^<]{0,80}(?:<\|constrain\|>[^<]{0,20})?(?:<\|message\|>)?)"
    r"|(?P<ends><\|(?:end|return|call)\|>)",
    re.IGNORECASE,
)
_FENCED = re.compile(r"^[ \t]*```[^\n`]*\n.*?^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
_FENCED_OR_TAG = re.compile(f"(?P<fenced>{_FENCED.pattern})|{_TAG.pattern}", re.DOTALL | re.MULTILINE | re.IGNORECASE)
_BRACE_OR_TAG = re.compile(rf"(?P<brace>\{{(?=\s*[\"}}]))|{_TAG.pattern}", re.IGNORECASE)
_TOKEN = re.compile(r"<\|[^|<>\s]{1,40}\|>|<｜[^｜<>\s]{1,40}｜>|</?s>|\[(?:TOOL_CALLS|ARGS|CALL_ID)\]")
_LONGEST = 400_000
"""Maximum number of characters searched for JSON; the middle of a longer text is skipped."""
_EFFORT, _TRY_COST, _DEEP_COST = 4_000_000, 2_000, 20_000
"""Budget in characters, and the surcharges for a brace that does not start an object, on top of what was read."""
_LOOP_TAIL, _LOOP_PERIOD, _LOOP_COUNT, _LOOP_CHARS = 12_000, 1_500, 8, 64


@dataclass(slots=True)
class Objects:
    """The complete JSON objects in a text, in order.

    Attributes:
        answer: objects outside thinking; `thinking` holds those inside it, `unfinished` those in unclosed thinking.
        problem: the problem with the last brace that does not start an object; empty if there is none.
        prose: whether the answer contains anything besides objects, white space, fences and control tokens.
    """

    answer: list[Any] = field(default_factory=list)
    thinking: list[Any] = field(default_factory=list)
    unfinished: list[Any] = field(default_factory=list)
    problem: str = ""
    prose: bool = False


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(strict=False, parse_constant=_no_constant)
"""Accepts raw line breaks in strings, which models write and whose meaning is unambiguous."""


def json_objects(text: str) -> Objects:
    """Find every complete JSON object in a text.

    A tag inside a string of an object is part of the string. Everything before an unmatched closing tag is thinking,
    since chat templates often end with the opening tag.
    """
    found, at, inside, effort = Objects(), 0, False, _EFFORT
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}\n{text[-_LONGEST // 2 :]}"
    prose: list[str] = []
    while match := _BRACE_OR_TAG.search(text, at):
        if not inside:
            prose.append(text[at : match.start()])
        at = match.end()
        if match["brace"]:
            value, end, problem = decoded(text, match.start())
            effort -= end - match.start() + (0 if isinstance(value, dict) else _TRY_COST)
            if isinstance(value, dict):
                (found.unfinished if inside else found.answer).append(value)
                at = end
            elif not inside:
                found.problem = problem
                prose.append("{")
            if effort < 0:
                break
        elif match["opens"]:
            inside = True
        elif match["closes"]:
            found.thinking += found.unfinished if inside else found.answer
            found.unfinished.clear()
            if not inside:
                found.answer.clear()
                prose.clear()
            inside = False
        elif inside:  # the end of a message ends its channel
            found.thinking += found.unfinished
            found.unfinished.clear()
            inside = False
    if not inside:
        prose.append(text[at:])
    found.prose = bool(re.sub(r"```\w*|\s", "", _TOKEN.sub("", "".join(prose))))
    return found


def decoded(text: str, start: int) -> tuple[Any, int, str]:
    """Decode the value at `start`; returns it and its end, or None, the position where decoding stopped, and why."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        return None, error.pos, f"{error.msg}: line {error.lineno} column {error.colno}"
    except ValueError as error:
        return None, start, str(error)
    except RecursionError:
        return None, start + _DEEP_COST, "it is nested too deeply"
    return value, end, ""


def answer_text(text: str) -> str:
    """Strip the thinking from a text. Tags inside a fenced block are part of the block.

    Unclosed thinking is removed only if text precedes it; otherwise the whole text is the answer.
    """
    kept: list[str] = []
    at, inside = 0, False
    for match in _FENCED_OR_TAG.finditer(text):
        if match["fenced"] is not None and not inside:
            continue
        if match["opens"] and not inside:
            kept.append(text[at : match.start()])
            inside, at = True, match.end()
        elif match["closes"]:
            if not inside:
                kept.clear()
            inside, at = False, match.end()
        elif match["ends"]:
            if not inside:
                kept.append(text[at : match.start()])
            inside, at = False, match.end()
    if not inside:
        kept.append(text[at:])
    answer = "".join(kept)
    return answer if answer.strip() or not inside else text[at:]


def without_tokens(text: str) -> str:
    """Remove control tokens such as `<|im_end|>` from a text."""
    return _TOKEN.sub("", text)


def pieces(text: str) -> Iterator[str]:
    """Yield the pieces of a text between its control tokens."""
    return (piece.strip() for piece in _TOKEN.split(text))


def loop_start(text: str) -> int | None:
    """Return the position at which the end of a text starts looping, or None.

    A tail is a loop if it repeats a piece of at most 1,500 characters at least eight times and spans at least 64
    characters. The position returned leaves two repetitions in place.
    """
    tail = text[-_LOOP_TAIL:][::-1]
    borders = [0] * len(tail)
    longest, period_of_longest = 0, 0
    for at in range(1, len(tail)):
        border = borders[at - 1]
        while border and tail[at] != tail[border]:
            border = borders[border - 1]
        borders[at] = border = border + (tail[at] == tail[border])
        period = at + 1 - border
        if period <= _LOOP_PERIOD and at + 1 >= max(_LOOP_COUNT * period, _LOOP_CHARS):
            longest, period_of_longest = at + 1, period
    if not longest:
        return None
    return len(text) - longest + 2 * period_of_longest
