"""Parse the reports of test runners: one `Result` for each run visible in an output.

Only complete lines as a runner prints them count. A diff, a grep or a log that quotes such a line prefixes it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_LISTED = re.compile(r"^(?:FAILED|ERROR) (\S+(?:\[.*?\])?)(?= - |$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one test run, from its last summary line.

    Attributes:
        failed: tests that failed or errored; None if the runner does not report a count.
        passed: tests that passed; likewise.
        clean: whether at least one test ran and none failed.
        empty: whether no test ran, because there was none or all were skipped.
        text: the summary line.
    """

    family: str
    text: str
    passed: int | None = None
    failed: int | None = None
    clean: bool = False
    empty: bool = False


Reader = Callable[["re.Match[str]"], Result]


def _counted(family: str, text: str, passed: int, failed: int, expected: int = 0) -> Result:
    """Build a result from counts; `expected` counts tests that failed as expected."""
    ran = passed + failed + expected
    return Result(family, text.strip(), passed, failed, failed == 0 and ran > 0, ran == 0)


def _number(text: str, *names: str) -> int:
    found = (re.search(rf"(\d+) (?:tests? )?(?:{name})\b", text) for name in names)
    return sum(int(match[1]) for match in found if match)


def _pytest(match: re.Match[str]) -> Result:
    text = match["counts"]
    failed, expected = _number(text, "failed", "errors?"), _number(text, "xpassed", "xfailed")
    return _counted("pytest", text, _number(text, "passed"), failed, expected)


def _unittest(match: re.Match[str]) -> Result:
    ran, end, detail = int(match["ran"]), match["end"], match["detail"] or ""
    failed = sum(
        int(count) for count in re.findall(r"(?:(?<!expected )failures|errors|unexpected successes)=(\d+)", detail)
    )
    failed = failed or int(end == "FAILED")
    text = f"Ran {ran} tests: {end}{detail and f' ({detail})'}"
    clean = end in ("OK", "PASSED") and ran > 0
    return Result("unittest", text, max(ran - failed, 0), failed, clean, ran == 0 and not failed)


def _worded(family: str, good: str) -> Reader:
    """Make a reader for lines that state the outcome as a word, in group `end`."""

    def read(match: re.Match[str]) -> Result:
        fine = re.fullmatch(good, match["end"]) is not None
        return Result(family, match[0].strip(), failed=0 if fine else None, clean=fine)

    return read


def _numbered(family: str) -> Reader:
    """Make a reader for lines with counts in groups: `failed` and `errors`, and either `passed` or `ran`."""

    def read(match: re.Match[str]) -> Result:
        groups = {name: int(value or 0) for name, value in match.groupdict().items() if name != "end"}
        failed = groups.get("failed", 0) + groups.get("errors", 0)
        passed = groups.get("passed", max(groups.get("ran", 0) - failed, 0))
        return _counted(family, match[0], passed, failed)

    return read


def _listed(family: str) -> Reader:
    """Make a reader for lines such as `1 failed, 5 passed`, in group `counts`."""

    def read(match: re.Match[str]) -> Result:
        text = match["counts"]
        passed, failed = _number(text, "passed", "passing"), _number(text, "failed", "failing")
        return _counted(family, match[0], passed, failed)

    return read


_COUNTS = r"\d+ [a-z]+(?: [a-z]+)?(?:, \d+ [a-z]+(?: [a-z]+)?)*"
_FORMATS: tuple[tuple[re.Pattern[str], Reader], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), reader)
    for pattern, reader in (
        (rf"^(?:=+ )?(?P<counts>{_COUNTS}|no tests ran),? in [\d.]+ ?s(?:econds?)?(?: \([\d:]+\))?(?: =+)?$", _pytest),
        (rf"^=+ tests finished: (?P<counts>{_COUNTS}),? in [\d.]+ seconds =+$", _pytest),
        (
            r"^Ran (?P<ran>\d+) tests? in [\d.]+s\n(?:\s*\n){0,3}(?P<end>OK|FAILED|NO TESTS RAN|PASSED)"
            r"(?: \((?P<detail>[^)\n]*)\))?$",
            _unittest,
        ),
        (r"^(?P<end>OK|FAILED) \((?=[a-z ]+=\d)[^)\n]*\)$", _worded("unittest", "OK")),
        (r"^(?P<end>ok|FAIL)[ \t]+[\w.~/-]+[ \t]+(?:[\d.]+s|\(cached\)|\[[^\]\n]+\]).*$", _worded("go", "ok")),
        (r"^(?P<end>PASS|FAIL)$", _worded("go", "PASS")),
        (r"^(?P<end>--- FAIL): \S+ \([\d.]+s\)$", _worded("go", "ok")),
        (r"^test result: (?:ok|FAILED)\. (?P<passed>\d+) passed; (?P<failed>\d+) failed;.*$", _numbered("cargo")),
        (r"^(?P<end>error): (?:could not compile|test failed|aborting due to).*$", _worded("cargo", "ok")),
        (r"^\s*Summary \[[^\]]+\] \d+ tests? run: (?P<counts>.*)$", _listed("nextest")),
        (r"^Test Suites:\s+(?P<counts>.*), \d+ total$", _listed("jest")),
        (r"^Tests:\s+(?P<counts>.*), \d+ total$", _listed("jest")),
        (r"^\s*(?:Test Files|Tests)\s+(?P<counts>\d.*)\(\d+\)$", _listed("vitest")),
        (r"^\s+(?P<passed>\d+) passing(?: \([^)]*\))?$", _numbered("mocha")),
        (r"^\s+(?P<failed>\d+) failing$", _numbered("mocha")),
        (r"^[#ℹ] pass +(?P<passed>\d+)$", _numbered("tap")),
        (r"^[#ℹ] fail +(?P<failed>\d+)$", _numbered("tap")),
        (r"^# PASS: +(?P<passed>\d+)$", _numbered("automake")),
        (r"^# (?:FAIL|ERROR): +(?P<failed>\d+)$", _numbered("automake")),
        (r"^(?P<end>not ok) \d+\b(?!.*# (?:TODO|SKIP)).*$", _worded("tap", "ok")),
        (r"^(?P<end>ok) \d+\b.*$", _worded("tap", "ok")),
        (r"^Result: (?P<end>PASS|FAIL|NOTESTS)$", _worded("tap", "PASS")),
        (r"^ *(?P<passed>\d+) pass$", _numbered("bun")),
        (r"^ *(?P<failed>\d+) fail$", _numbered("bun")),
        (r"^(?:ok|FAILED) \| (?P<passed>\d+) passed.* \| (?P<failed>\d+) failed.*$", _numbered("deno")),
        (r"^(?P<end>make(?:\[\d+\])?: \*\*\*) (?!.*\(ignored\)).*$", _worded("make", "ok")),
        (r"^(?P<end>ninja: build stopped).*$", _worded("make", "ok")),
        (r"^\d+% tests passed, (?P<failed>\d+) tests? failed out of (?P<ran>\d+)$", _numbered("ctest")),
        (r"^\[  PASSED  \] (?P<passed>\d+) tests?\.$", _numbered("gtest")),
        (r"^\[  FAILED  \] (?P<failed>\d+) tests?, listed below:$", _numbered("gtest")),
        (
            r"^(?:\[\w+\] )?Tests run: (?P<ran>\d+), Failures: (?P<failed>\d+), Errors: (?P<errors>\d+),"
            r" Skipped: \d+$",
            _numbered("maven"),
        ),
        (
            r"^(?:\[\w+\] )?BUILD (?P<end>SUCCESS|SUCCESSFUL|FAILURE|FAILED)(?: in .*)?$",
            _worded("maven", "SUCCESS(FUL)?"),
        ),
        (r"^(?P<ran>\d+) examples?, (?P<failed>\d+) failures?.*$", _numbered("rspec")),
        (
            r"^(?P<ran>\d+) (?:runs|tests), (?:\d+ assertions, )?(?P<failed>\d+) failures?"
            r"(?:, (?P<errors>\d+) errors)?.*$",
            _numbered("minitest"),
        ),
        (r"^(?P<end>OK) \(\d+ tests?, \d+ assertions?\)$", _worded("phpunit", "OK")),
        (r"^Tests: (?P<ran>\d+), Assertions: \d+, (?:Errors|Failures): (?P<failed>\d+).*$", _numbered("phpunit")),
        (r"^(?:Passed|Failed)! +- Failed: +(?P<failed>\d+), Passed: +(?P<passed>\d+),.*$", _numbered("dotnet")),
        (r"^\s*Executed (?P<ran>\d+) tests?, with (?P<failed>\d+) failures?.*$", _numbered("swift")),
        (r"^  (?P<end>congratulations|evaluation failed) :[()].*$", _worded("tox", "congratulations")),
        (r"^  \S+: (?P<end>OK|FAIL)(?: code -?\d+)? (?:\([\d.]+=.*\)|[✔✖] in .*)$", _worded("tox", "OK")),
        (r"^(?:ERROR:)? +\S+: +commands (?P<end>succeeded|failed)$", _worded("tox", "succeeded")),
        (r"^\*\*\*Test Failed\*\*\* (?P<failed>\d+) failures?\.?$", _numbered("doctest")),
        (r"^(?P<passed>\d+) passed(?: tests)?(?:,| and) (?P<failed>\d+) failed\.?$", _numbered("script")),
        (r"^(?P<failed>\d+) failed(?:,| and) (?P<passed>\d+) passed\.?$", _numbered("script")),
    )
)
_WEAK = re.compile(
    r"^(?:FAILED|ERROR) \S+(?:::| - ).*$|^\S+::\S+ (?:FAILED|ERROR)\b.*$|^(?:FAIL|ERROR): \w+ \(.*\)$", re.M
)
"""Lines that name a single failed test; they count if the end of the output is cut off."""
_JOINED = frozenset(
    ("automake", "go", "cargo", "jest", "vitest", "mocha", "tap", "bun", "maven", "gtest", "tox", "make")
)
"""Runners that report the outcome of one run in several lines."""


def results_in(output: str) -> tuple[Result, ...]:
    """Parse all test reports in an output, in order; the lines of one run form one result."""
    text = _ANSI.sub("", output.replace("\r\n", "\n")).replace("\r", "\n")
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    joined: list[Result] = []
    end = -1
    for match, read in sorted(_matches(text), key=lambda one: one[0].start()):
        if match.start() < end:
            continue
        end, one = match.end(), read(match)
        before = joined[-1] if joined else None
        if before is not None and before.family == one.family and one.family in _JOINED:
            joined[-1] = _together(before, one)
        else:
            joined.append(one)
    if not joined and (weak := _WEAK.search(text)):
        return (Result("", weak[0].strip(), failed=None),)
    return tuple(joined)


def _matches(text: str) -> Iterator[tuple[re.Match[str], Reader]]:
    return ((match, read) for pattern, read in _FORMATS for match in pattern.finditer(text))


def _together(one: Result, other: Result) -> Result:
    """Merge two lines of one run; counts missing from one are taken from the other."""
    failing = any(not part.clean and not part.empty and part.failed != 0 for part in (one, other))
    passed, failed = _most(one.passed, other.passed), _most(one.failed, other.failed)
    shown = other if not failing or not other.clean else one
    return replace(
        shown,
        passed=passed,
        failed=failed,
        clean=not failing and (one.clean or other.clean),
        empty=one.empty and other.empty,
    )


def _most(one: int | None, other: int | None) -> int | None:
    known = [count for count in (one, other) if count is not None]
    return max(known) if known else None


_VERDICT = re.compile(
    r"(?:all )?(?:tests?|checks?|cases?)?:? ?"
    r"(?P<good>pass(?:ed)?|ok|success|succeeded)?(?P<bad>fail(?:ed|ure)?|not ok)?[.!]?",
    re.IGNORECASE,
)


def own_verdict(output: str) -> bool | None:
    """The verdict in a script's last line, if that line contains nothing else."""
    last = next((line.strip() for line in reversed(output.split("\n")) if line.strip()), "")
    match = _VERDICT.fullmatch(last)
    if match is None or bool(match["good"]) == bool(match["bad"]):
        return None
    return bool(match["good"])


_EXCEPTION = re.compile(r"^(?P<name>(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Exit|Failure))\b(?::.*)?$", re.M)
_CRASH = re.compile(r"^thread '.*' panicked at |^panic: |^Segmentation fault|^\w*Error: .*$", re.MULTILINE)


def failing_in(output: str) -> frozenset[str]:
    """Ids of the tests that pytest's short summary lists as failed or as errors."""
    return frozenset(_LISTED.findall(_ANSI.sub("", output)))


def exception_in(output: str) -> str:
    """Name of the exception that ended a program, from the last lines of its output; empty if there is none."""
    tail = "\n".join([line.rstrip() for line in output.split("\n") if line.strip()][-4:])
    names = [match["name"].rsplit(".", 1)[-1] for match in _EXCEPTION.finditer(tail)]
    if names:
        return names[-1]
    crash = _CRASH.search(tail)
    return crash[0].split(":")[0].split(" '")[0].strip() if crash else ""
