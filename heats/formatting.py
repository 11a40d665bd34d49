"""Format figures for display: the same in terminals, Markdown and HTML."""

import json
import re
import shutil
from collections.abc import Collection, Sequence

from agents.llm.ledger import Usage
from agents.trajectory import Exit, ExitKind
from core.ids import RolloutId
from envs.base import TestReport
from tournament.base import Match

STATUS_WORDS = {
    "verified": "verified",
    "passes": "passes, not verified",
    "unverified": "not verified",
    "solved": "solved",
    "not_solved": "not solved",
    "no_patch": "no patch",
    "error": "infrastructure failed",
    "budget": "budget exhausted",
    "running": "not finished",
}
"""A task's status in words; `solved` and `not_solved` are the hidden tests' verdict on the choice."""

INFRASTRUCTURE_EXITS: tuple[ExitKind, ...] = ("model_error", "sandbox_lost")
"""Exits that say nothing about the attempt: the model or the machine failed."""


def count(number: float) -> str:
    """A count: `950`, `12.3 k`, `4.56 M`."""
    if abs(number) >= 1e4:
        shown = float(f"{number:.3g}")  # rounded first, or 999,600 would become `1e+03 k`
        size, unit = next(one for one in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if abs(shown) >= one[0])
        return f"{shown / size:.4g} {unit}"
    return f"{number:g}" if number == int(number) else f"{number:.1f}"


def percent(share: float | None) -> str:
    """A fraction as `66.7 %`; a dash if it is unknown."""
    return "\u2013" if share is None else f"{share * 100:.1f} %"


def money(amount: float) -> str:
    """US dollars: two decimals, or four for less than a cent."""
    return f"${amount:,.2f}" if amount >= 0.1 or amount == 0 else f"${amount:.4f}"


def duration(seconds: float) -> str:
    """A time span: `4.2 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def clock(seconds: float) -> str:
    """Elapsed time: `1:07`, `2:03:44`."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def size(amount: float) -> str:
    """Bytes: `412 B`, `3.2 kB`, `51.0 MB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if amount >= factor:
            return f"{amount / factor:.1f} {unit}"
    return f"{int(amount)} B"


def several(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 step`, `3 steps`, `2 matches`.

    Args:
        number: the count.
        noun: the singular.
        plural: the plural, if it is not formed with -s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def votes(number: float) -> str:
    """Votes for a candidate, `5`, or the sum of a judge's probabilities over the orders, `1.62`."""
    return f"{number:.2f}" if number != int(number) else f"{int(number)}"


def decision(match: Match) -> str:
    """How a match was decided if not by its votes alone; empty if votes decided."""
    return {
        "evidence": "by evidence",
        "bye": "no opponent",
        "tie-break": "a tie, settled by tie-breaks",
        "unheard": "no vote could be read, so the winner was chosen at random",
        "votes": "",
        "critic": "by the critic",
    }[match.decided_by]


def spent(usage: Usage) -> str:
    """A ledger's totals, on one line."""
    cached = f", {percent(usage.cached_tokens / usage.prompt_tokens)} cached" if usage.cached_tokens else ""
    parts = [several(usage.calls, "call"), f"{count(usage.tokens)} tokens{cached}", money(usage.cost_usd)]
    if usage.sandbox_s >= 1:
        parts.append(f"{duration(usage.sandbox_s)} of sandboxes for evidence")
    return " \u00b7 ".join(parts)


def tests(report: TestReport | None) -> str:
    """Result of a test run: `failed: 3 failed, 5 passed`."""
    if report is None:
        return "not run"
    found = [(len(report.ids("failed", "error")), "failed"), (len(report.ids("passed")), "passed")]
    counts = ", ".join(f"{number} {word}" for number, word in found if number)
    code = f"exit code {report.exit_code}" if report.exit_code is not None else ""
    return f"{report.status}: {counts or code}" if counts or code else report.status


def ending(exit: Exit | ExitKind | None) -> str:
    """How a rollout ended, in words."""
    kind = exit.kind if isinstance(exit, Exit) else exit
    return "no attempt could be made" if kind is None else kind.replace("_", " ")


def short(rollout: str) -> str:
    """`heat-0/rollout-03` as `0/03`, for tight spaces."""
    return RolloutId.parse(rollout).short if RolloutId.matches(rollout) else rollout


def command(arguments: str) -> str:
    """The command in a tool call's arguments, complete or truncated; the raw arguments if there is no command."""
    try:
        read = json.loads(arguments)
        found = read.get("command") if isinstance(read, dict) else None
    except (ValueError, RecursionError):
        found = None
        start = _CUT_COMMAND.match(arguments)
        if start is not None:
            found = json.loads(f'"{start[1]}"', strict=False)
    return found if isinstance(found, str) else arguments


_CUT_COMMAND = re.compile(r'\s*\{\s*"command"\s*:\s*"((?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)')


_ROOM = 120
"""Columns of a line written to a file or a pipe."""
_LEAST = 8


def columns() -> int:
    """Maximum width of a printed table: the terminal's width, or 120."""
    return max(shutil.get_terminal_size((_ROOM, 24)).columns, 40)


def aligned(
    rows: Sequence[Sequence[str]],
    width: int,
    *,
    right: Collection[int] = (),
    cut: Sequence[int] = (),
    middle: Collection[int] = (),
    drop: Sequence[str] = (),
) -> list[str]:
    """Format rows as lines of at most `width` characters, with two spaces between columns; the first row is the header.

    Args:
        rows: cells of each row, header first.
        width: maximum line length in characters.
        right: indexes of right-aligned columns.
        cut: indexes of columns that may be shortened, in order of preference.
        middle: columns to shorten in the middle, such as paths, whose ends matter most.
        drop: prefixes of column names that may be dropped, in order of preference; a last line names the dropped ones.
    """
    shown = list(range(len(rows[0])))
    widths = [max(len(row[place]) for row in rows) for place in shown]
    gone: list[str] = []

    def excess() -> int:
        return sum(widths[place] + 2 for place in shown) - 2 - width

    def shorten(least: int) -> None:
        for place in cut:
            if excess() > 0 and place in shown:
                widths[place] = min(widths[place], max(widths[place] - excess(), least, len(rows[0][place])))

    shorten(3 * _LEAST)
    for name in drop:
        for place in [one for one in shown if rows[0][one].startswith(name)]:
            if excess() > 0:
                shown.remove(place)
                gone.append(rows[0][place])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    shorten(3 * _LEAST)
    shorten(_LEAST)
    lines = []
    for row in rows:
        cells = [
            _cell(_cut(row[place], widths[place], place in middle), widths[place], place in right) for place in shown
        ]
        lines.append("  ".join(cells).rstrip())
    return [*lines, f"(not shown: {', '.join(gone)})"] if gone else lines


def _cut(text: str, width: int, middle: bool) -> str:
    if len(text) <= width:
        return text
    tail = 2 * (width - 1) // 3 if middle else 0
    return f"{text[: max(width - 1 - tail, 0)]}\u2026{text[len(text) - tail :]}"


def _cell(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)
