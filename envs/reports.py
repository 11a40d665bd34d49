"""Test results of runners other than Python's: report files and printed output, with one parser per format.

junitparser reads the JUnit files of any runner; `go test -json`, TAP, node's spec reporter, libtest (cargo) and the
JSON of jest, vitest and mocha are parsed here. All of it comes from code under test: it is parsed in a thread, with
limits on sizes, depths and counts, and never makes a verdict stronger than `report`.
"""

import asyncio
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from xml.parsers import expat

from junitparser import Error, Failure, JUnitXml, JUnitXmlError, Skipped, TestCase, TestSuite

from envs.base import TestOutcome
from envs.recording import WORST, stable_id
from sandbox.base import Sandbox
from sandbox.errors import FileAccessError

Tests = dict[str, TestOutcome]

_FILE_BYTES = 32 << 20
_ALL_BYTES = 64 << 20
_MOST_FILES = 300
_MOST_TESTS = 200_000
_DEEPEST = 60
_FIND = r"""{ find "$2" -name 'results*' -type f -print0
find . -xdev \( -name .git -o -name node_modules -o -name .venv -o -name venv \) -prune -o -type f \
  \( -name '*.xml' -o -name '*.json' -o -name '*.tap' \) -newer "$1" -size -32768k -print0; } | head -c 65536"""

_SHORT_WORDS: Mapping[str, TestOutcome] = {
    **dict.fromkeys(("passed", "pass", "ok"), "passed"),
    **dict.fromkeys(("failed", "fail", "FAILED", "not ok"), "failed"),
    **dict.fromkeys(("skipped", "skip", "pending", "todo", "disabled", "ignored"), "skipped"),
}


def reporting(command: str, folder: str) -> str:
    """Add options to a plain test command that make its runner report test by test, if it can.

    jest, vitest and mocha need no options: `inside/runners.js` makes them report, behind scripts as well.

    Args:
        command: the test command.
        folder: where the report may be written.
    """
    if re.search(r"[;&|<>()$`\n#]", command):
        return command
    if re.search(r"(^|\s)go test(\s|$)", command) and "-json" not in command:
        return re.sub(r"(^|\s)go test(\s|$)", r"\1go test -json\2", command, count=1)
    if re.search(r"(^|\s)cargo test(\s|$)", command) and "--no-fail-fast" not in command:
        return re.sub(r"(^|\s)cargo test(\s|$)", r"\1cargo test --no-fail-fast\2", command, count=1)
    if re.search(r"(^|[\s/])node\s(?:\S+\s)*?--test(\s|$)", command) and "--test-reporter" not in command:
        options = f"--test --test-reporter=spec --test-reporter-destination=stdout --test-reporter=tap \
--test-reporter-destination={folder}/results.tap"
        return re.sub(r"(?<=\s)--test(?=\s|$)", options, command, count=1)
    return command


async def find_report(sandbox: Sandbox, workdir: str, folder: str, output: str) -> Mapping[str, Any]:
    """Find the results of a command that the recorder did not see.

    Args:
        sandbox: the sandbox.
        workdir: directory of the tree.
        folder: written just before the command ran: files newer than it come from the command. Reports that heats asked
            for are in it, as `results*`; other files are read only if there are none.
        output: the command's output.

    Returns:
        Fields of a `TestReport`; empty if there are no results.

    Raises:
        SandboxError
    """
    newer = shlex.quote(f"{folder}/sitecustomize.py")
    listed = await sandbox.exec(f"set -- {newer} {shlex.quote(folder)}; {_FIND}", timeout=60, cwd=workdir)
    paths = [name for name in listed.stdout.decode("utf-8", "replace").split("\0") if name]
    tests: Tests = {}
    room = _ALL_BYTES
    asked = [name for name in paths if name.startswith("/")]
    for name in [*sorted(asked), *sorted(set(paths).difference(asked))][:_MOST_FILES]:
        if tests and name not in asked:
            break
        try:
            data = await sandbox.read_file(name if name.startswith("/") else f"{workdir}/{name}", max_bytes=_FILE_BYTES)
        except FileAccessError:
            continue
        room -= len(data)
        if room > 0:
            _merge(tests, await asyncio.to_thread(parse_file, data))
    if tests:
        return {"tests": {test.removeprefix(f"{workdir}/"): tests[test] for test in tests}, "source": "file"}
    tests = await asyncio.to_thread(parse_printed, output)
    return {"tests": tests, "source": "printed"} if tests else {}


def parse_file(data: bytes) -> Tests:
    """Results from a report file of any known format; empty for other files."""
    start = data[:1000].lstrip()
    if start.startswith((b"{", b"[")):
        return _safely(parse_json_report, data)
    if start.startswith((b"<", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return parse_junit(data)
    return parse_tap(data.decode("utf-8", "replace"))


def parse_printed(text: str) -> Tests:
    """Results from a command's output, in the first format that fits."""
    for parse in (parse_go_json, parse_tap_summary, parse_tap, parse_cargo, parse_go_verbose, parse_node_spec):
        if tests := _safely(parse, text):
            return tests
    return _safely(parse_json_report, text[text.find("{") :].encode()) if "{" in text else {}


def _safely(parse: Callable[[Any], Tests], data: Any) -> Tests:
    try:
        return parse(data)
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return {}


def _merge(tests: Tests, found: Mapping[str, TestOutcome] | Iterable[tuple[str, TestOutcome]]) -> None:
    for name, outcome in found.items() if isinstance(found, Mapping) else found:
        test = stable_id(name)
        if test in tests or len(tests) < _MOST_TESTS:
            tests[test] = max(outcome, tests.get(test, "passed"), key=WORST.index)


def parse_junit(data: bytes) -> Tests:
    """Outcomes from a JUnit file, with pytest node ids (`tests/test_a.py::TestX::test_y[1]`) if it names files.

    Refuses document types, which allow entity expansion attacks, and excessive nesting.
    """
    try:
        _check_xml(data)
        suites = JUnitXml.fromstring(data)
        cases = [case for suite in suites for case in (suite if isinstance(suite, TestSuite) else [suite])]
    except (JUnitXmlError, SyntaxError, ValueError, TypeError, AttributeError, expat.ExpatError):
        return {}
    tests: Tests = {}
    _merge(tests, ((_node_id(case), _junit_outcome(case)) for case in cases))
    return tests


def _check_xml(data: bytes) -> None:
    depth = 0

    def enter(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")

    def leave(_: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*_: object) -> None:
        raise ValueError("has a document type")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = enter, leave, refuse
    parser.Parse(data, True)


def _junit_outcome(case: TestCase) -> TestOutcome:
    kinds = [type(result) for result in case.result]
    if Error in kinds:
        return "error"
    if Failure in kinds:
        return "failed"
    return "skipped" if Skipped in kinds else "passed"


def _node_id(case: TestCase) -> str:
    file = case._elem.get("file") or ""
    classname, name = case.classname or "", case.name or ""
    module = re.sub(r"\.py$", "", file).replace("/", ".")
    if not file:
        return f"{classname}::{name}" if classname else name
    if not classname:
        return name  # a file that could not be collected: its name is the module's
    chain = classname.removeprefix(module).strip(".") if classname.startswith(module) else ""
    return "::".join(part for part in (file, chain.replace(".", "::"), name) if part)


def parse_json_report(data: bytes) -> Tests:
    """Outcomes from the JSON of jest, vitest or mocha."""
    report = json.loads(data)
    tests: Tests = {}
    if "testResults" in report:
        for file in report["testResults"]:
            name = str(file.get("name", ""))
            for case in file.get("assertionResults", ()):
                _merge(tests, [(f"{name}::{case['fullName']}", _SHORT_WORDS[case["status"]])])
            if file.get("status") == "failed" and not file.get("assertionResults"):
                _merge(tests, [(name, "error")])
    elif "stats" in report:
        for key, outcome in (("passes", "passed"), ("pending", "skipped"), ("failures", "failed")):
            for case in report[key]:
                _merge(tests, [(f"{case.get('file') or ''}::{case['fullTitle']}", _SHORT_WORDS[outcome])])
    return tests


def parse_go_json(text: str) -> Tests:
    """Outcomes from `go test -json`; a package that does not build is an error under its own name."""
    tests: Tests = {}
    for line in text.splitlines():
        if not line.startswith('{"'):
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        action, package = event.get("Action"), event.get("Package") or event.get("ImportPath") or ""
        if action == "build-fail" or (action == "fail" and "FailedBuild" in event):
            _merge(tests, [(str(package).split(" ")[0], "error")])
        elif action in ("pass", "fail", "skip") and event.get("Test"):
            _merge(tests, [(f"{package}::{event['Test']}", _SHORT_WORDS[action])])
    return tests


def parse_go_verbose(text: str) -> Tests:
    """Outcomes from `go test -v`."""
    tests: Tests = {}
    for found in re.finditer(r"^\s*--- (PASS|FAIL|SKIP): (\S+) \(", text, re.MULTILINE):
        _merge(tests, [(found[2], _SHORT_WORDS[found[1].lower()])])
    return tests


def parse_cargo(text: str) -> Tests:
    """Outcomes from Rust's libtest, grouped by the crate or file whose tests run."""
    if not re.search(r"^running \d+ tests?$", text, re.MULTILINE):
        return {}
    tests: Tests = {}
    where = ""
    for line in text.splitlines():
        if started := re.match(r"\s*Running (?:unittests )?(\S+)(?: \(\S*?([\w-]+)-[0-9a-f]+\))?", line):
            where = f"{started[2]}/{started[1]}" if started[2] else started[1]
        elif started := re.match(r"\s*Doc-tests (\S+)", line):
            where = f"{started[1]}/doc"
        elif found := re.match(r"test (.+?) \.\.\. (ok|FAILED|ignored)\b", line):
            name = re.sub(r" - should panic$", "", found[1])
            _merge(tests, [(f"{where}::{name}" if where else name, _SHORT_WORDS[found[2]])])
    return tests


def parse_tap_summary(text: str) -> Tests:
    """Outcomes of whole files from the summary of node-tap, which shows single assertions only of files that fail."""
    if not re.search(r"^total \.{2,} \d+/\d+", text, re.MULTILINE):
        return {}
    tests: Tests = {}
    for found in re.finditer(r"^(?:(not )?ok )?(\S.*?) \.{2,} (\d+)/(\d+)(?: \S+)?$", text, re.MULTILINE):
        if found[2] != "total":
            _merge(tests, [(found[2], "failed" if found[1] or found[3] != found[4] else "passed")])
    return tests


def parse_tap(text: str) -> Tests:
    """Outcomes from TAP; a subtest is named `outer > inner`. Text without a version or a plan is not TAP.

    tape, known by the counts that it prints last, names its tests in comments before their assertions.
    """
    if not re.search(r"^(TAP version \d+|\s*1\.\.\d+)", text, re.MULTILINE):
        return {}
    tests: Tests = {}
    parents: list[tuple[int, str]] = []
    tape = re.search(r"^# tests +\d+\n# pass +\d+$", text, re.MULTILINE) is not None
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip(" "))
        if began := re.match(r" *# Subtest: (.*)$", line):
            parents = [one for one in parents if one[0] < indent]
            parents.append((indent, began[1].strip()))
        elif tape and (began := re.match(r"# (?!(?:tests|pass|fail|skip|todo) +\d+$|ok$)(.*)$", line)):
            parents = [(-1, began[1].strip())]
        elif found := re.match(r" *(ok|not ok)\b(?: +\d+)?(?: +-)? *(.*)$", line):
            name, _, directive = found[2].partition(" # ")
            above = [title for depth, title in parents if depth < indent]
            outcome = _SHORT_WORDS["skip" if re.match(r"(?i)skip|todo", directive) else found[1]]
            _merge(tests, [(" > ".join([*above, name.strip() or "test"]), outcome)])
    return tests


def parse_node_spec(text: str) -> Tests:
    """Outcomes from the spec reporter of `node --test`."""
    tests: Tests = {}
    parents: list[tuple[int, str]] = []
    for line in text.partition("\n✖ failing tests:")[0].splitlines():
        found = re.match(r"( *)([▶✔✖﹣]) (.*?)(?: \([\d.]+ms\))?(?: # (?:SKIP|TODO).*)?$", line)
        if found is None:
            continue
        indent = len(found[1])
        parents = [one for one in parents if one[0] < indent]
        path = " > ".join([*(title for _, title in parents), found[3]])
        if found[2] == "▶":
            parents.append((indent, found[3]))
        elif re.search(r" \([\d.]+ms\)", line):
            skipped = found[2] == "﹣" or " # " in line
            _merge(tests, [(path, "skipped" if skipped else "passed" if found[2] == "✔" else "failed")])
    return tests
