"""Parse test results from a run's output: one parser per Python output format that SWE-bench's rows name.

Ids are written as in the data sets, odd as they are: pytest ids are cut at the first space (in the first format), and
Django ids are the test's docstring if it has one. If two tests share an id, the last one counts, as in the official
grader. An expected failure counts as a pass, there as here.
"""

import re
from collections.abc import Callable, Mapping

from envs.base import TestOutcome

Parser = Callable[[str], dict[str, TestOutcome]]

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x01-\x08\x0b-\x1f]")
_WORDS: Mapping[str, TestOutcome] = {
    "PASSED": "passed",
    "FAILED": "failed",
    "ERROR": "error",
    "SKIPPED": "skipped",
    "XFAIL": "passed",
}
_SUMMARY = re.compile(rf"({'|'.join(_WORDS)})\s+(\S.*)$")
_OUTCOME = re.compile(rf"(?<=\s)({'|'.join(_WORDS)})\b")
_DJANGO = re.compile(r"(?P<name>.+?) \.\.\. +(?P<end>ok|OK|FAIL|ERROR|skipped\b.*)$")
_DJANGO_ENDS: Mapping[str, TestOutcome] = {"ok": "passed", "OK": "passed", "FAIL": "failed", "ERROR": "error"}
_SYMPY = re.compile(r"(?P<name>test_\w+) (?:\S+ )*(?P<end>ok|F|E)(?:\s+\[\w+\])?$")
_SYMPY_ENDS: Mapping[str, TestOutcome] = {"ok": "passed", "F": "failed", "E": "error"}


def parse_pytest(text: str) -> dict[str, TestOutcome]:
    """The short summary of `pytest -rA`; ids are cut at the first space."""
    return {name.split()[0]: outcome for name, outcome in summary(text)}


def parse_pytest_whole(text: str) -> dict[str, TestOutcome]:
    """Like `parse_pytest`, but with whole ids, and with the lines of `pytest -v`."""
    return {name.split(" - ", 1)[0].strip(): outcome for name, outcome in summary(text)}


def parse_pytest_options(text: str) -> dict[str, TestOutcome]:
    """Like `parse_pytest`; a parameter that is an absolute path is reduced to its last component."""
    return {_short_option(name): outcome for name, outcome in parse_pytest(text).items()}


def _short_option(name: str) -> str:
    start, end = name.find("[/"), name.rfind("]")
    option = name[start + 1 : end]
    if start < 0 or end < start or option.startswith("//") or "*" in option:
        return name
    return f"{name[:start]}[/{option.rpartition('/')[2]}{name[end:]}"


def parse_matplotlib(text: str) -> dict[str, TestOutcome]:
    """Like `parse_pytest`; the data set writes two enum members as an older Python does."""
    return parse_pytest(text.replace("MouseButton.LEFT", "1").replace("MouseButton.RIGHT", "3"))


def summary(text: str) -> list[tuple[str, TestOutcome]]:
    """Lines of pytest's short summary and of `pytest -v`: what follows the outcome, or precedes it, and the outcome."""
    found: list[tuple[str, TestOutcome]] = []
    for line in _ESCAPES.sub("", text).split("\n"):
        if summary := _SUMMARY.match(line):
            # `SKIPPED [2] tests/test_a.py:7: reason` counts places, not tests.
            if not (summary[1] == "SKIPPED" and re.match(r"\[\d+\]", summary[2])):
                found.append((summary[2], _WORDS[summary[1]]))
        elif _starts_with_id(line) and (ended := _OUTCOME.search(line)):
            found.append((line[: ended.start()].rstrip(), _WORDS[ended[1]]))
    return found


def _starts_with_id(line: str) -> bool:
    """Whether the first word of a line is a pytest id; linear time, since code under test writes these lines."""
    return not line[:1].isspace() and "::" in line.split(maxsplit=1)[0][1:] if line.strip() else False


def parse_django(text: str) -> dict[str, TestOutcome]:
    """unittest with verbosity 2. A test's own output may come between its name and its `ok`."""
    tests: dict[str, TestOutcome] = {}
    open_test = ""
    for raw in text.split("\n"):
        line = raw.strip()
        if ended := _DJANGO.match(line):
            end = ended["end"]
            tests[ended["name"]] = "skipped" if end.startswith("skipped") else _DJANGO_ENDS[end]
        elif re.match(r"ok\b", line) and open_test:
            tests[open_test] = "passed"
        if " ... " in f"{line} ":
            open_test = f"{line} ".split(" ... ")[0]
    return tests


def parse_sympy(text: str) -> dict[str, TestOutcome]:
    """SymPy's `bin/test --verbose`: one line per test, its name and `ok`, `F` or `E`."""
    return {
        found["name"]: _SYMPY_ENDS[found["end"]]
        for line in text.split("\n")
        if (found := _SYMPY.match(line.strip())) is not None
    }


def parse_r2e(text: str) -> dict[str, TestOutcome]:
    """pytest's summary with R2E-Gym's ids: class and function, without the file."""
    ids = [(name.split(" - ")[0].split("::"), outcome) for name, outcome in summary(text)]
    return {".".join(parts[1:]): outcome for parts, outcome in ids if len(parts) > 1}


def _plain(*names: str) -> dict[str, Parser]:
    return dict.fromkeys(names, parse_pytest)


PARSERS: Mapping[str, Parser] = {
    **_plain("pytest", "astroid", "flask", "marshmallow", "pvlib", "pyvista", "sqlfluff", "xarray"),
    **dict.fromkeys(("pytest_options", "pydicom", "requests", "pylint"), parse_pytest_options),
    **dict.fromkeys(("pytest_v2", "astropy", "scikit", "sphinx"), parse_pytest_whole),
    "seaborn": parse_pytest,
    "matplotlib": parse_matplotlib,
    "django": parse_django,
    "sympy": parse_sympy,
    "r2e": parse_r2e,
}
"""Parsers, by the names that rows use."""

BY_REPOSITORY: Mapping[str, str] = {
    "astropy/astropy": "astropy",
    "django/django": "django",
    "matplotlib/matplotlib": "matplotlib",
    "psf/requests": "requests",
    "pydicom/pydicom": "pydicom",
    "pylint-dev/pylint": "pylint",
    "scikit-learn/scikit-learn": "scikit",
    "sphinx-doc/sphinx": "sphinx",
    "sympy/sympy": "sympy",
}
"""Parser names for repositories whose rows name none; all others use pytest."""


def find(expected: str, tests: Mapping[str, TestOutcome]) -> TestOutcome | None:
    """Outcome of an expected test; None if it was not reported.

    Several hundred ids in the data sets are truncated in the middle of a parameter. Only those are matched by prefix,
    and only if all tests with that prefix ended alike.
    """
    if expected in tests:
        return tests[expected]
    if expected.count("[") <= expected.count("]"):
        return None
    outcomes = {outcome for name, outcome in tests.items() if name.startswith(expected)}
    passed = {outcome == "passed" for outcome in outcomes}
    return min(outcomes) if len(passed) == 1 else None
