"""Parse the output of test runners of other languages than Python, with the ids that SWE-bench Multilingual uses.

Most runners print a line for each test. If two tests share an id, the last one counts, as in the official grader.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping

from envs.base import TestOutcome

Parser = Callable[[str], dict[str, TestOutcome]]

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_ENDS: Mapping[str, TestOutcome] = {
    **dict.fromkeys(("PASS", "PASSED", "pass", "passed", "ok", "OK", ".", "✓", "✔"), "passed"),
    **dict.fromkeys(("FAIL", "FAILED", "ERR", "failed", "not ok", "err", "F", "✕", "×", "✘"), "failed"),
    **dict.fromkeys(("SKIP", "skip", "ignore", "ignored", "pending", "O", "○", "↓", "↩"), "skipped"),
    "E": "error",
}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in _ESCAPES.sub("", text).split("\n")]


def _a_line_each(pattern: str) -> Parser:
    """A parser of lines, from a pattern with the groups `end` and `name`."""
    compiled = re.compile(pattern)

    def parse(text: str) -> dict[str, TestOutcome]:
        found = [match for line in _lines(text) if (match := compiled.match(line))]
        return {match["name"]: _ENDS[match["end"]] for match in found}

    return parse


_go = _a_line_each(r"--- (?P<end>PASS|FAIL|SKIP): (?P<name>.+) \([^()]*\)$")
_cargo = _a_line_each(r"test +(?P<name>\S+) +\.\.\. +(?P<end>ok|FAILED|ignored)$")
_jest = _a_line_each(r"(?P<end>[✓✕○]) (?P<name>.+?)(?: \(\d+ *m?s\))?$")
_jest_json = _a_line_each(r"\[(?P<end>PASSED|FAILED)\] (?P<name>.+)$")
_vitest = _a_line_each(r"(?P<end>[✓×↓]) (?P<name>.+?)(?: (?:\d+ *m?s?|\[skipped\]))?$")
_tap = _a_line_each(r"(?P<end>ok|not ok) \d+ (?P<name>.+)$")
_google = _a_line_each(r"(?:[^\[]*)\[ *(?P<end>OK|FAILED) *\] (?P<name>.*) \([^()]*\)$")
_jq = _a_line_each(r"(?P<end>PASS|FAIL): (?P<name>.+)$")
_micropython = _a_line_each(r"(?P<end>pass|FAIL|skip) +(?P<name>.+)$")
_ant = _a_line_each(r"\[junit\] +\[(?P<end>PASS|FAIL|ERR)\] +(?P<name>.*)$")
_minitest = _a_line_each(r"(?P<name>.+)\. +=.*= (?P<end>[.FE])$")
_ruby_unit = _a_line_each(r"(?:test: )?(?P<name>.+):\s+(?P<end>\.|[EFO]\b)")
_rspec = _a_line_each(r"(?P<name>.+) - (?P<end>passed|failed|pending)$")
_redis_lines = _a_line_each(r"\[(?P<end>ok|err|skip|ignore)\]: (?P<name>.+?)(?: \(\d+ *m?s\))?$")


def _redis(text: str) -> dict[str, TestOutcome]:
    """Redis' own runner: after the name of a failed test, it prints the test's file."""
    return {
        name if end != "failed" else re.sub(r"\s+in\s+\S+$", "", name): end for name, end in _redis_lines(text).items()
    }


def _immutable(text: str) -> dict[str, TestOutcome]:
    """Immutable.js: one of two reporters, whose lines cannot be confused."""
    return _jest(text) | _jest_json(text)


def _maven(text: str) -> dict[str, TestOutcome]:
    """Maven, one build for each test: the shell's trace names it, and the build says how it ended.

    Trace and output may overtake each other, so tests and ends are matched by their order alone.
    """
    started: deque[str] = deque()
    ended: deque[TestOutcome] = deque()
    for line in _lines(text):
        if named := re.search(r"-Dtest=(\S+)", line):
            started.append(named[1])
        if line.endswith(("BUILD SUCCESS", "BUILD FAILURE")):
            ended.append("passed" if line.endswith("SUCCESS") else "failed")
    return dict(zip(started, ended, strict=False))


def _gradle(text: str) -> dict[str, TestOutcome]:
    """Gradle with a line for each test; other output may come between a test's name and its end."""
    tests: dict[str, TestOutcome] = {}
    unfinished = ""
    for line in _lines(text):
        name, _, end = line.rpartition(" ")
        if end in ("PASSED", "FAILED") and len(name.strip()) > 1 and not name.startswith(">"):
            tests[name.rstrip()], unfinished = _ENDS[end], ""
        elif line in ("PASSED", "FAILED") and unfinished:
            tests[unfinished], unfinished = _ENDS[line], ""
        elif re.match(r"[^>\s]\S*\s+>\s+\S+$", line):
            unfinished = line
    return tests


def _phpunit(text: str) -> dict[str, TestOutcome]:
    """PHPUnit with `--testdox`: tests below the name of their suite."""
    tests: dict[str, TestOutcome] = {}
    suite = ""
    for line in _ESCAPES.sub("", text).split("\n"):
        if titled := re.match(r"(\w.+) \(.+\)$", line.rstrip("\r")):
            suite = titled[1]
        elif ended := re.match(r"\s*([✔✘↩])\s*(.*)$", line.rstrip("\r")):
            tests[f"{suite} > {ended[2]}"] = _ENDS[ended[1]]
    return tests


PARSERS: Mapping[str, Parser] = {
    "gotest": _go,
    "cargo": _cargo,
    "jest": _jest,
    "jest_json": _jest_json,
    "vitest": _vitest,
    "tap": _tap,
    "immutable_js": _immutable,
    "googletest": _google,
    "redis": _redis,
    "jq": _jq,
    "micropython_test": _micropython,
    "maven": _maven,
    "ant": _ant,
    "gradle_custom": _gradle,
    "phpunit": _phpunit,
    "minitest": _minitest,
    "ruby_unit": _ruby_unit,
    "rspec_transformed_json": _rspec,
}
"""Parsers, by the names that rows use. `karma`, `doctest`, `cucumber` and `jekyll`, which depend on more than the
output's lines, are left to the official grader."""
