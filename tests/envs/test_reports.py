"""Report files and printed results of runners that heats does not record itself."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from envs.base import Task
from envs.reports import parse_file, parse_printed, reporting
from envs.testing import run_tests

NODE_TAP = """TAP version 13
# Subtest: top
ok 1 - top
  ---
  duration_ms: 1.0
  ...
# Subtest: outer
    # Subtest: inner good
    ok 1 - inner good
    # Subtest: inner bad
    not ok 2 - inner bad
    1..2
not ok 2 - outer
# Subtest: later
ok 3 - later # SKIP
# Subtest: todo
not ok 4 - todo # TODO
1..4
"""
NODE_SPEC = """✔ top (1.01ms)
▶ outer
  ✔ inner good (0.1ms)
  ✖ inner bad (13.2ms)
    AssertionError [ERR_ASSERTION]: 1 == 2

✖ outer (13.8ms)
﹣ later (0.1ms) # SKIP
✖ todo (0.1ms) # TODO
ℹ tests 6

✖ failing tests:

✖ inner bad (13.2ms)
"""
CARGO = """     Running unittests src/lib.rs (target/debug/deps/shop-507999230d6984fa)

running 4 tests
test tests::empty ... ok
test tests::later ... ignored
test tests::adds ... FAILED
test tests::panics - should panic ... ok

   Doc-tests shop

running 1 test
test src/lib.rs - total (line 1) ... ok
"""
GO = "\n".join(
    json.dumps({"Package": "shop", **event})
    for event in (
        {"Action": "run", "Test": "TestTotal"},
        {"Action": "fail", "Test": "TestTotal"},
        {"Action": "pass", "Test": "TestSub/one"},
        {"Action": "skip", "Test": "TestSub/two"},
        {"Action": "fail"},
        {"Action": "fail", "Package": "shop/broken", "FailedBuild": "shop/broken"},
    )
)
TAPE = """TAP version 13
# quotes
ok 1 should be equal
not ok 2 should be equal
  ---
    operator: equal
  ...
# parses
ok 3 should be equal
# SKIP later

1..3
# tests 3
# pass  2
# fail  1
"""
TAP_SUMMARY = """
not ok test/proto.js .................................. 1/2
    Command: "/usr/bin/node proto.js"
    TAP version 13
    ok 1 should be equal
    not ok 2 should be equal
    1..2

ok test/bool.js ....................................... 2/2
test/dash.js ........................................ 10/10 41ms
test/kv.js ............................................ 1/3
total ............................................... 14/17

not ok
"""
DIAGNOSED = """1..2
not ok 1 - adds
#   Failed test 'adds'
#   at t/cart.t line 3.
ok 2 - empties
"""
JEST = {
    "testResults": [
        {
            "name": "/w/a.test.js",
            "status": "failed",
            "assertionResults": [
                {"fullName": "cart adds", "status": "passed"},
                {"fullName": "cart bad", "status": "failed"},
                {"fullName": "cart later", "status": "pending"},
            ],
        },
        {"name": "/w/b.test.js", "status": "failed", "assertionResults": []},
    ]
}
MOCHA = {
    "stats": {},
    "passes": [{"fullTitle": "cart adds", "file": "/w/a.js"}],
    "pending": [{"fullTitle": "cart later", "file": "/w/a.js"}],
    "failures": [{"fullTitle": "cart bad", "file": "/w/a.js"}],
}
NODE_TESTS = {
    "top": "passed",
    "outer > inner good": "passed",
    "outer > inner bad": "failed",
    "outer": "failed",
    "later": "skipped",
    "todo": "skipped",
}


@pytest.mark.parametrize(
    ("text", "tests"),
    [
        (NODE_TAP, NODE_TESTS),
        (NODE_SPEC, NODE_TESTS),
        (
            CARGO,
            {
                "shop/src/lib.rs::tests::empty": "passed",
                "shop/src/lib.rs::tests::later": "skipped",
                "shop/src/lib.rs::tests::adds": "failed",
                "shop/src/lib.rs::tests::panics": "passed",
                "shop/doc::src/lib.rs - total (line 1)": "passed",
            },
        ),
        (
            GO,
            {
                "shop::TestTotal": "failed",
                "shop::TestSub/one": "passed",
                "shop::TestSub/two": "skipped",
                "shop/broken": "error",
            },
        ),
        ("--- PASS: TestA (0.00s)\n    --- FAIL: TestA/b (0.00s)\n", {"TestA": "passed", "TestA/b": "failed"}),
        (TAPE, {"quotes > should be equal": "failed", "parses > should be equal": "passed"}),
        (
            TAP_SUMMARY,
            {
                "test/proto.js": "failed",
                "test/bool.js": "passed",
                "test/dash.js": "passed",
                "test/kv.js": "failed",
            },
        ),
        (DIAGNOSED, {"adds": "failed", "empties": "passed"}),
        ("some text\nok then\n", {}),
        ("", {}),
    ],
    ids=["tap", "spec", "cargo", "go", "go -v", "tape", "tap summary", "diagnosed", "text", "nothing"],
)
def test_printed_results(text: str, tests: dict[str, str]) -> None:
    assert parse_printed(text) == tests


def test_the_json_of_jest_and_of_mocha() -> None:
    jest = parse_file(json.dumps(JEST).encode())
    assert jest == {
        "/w/a.test.js::cart adds": "passed",
        "/w/a.test.js::cart bad": "failed",
        "/w/a.test.js::cart later": "skipped",
        "/w/b.test.js": "error",
    }
    mocha = parse_file(json.dumps(MOCHA).encode())
    assert sorted(mocha.items()) == [
        ("/w/a.js::cart adds", "passed"),
        ("/w/a.js::cart bad", "failed"),
        ("/w/a.js::cart later", "skipped"),
    ]


def test_the_worst_outcome_of_a_name_counts() -> None:
    case = '<testcase classname="t" name="a" file="t.py">%s</testcase>'
    data = f"<testsuites><testsuite name='p'>{case % ''}{case % '<error/>'}</testsuite></testsuites>"
    assert parse_file(data.encode()) == {"t.py::a": "error"}


BOMB = '<!DOCTYPE x [<!ENTITY a "b">]><testsuites><testsuite><testcase name="&a;"/></testsuite></testsuites>'


@pytest.mark.parametrize(
    "data",
    [
        b"", b"<junk", b"<testsuites/>", b"<a/>", b"\xff\xfe", BOMB.encode(), BOMB.encode("utf-16"),
        b"<testsuites>" + b"<testsuite>" * 100_000, b"<testsuites>" + b"<a>" * 200 + b"</a>" * 200 + b"</testsuites>",
        b"[" * 100_000, b'{"testResults": ' + b"[" * 100_000, b'{"testResults": 3}', b'{"stats": 1}', b'{"a": 1}',
        b'{"testResults": [{"assertionResults": [{"fullName": "x", "status": "nonsense"}]}]}',
    ],
)  # fmt: skip
def test_what_is_no_report_has_no_tests(data: bytes) -> None:
    assert parse_file(data) == {}


@pytest.mark.parametrize(
    ("command", "start"),
    [
        ("go test ./...", "go test -json ./..."),
        ("cargo test --all", "cargo test --no-fail-fast --all"),
        ("node --test tests/", "node --test --test-reporter=spec"),
        ("go test ./... | tee log", "go test ./... | tee log"),
        ("make jest", "make jest"),
    ],
)
def test_runners_are_asked_for_a_report_where_the_command_is_plain(command: str, start: str) -> None:
    assert reporting(command, "/tmp/x").startswith(start)


def task(box: Any, command: str) -> Task:
    folder = box.spec.workdir
    return Task(id="t", statement="", image="host", workdir=folder, test_command=command, test_timeout_s=60)


async def test_a_report_that_the_command_writes_is_found(box: Any) -> None:
    folder = Path(box.spec.workdir)
    (folder / "old.xml").write_text("<testsuites><testsuite><testcase name='old'/></testsuite></testsuites>")
    cases = '<testcase classname="A" name="a"/><testcase classname="A" name="b"><failure/></testcase>'
    write = f"echo '<testsuite>{cases}</testsuite>' >target/reports/TEST-A.xml"
    command = f"sleep 0.02; mkdir -p target/reports; {write}; echo ok 1; exit 1"
    report = await run_tests(box, task(box, command))
    assert (report.source, dict(report.tests)) == ("file", {"A::a": "passed", "A::b": "failed"})


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
async def test_node_is_read_by_its_own_reporter(box: Any) -> None:
    """What tests print may look like results, but goes elsewhere."""
    (Path(box.spec.workdir) / "a.test.js").write_text(
        "const test = require('node:test');\nconst assert = require('assert');\n"
        "test('good', () => { console.log('not ok 1 - good'); });\ntest('bad', () => { assert.equal(1, 2); });\n"
    )
    report = await run_tests(box, task(box, "node --test"))
    assert report.source == "file"
    assert {name.rsplit(" > ", 1)[-1]: end for name, end in report.tests.items()}["good"] == "passed"
    assert {name.rsplit(" > ", 1)[-1]: end for name, end in report.tests.items()}["bad"] == "failed"


MOCHA_RUNNER = """const { EventEmitter } = require('events');
module.exports = class Runner extends EventEmitter {};
"""
MOCHA_PROGRAM = """const Runner = require('../lib/runner');
const runner = new Runner();
const test = (title) => ({ titlePath: () => ['cart', title], file: process.cwd() + '/test/cart.js' });
runner.emit('start');
for (const [event, title] of [['pass', 'adds'], ['fail', 'bad'], ['pending', 'later']]) runner.emit(event, test(title));
console.log('  1 passing');
process.exit(1);
"""
JEST_PROGRAM = """const path = process.argv.find((word) => word.startsWith('--outputFile=')).split('=')[1];
const cases = [{ fullName: 'cart adds', status: 'passed' }, { fullName: 'cart bad', status: 'failed' }];
const file = { name: process.cwd() + '/cart.test.js', status: 'failed', assertionResults: cases };
require('fs').writeFileSync(path, JSON.stringify({ testResults: [file] }));
process.exit(process.argv.indexOf('--json') > process.argv.indexOf('--') ? 3 : 1);
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
async def test_a_runner_behind_a_script_is_not_read_by_its_exit_code_alone(box: Any) -> None:
    """The programs lie where the packages have theirs, and do what these do with events and options."""
    folder = Path(box.spec.workdir)
    for path, text in {
        "package.json": "{}",
        "node_modules/mocha/lib/runner.js": MOCHA_RUNNER,
        "node_modules/mocha/bin/mocha.js": MOCHA_PROGRAM,
        "node_modules/jest/bin/jest.js": JEST_PROGRAM,
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    both = "node node_modules/mocha/bin/mocha.js; node node_modules/jest/bin/jest.js -- cart"
    (folder / "test.sh").write_text(both)
    report = await run_tests(box, task(box, "sh test.sh"))
    assert (report.source, report.exit_code) == ("file", 1)
    assert "1 passing" in report.output
    assert dict(report.tests) == {
        "test/cart.js::cart > adds": "passed",
        "test/cart.js::cart > bad": "failed",
        "test/cart.js::cart > later": "skipped",
        "cart.test.js::cart adds": "passed",
        "cart.test.js::cart bad": "failed",
    }


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
async def test_a_node_program_of_the_tests_is_left_alone(box: Any) -> None:
    folder = Path(box.spec.workdir)
    (folder / "package.json").write_text("{}")
    (folder / "runner.js").write_text("module.exports = 'mine'")
    (folder / "a.js").write_text("console.log(require('./runner'), process.argv.length, process.execArgv.length)")
    report = await run_tests(box, task(box, "node a.js"))
    assert (report.exit_code, report.output, dict(report.tests)) == (0, "mine 2 0\n", {})
