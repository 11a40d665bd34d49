"""Split a recorded command into runs, each with its report and the tree state it ran on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from summarizer.record import Ran
from summarizer.results import Result, results_in
from summarizer.shell import Pipeline, Tree, pipelines

State = Literal["clean", "failing", "empty", "silent"]

_SHOWS_FILES = re.compile(r"^(?:cat|head|tail|less|more|grep|rg|sed|awk|nl)\b|^git (?:diff|show|log)\b")
_STATUS = re.compile(r"\$\{?\?\}?|\$\{PIPESTATUS\[0\]\}")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of tests or of another program.

    Attributes:
        command: text of its pipeline; empty for a report that cannot be attributed to one pipeline.
        tree: None if the call does not tell.
        exit_code: None if hidden or belonging to something else.
        checks: whether exit code 0 would mean that a check passed.
        tests: whether it runs tests.
        result: what a test runner reported.
    """

    command: str
    tree: Tree | None
    exit_code: int | None
    checks: bool
    tests: bool
    result: Result | None = None

    @property
    def state(self) -> State:
        """How it ended; `silent` if only its output could tell."""
        if self.result is not None:
            if self.result.clean and self.tests and self.command and self.exit_code not in (0, None):
                return "silent"  # for example, a coverage threshold was not reached
            return "empty" if self.result.empty else "clean" if self.result.clean else "failing"
        if not self.tests or self.exit_code is None:
            return "silent"
        if self.exit_code == 0:
            return "clean"
        return "failing"

    @property
    def sure(self) -> bool:
        """Whether the state is certain, from the runner's own report or the run's own exit code."""
        return self.result is not None or self.exit_code is not None

    @property
    def text(self) -> str:
        """A short quotable account of how it ended."""
        if self.result is not None:
            return self.result.text.strip("= ")[:120]
        return "no end that was recorded" if self.exit_code is None else f"exit {self.exit_code}"

    def counts_in(self, finding: str) -> bool:
        """Return whether a finding states this run's counts."""
        if self.result is None:
            return False
        counts: list[tuple[int | None, str]]
        counts = [(int(count), word) for count, word in re.findall(r"\b(\d+) (pass|fail|error)", self.result.text)]
        counts = counts or [(self.result.passed, "pass"), (self.result.failed, "fail|error")]
        stated = [re.search(rf"\b{count}\b[^\d.;]{{0,20}}?(?:{word})", finding) for count, word in counts if count]
        return bool(stated) and all(stated)

    def other_number_in(self, finding: str) -> bool:
        """Return whether a finding states a different number of passed tests than this run reports."""
        if self.result is None or not self.result.passed:
            return False
        stated = {int(number) for number in re.findall(r"\b(\d+) (?:tests? )?pass", finding)}
        return bool(stated) and self.result.passed not in stated


def runs_in(ran: Ran) -> tuple[Run, ...]:
    """Identify the runs in a recorded command; none if it only prints existing content.

    A report belongs to the only command that runs tests, or to the only program if none does. Reports that cannot be
    attributed become runs of unknown origin.
    """
    lines = pipelines(ran.command)
    active = [line for line in lines if line.kind in ("tests", "program")]
    made = {line: _run(line, lines, ran) for line in active}
    reporting = [line for line in active if line.kind == "tests"] or active
    found = results_in(ran.output) if active else ()
    looped = any(line.looped for line in reporting)
    if len(reporting) == 1 and not looped:
        after = lines[lines.index(reporting[0]) + 1 :]
        if found and (len(found) < 2 or not any(_SHOWS_FILES.match(line.text) for line in after)):
            made[reporting[0]] = replace(made[reporting[0]], result=found[-1])
            return tuple(made.values())
    elif len(reporting) == len(found) and not looped:
        made |= {line: replace(made[line], result=result) for line, result in zip(reporting, found, strict=True)}
        return tuple(made.values())
    if not found:
        return tuple(made.values())
    return tuple(Run("", None, None, checks=False, tests=True, result=result) for result in found)


def _run(line: Pipeline, lines: Sequence[Pipeline], ran: Ran) -> Run:
    return Run(
        command=line.text,
        tree=line.tree,
        exit_code=_exit_of(line, lines, ran),
        checks=line.exit_means_something or "assert" in ran.command,
        tests=line.kind == "tests",
    )


def _exit_of(line: Pipeline, lines: Sequence[Pipeline], ran: Ran) -> int | None:
    """Exit code of one pipeline, if the record reveals it."""
    at = lines.index(line)
    follower = lines[at + 1] if at + 1 < len(lines) else None
    if follower is not None and (status := _STATUS.search(follower.text)) and follower.text.startswith("echo"):
        if line.hides_exit and "PIPESTATUS" not in status[0]:
            return None
        return _echoed(follower, [one for one in lines if one.text == follower.text], ran.output)
    if line.hides_exit or line.looped or ran.exit_code is None:
        return None
    if follower is None:
        return ran.exit_code
    chained = all(one.operator == "&&" for one in lines[at:-1])
    stops = any(re.match(r"set -\w*e", one.text) for one in lines[:at])
    return 0 if ran.exit_code == 0 and (chained or stops) else None


def _echoed(echo: Pipeline, alike: Sequence[Pipeline], output: str) -> int | None:
    """The number that an `echo "exit $?"` shows."""
    words = re.sub(r"^echo\s+(?:-\w+\s+)?", "", echo.text).replace('"', "").replace("'", "")
    pattern = r"(\d+)".join(re.escape(part) for part in _STATUS.split(words)).replace(r"\ ", r"\s+")
    numbers = re.findall(rf"(?m)^{pattern}\s*$", output)
    return int(numbers[alike.index(echo)]) if len(numbers) == len(alike) else None
