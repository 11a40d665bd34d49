"""Fit a trajectory into a request: what the agent did is kept whole, what it merely read is cut first.

All parts of one kind are cut to the same length, the largest that fits. Commands, including edits, have priority; then
the agent's own words, the output of what it ran, mainly its end, and finally what it read.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from agents.trajectory import Trajectory
from core.text import cut
from summarizer.results import failing_in, results_in
from summarizer.shell import pipelines
from summarizer.view import parts_of

Kind = Literal["command", "words", "result", "look"]

_WEIGHTS: dict[Kind, int] = {"command": 30, "words": 5, "result": 6, "look": 1}
_LEAST = 30
"""Minimum characters of a cut text of weight 1. Less is useless, so the trajectory is split into parts instead."""
_SHORTEST = 60
_WORTH_CUTTING = 250
"""Characters that have to be gained, so that no few words are lost to a note of nearly the same length."""
_NAMED = 6
_REPEATED = 200
_REPEATED_LINES = 3
_HEADER = re.compile(r"\A(?:exit code (?:0|\d+)\n)?output:\n")


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of text in a step; `reports` say how the test runs in it ended and what failed: no cut removes them."""

    step: int
    kind: Kind
    text: str
    reports: tuple[str, ...] = ()

    def shown(self, scale: int) -> str:
        """The text, cut to its share of the space."""
        text = shortened(self.text, _WEIGHTS[self.kind] * scale, 0.25 if self.kind == "result" else 0.6)
        lost = "; ".join(dict.fromkeys(report for report in self.reports if report not in text))
        return text.replace(" characters omitted]", f" characters omitted, among them: {lost}]", 1) if lost else text


def windows_of(
    trajectory: Trajectory, room: int, window: int, *, statement: bool, diff: Collection[str] = ()
) -> tuple[str, ...]:
    """Render a trajectory as text for as few requests as possible.

    Args:
        trajectory: the rollout's trajectory.
        room: target size of all texts together, in characters; exceeded where parts would become too short.
        window: maximum characters of one request.
        statement: whether the request states the task separately, so that messages before the agent's first step are
            omitted.
        diff: lines of code, without indentation, that the request shows in its diff; commands do not repeat them.

    Returns:
        Consecutive parts of the trajectory, one per request; at least one.
    """
    parts = tuple(_parts(trajectory, statement=statement, diff=frozenset(diff)))
    groups = _grouped(parts, window)
    share = max(min(room, window * len(groups)) // len(groups), _LEAST)
    return tuple(cut(_fitted(group, min(share, window)), window) for group in groups)


def shortened(text: str, limit: int, head: float = 0.5) -> str:
    """Shorten a text to about `limit` characters; a slightly longer text is left alone.

    Args:
        text: the text to shorten.
        limit: target length in characters.
        head: fraction of it that the beginning gets.
    """
    limit = max(limit, _SHORTEST)
    if len(text) <= 1.2 * limit + _WORTH_CUTTING:
        return text
    first = int(limit * head)
    return f"{text[:first]}\n[{len(text) - limit} characters omitted]\n{text[len(text) - (limit - first) :]}"


def _parts(trajectory: Trajectory, *, statement: bool, diff: Collection[str]) -> Iterator[Part]:
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
                yield Part(step.id, "command", _without_diff(text, diff))
            elif len(text) > _REPEATED and text in seen:
                yield Part(step.id, kind, f"(the same output as in step {seen[text]})")
            else:
                seen[text] = step.id
                reports = _reports(text) if kind == "result" else ()
                yield Part(step.id, kind, _HEADER.sub("", text), reports)


def _reports(output: str) -> tuple[str, ...]:
    """The last summary lines of test runs, and the ids of a few tests that failed."""
    return (*(one.text for one in results_in(output)[-3:]), *sorted(failing_in(output))[:_NAMED])


def _without_diff(command: str, diff: Collection[str]) -> str:
    """The command with a note in place of each block of lines that the diff shows."""
    shown = []
    for repeats, block in groupby(command.split("\n"), key=lambda line: line.strip() in diff):
        lines = list(block)
        repeats = repeats and sum(map(bool, map(str.strip, lines))) >= _REPEATED_LINES
        shown += [f"[{len(lines)} lines as in the diff]"] if repeats else lines
    return "\n".join(shown)


def _runs_something(command: str) -> bool:
    return any(line.kind in ("tests", "program") for line in pipelines(command.partition("): ")[2]))


def _grouped(parts: Sequence[Part], window: int) -> list[Sequence[Part]]:
    """Group consecutive parts that fit one request at minimum length, without splitting a step."""
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
    """Join the parts into about `room` characters, or slightly more if they would become too short."""

    def text(scale: int) -> str:
        return "\n\n".join("\n".join(part.shown(scale) for part in step) for step in _by_step(parts))

    scale = largest(lambda scale: len(text(scale)) <= room, _LEAST, max(room, _LEAST))
    return text(scale)


def largest(fits: Callable[[int], bool], low: int, high: int) -> int:
    """Binary search for the largest number that fits.

    Args:
        fits: predicate; if it holds for a number, it holds for all smaller ones.
        low: smallest candidate, returned if none fits.
        high: largest candidate.
    """
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
