"""A trajectory in the room that a request has: what the attempt did is kept whole, what it only looked at is cut first.

All parts of one kind are cut to the same length, the greatest that fits. Commands, edits among them, come first, then
the attempt's own words, the outputs of what it ran, of which the end matters most, and last what it read.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from agents.trajectory import Trajectory
from core.text import cut
from summarizer.shell import pipelines
from summarizer.view import parts_of

Kind = Literal["command", "words", "result", "look"]

_WEIGHTS: dict[Kind, int] = {"command": 30, "words": 5, "result": 6, "look": 1}
_LEAST = 60
"""Characters of a cut text of weight 1: with less, what is left says nothing, and the attempt is told in parts."""
_REPEATED = 200
_HEADER = re.compile(r"\A(?:exit code (?:0|\d+)\n)?output:\n")


@dataclass(frozen=True, slots=True)
class Part:
    """One text of a step."""

    step: int
    kind: Kind
    text: str

    def shown(self, scale: int) -> str:
        """The text in its share of the room."""
        return shortened(self.text, _WEIGHTS[self.kind] * scale, 0.25 if self.kind == "result" else 0.6)


def windows_of(trajectory: Trajectory, room: int, window: int, *, statement: bool) -> tuple[str, ...]:
    """The attempt as text, in as few requests as possible.

    Args:
        room: characters for the whole of it, as far as nothing becomes too short.
        window: characters of one request.
        statement: the task is told beside it, so that the messages before the agent's first step are left out.

    Returns:
        One text for each request; consecutive parts of the attempt, at least one.
    """
    parts = tuple(_parts(trajectory, statement=statement))
    groups = _grouped(parts, window)
    share = max(min(room, window * len(groups)) // len(groups), _LEAST)
    return tuple(cut(_fitted(group, min(share, window)), window) for group in groups)


def shortened(text: str, limit: int, head: float = 0.5) -> str:
    """A text of about `limit` characters: a little more is not cut. `head` is the share that its beginning gets."""
    limit = max(limit, _LEAST)
    if len(text) <= 1.2 * limit + 30:
        return text
    first = int(limit * head)
    return f"{text[:first]}\n[{len(text) - limit} characters omitted]\n{text[len(text) - (limit - first) :]}"


def _parts(trajectory: Trajectory, *, statement: bool) -> Iterator[Part]:
    started = not statement
    seen: dict[str, int] = {}
    for step in trajectory.steps:
        started = started or step.source == "agent"
        if step.source == "system" or not started:
            continue
        kind: Kind = "words"
        for what, text in parts_of(step):
            if what == "words":
                yield Part(step.id, "words", text)
            elif what == "command":
                kind = "result" if _runs_something(text) else "look"
                yield Part(step.id, "command", text)
            elif len(text) > _REPEATED and text in seen:
                yield Part(step.id, kind, f"(the same output as in step {seen[text]})")
            else:
                seen[text] = step.id
                yield Part(step.id, kind, _HEADER.sub("", text))


def _runs_something(command: str) -> bool:
    return any(line.kind in ("tests", "program") for line in pipelines(command.partition("): ")[2]))


def _grouped(parts: Sequence[Part], window: int) -> list[Sequence[Part]]:
    """Consecutive parts that fit a request when they are cut as short as they may be; no step is torn apart."""
    groups: list[list[Part]] = [[]]
    size = 0
    for step in _by_step(parts):
        length = sum(len(part.shown(_LEAST)) + 2 for part in step)
        if groups[-1] and size + length > window:
            groups.append([])
            size = 0
        groups[-1] += step
        size += length
    return list(groups)


def _by_step(parts: Iterable[Part]) -> Iterator[list[Part]]:
    step: list[Part] = []
    for part in parts:
        if step and step[-1].step != part.step:
            yield step
            step = []
        step.append(part)
    if step:
        yield step


def _fitted(parts: Sequence[Part], room: int) -> str:
    """The parts as one text of about `room` characters, longer where they would become too short, never by much."""

    def text(scale: int) -> str:
        return "\n\n".join("\n".join(part.shown(scale) for part in step) for step in _by_step(parts))

    scale = largest(lambda scale: len(text(scale)) <= room, _LEAST, max(room, _LEAST))
    return text(scale)


def largest(fits: Callable[[int], bool], low: int, high: int) -> int:
    """The largest number from `low` to `high` that fits, where smaller ones fit too; `low` if none does."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
