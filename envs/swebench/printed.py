"""Parse reports that a run prints whole, and other output that SWE-PolyBench's rows need, with that data set's ids.

JSON by Jest and Mocha, XML by Maven's Surefire, and pytest or unittest with ids of its own. Code under test can print
reports, too: the last one of a kind counts, as the last line does elsewhere.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from xml.sax.saxutils import unescape

from envs.base import TestOutcome
from envs.swebench.logs import parse_django, summary

Tests = dict[str, TestOutcome]

_JSON_ENDS: Mapping[str, TestOutcome] = {"passed": "passed", "failed": "failed", "pending": "skipped"}
_CASE = re.compile(r"<testcase\b(?P<about>[^<>]*?)(?:/>|>(?P<inside>(?:(?!<testcase\b).)*?)</testcase>)", re.DOTALL)
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
_UNITTEST = re.compile(r"(?P<name>\w+)(?: \((?P<where>[\w.]+)\))?(?: ?\((?P<parameters>.+)\))?$")


def _objects(text: str, first_key: str) -> Iterator[Mapping[str, Any]]:
    """JSON objects in a text that begin with a key."""
    decoder = json.JSONDecoder()
    for start in re.finditer(rf'\{{\s*"{first_key}"', text):
        try:
            found, _ = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        yield found


def _last(text: str, first_key: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = {}
    for found in _objects(text, first_key):  # noqa: B007 - the last one is wanted
        pass
    return found


def _items(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _jest(text: str, *names: str) -> Tests:
    tests: Tests = {}
    for suite in _items(_last(text, "numFailedTestSuites").get("testResults")):
        for one in _items(suite.get("assertionResults")):
            title = next((one[name] for name in names if name in one), "")
            end = _JSON_ENDS.get(str(one.get("status")))
            if end is not None:
                tests[f"{suite.get('name')}->{title}"] = end
    return tests


def parse_jest_report(text: str) -> Tests:
    """Jest's `--json`: the file and the test's full name."""
    return _jest(text, "fullName", "title")


def parse_jest_titles(text: str) -> Tests:
    """Jest's `--json`: the file and the test's own title."""
    return _jest(text, "title")


def parse_mocha_report(text: str) -> Tests:
    """Mocha's `--reporter json`, by the tests' full titles."""
    found = _last(text, "stats")
    tests: Tests = {str(one.get("fullTitle")): "passed" for one in _items(found.get("passes"))}
    return tests | {str(one.get("fullTitle")): "failed" for one in _items(found.get("failures"))}


def parse_mocha_or_tap(text: str) -> Tests:
    """Mocha's report if there is one, else TAP with the tests' numbers as part of their names."""
    if tests := parse_mocha_report(text):
        return tests
    lines = [line.strip() for line in text.split("\n")]
    passed: Tests = {line[3:]: "passed" for line in lines if line.startswith("ok ")}
    return passed | {line[7:]: "failed" for line in lines if line.startswith("not ok ")}


def parse_surefire(text: str) -> Tests:
    """XML reports of Maven's Surefire: `class.test`. Nothing is expanded, so that no report can grow."""
    tests: Tests = {}
    for case in _CASE.finditer(text):
        about = {
            name: unescape(value, {"&quot;": '"', "&apos;": "'"}) for name, value in _ATTRIBUTE.findall(case["about"])
        }
        inside = case["inside"] or ""
        bad = re.search(r"<(failure|error|skipped)\b", inside)
        where = f"{about['classname']}." if "classname" in about else ""
        end: TestOutcome = "passed" if bad is None else "skipped" if bad[1] == "skipped" else "failed"
        tests[f"{where}{about.get('name')}"] = end
    return tests


def parse_python(text: str) -> Tests:
    """pytest as `file:class:test`, or unittest as `class:test:parameters`; what is missing is `None` or empty."""
    if "short test summary info" in text or "test session starts" in text:
        return {_three_parts(name.split(" - ")[0]): end for name, end in summary(text) if "::" in name}
    tests: Tests = {}
    for name, end in parse_django(text).items():
        if found := _UNITTEST.match(name):
            tests[f"{found['where'] or ''}:{found['name']}:{found['parameters'] or ''}"] = end
    return tests


def _three_parts(name: str) -> str:
    """A pytest id in three parts. A parameter counts only if it is a plain word, and only one class does."""
    file, *rest = name.split("::")
    group, test = ("None", rest[0]) if len(rest) == 1 else rest[:2]
    plain = re.match(r"\w+(?:\[[\w-]+\])?", test)
    return f"{file}:{group}:{plain[0] if plain else test}"


PARSERS: Mapping[str, Callable[[str], Tests]] = {
    "polybench-python": parse_python,
    "polybench-java": parse_surefire,
    "polybench-mocha-or-tap": parse_mocha_or_tap,
    "polybench-mocha": parse_mocha_report,
    "polybench-jest": parse_jest_report,
    "polybench-jest-titles": parse_jest_titles,
}
"""Parsers, by names of ours: SWE-PolyBench's rows name none, and their repositories decide."""

POLYBENCH: Mapping[str, str] = {
    **dict.fromkeys(
        ("google/guava", "google/gson", "apache/dubbo", "apolloconfig/apollo", "apache/rocketmq", "trinodb/trino"),
        "polybench-java",
    ),
    **dict.fromkeys(("mrdoob/three.js", "sveltejs/svelte"), "polybench-mocha-or-tap"),
    **dict.fromkeys(("serverless/serverless", "microsoft/vscode"), "polybench-mocha"),
    **dict.fromkeys(("prettier/prettier", "coder/code-server"), "polybench-jest"),
    "tailwindlabs/tailwindcss": "polybench-jest-titles",
}
"""Parsers of SWE-PolyBench's repositories. Its Python rows need none; those of `angular/angular` and `mui/material-ui`
are left to its own harness."""
