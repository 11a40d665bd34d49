"""Parsing the recorder's report, whatever else is in the stream, and however much of it."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from process_box import ProcessSandbox

from envs.base import Task
from envs.recording import parse_recording, stable_id
from envs.recording import test_files as files_with_tests
from envs.testing import run_tests

NONCE = "n0123"


def lines(*records: object, process: int = 7) -> bytes:
    return b"".join(f"{NONCE}{json.dumps([process, *record])}\n".encode() for record in records)  # type: ignore[misc]


RUN = (
    ("start", "pytest", "/w"),
    ("test", 0, "t.py::a", 3),
    ("end", 0, "passed"),
    ("test", 1, "t.py::b", 9, "base.py"),
    ("end", 1, "failed"),
    ("done", 1),
)


def test_a_run_is_read_test_by_test() -> None:
    found = parse_recording(lines(*RUN), NONCE, ["/w"])
    assert found.tests == {"t.py::a": "passed", "t.py::b": "failed"}
    assert (found.runner, found.started, found.ended, found.codes, found.whole) == ("pytest", True, True, (1,), True)
    assert (found.places["t.py::a"].file, found.places["t.py::b"].file) == ("t.py", "base.py")


def test_an_outcome_cannot_be_taken_back() -> None:
    again = lines(("end", 1, "passed"), ("end", "t.py::b", "passed"))
    assert parse_recording(lines(*RUN) + again, NONCE, ["/w"]).tests["t.py::b"] == "failed"


def test_processes_have_numbers_of_their_own() -> None:
    other = lines(("start", "unittest", "/w"), ("test", 0, "u.T.c"), ("end", 0, "error"), ("done", 1), process=8)
    found = parse_recording(lines(*RUN) + other, NONCE, ["/w"])
    assert found.tests == {"t.py::a": "passed", "t.py::b": "failed", "u.T.c": "error"}


def test_the_test_that_a_run_broke_off_in_is_an_error() -> None:
    found = parse_recording(lines(*RUN[:-2]), NONCE, ["/w"])
    assert (found.ended, found.tests["t.py::b"]) == (False, "error")


def test_paths_elsewhere_are_no_places() -> None:
    tests = lines(
        RUN[0], ("test", 0, "a", 1, "/usr/lib/x.py"), ("test", 1, "b", 1, "../x.py"), ("test", 2, "c", 1, "/real/t.py")
    )
    assert list(parse_recording(tests, NONCE, ["/w", "/real"]).places) == ["c"]


def test_what_is_not_the_recorders_is_passed_over() -> None:
    noise = b"2 passed\n" + b"\xff\xfe\n" + b"n9999" + lines(("end", "t.py::b", "error"))[5:] + b"x" * 100_000 + b"\n"
    found = parse_recording(noise + lines(*RUN) + noise, NONCE, ["/w"])
    assert (len(found.tests), found.tests["t.py::b"], found.whole) == (2, "failed", True)


def test_lines_that_make_no_sense_end_nothing_but_are_no_whole_report() -> None:
    for rubbish in (
        b"[" * 50_000,
        b"[]",
        b"[7]",
        b'[7, "done", "x"]',
        b'[7, "test"]',
        b"{}",
        b'[[], "done", 1]',
        b"nan",
    ):
        found = parse_recording(lines(*RUN) + NONCE.encode() + rubbish + b"\n", NONCE, ["/w"])
        assert (found.whole, found.tests["t.py::b"]) == (False, "failed"), rubbish


def test_a_flood_is_read_in_a_moment_up_to_a_limit() -> None:
    many = b"".join(lines(("test", n, f"t.py::x{n}", 1), ("end", n, "passed")) for n in range(60_000))
    started = time.monotonic()
    found = parse_recording(lines(RUN[0]) + many, NONCE, ["/w"])
    assert len(found.tests) == 60_000
    assert time.monotonic() - started < 30


def test_addresses_in_ids_are_left_out() -> None:
    assert stable_id("t.py::a[<function f at 0x7f12ab34cd56>]") == "t.py::a[<function f at 0x>]"
    assert stable_id("t.py::a[0xff]") == "t.py::a[0xff]"


def test_tests_with_titles_are_named_by_file_and_titles_on_one_line() -> None:
    run = (
        ("start", "mocha", "/w"),
        ("test", 0, ["cart", "adds\n  up"], 0, "/w/test/a.js"),
        ("end", 0, "failed"),
        ("test", 1, [], 1, "/w/test/b.js"),
        ("end", 1, "passed"),
        ("test", 2, ["elsewhere"], 1, ""),
        ("end", 2, "passed"),
        ("done", 1),
    )
    found = parse_recording(lines(("asked", "jest")) + lines(*run), NONCE, ["/w"])
    assert found.tests == {"test/a.js::cart > adds up": "failed", "test/b.js": "passed", "::elsewhere": "passed"}
    assert {test: place.file for test, place in found.places.items()} == {
        "test/a.js::cart > adds up": "test/a.js",
        "test/b.js": "test/b.js",
    }
    assert (found.asked, files_with_tests(found.tests, found.places)) == (True, ("test/a.js", "test/b.js"))


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
async def test_node_test_is_recorded_behind_a_script_whatever_reporters_it_asks_for(box: ProcessSandbox) -> None:
    workdir = Path(box.spec.workdir)
    (workdir / "a.test.js").write_text(
        "const { describe, it, test } = require('node:test')\n"
        "describe('group', () => { it('fails', () => { throw 1 }); it.todo('later')\n"
        "  describe('in', () => it('passes')) })\n"
        "test('outer', async (t) => { await t.test('inner', () => {}); await t.test('broken', () => { throw 1 }) })\n"
        "test('said', () => console.log('ok 1 - fails', process.env.NODE_OPTIONS || 'no options'))\n"
    )
    for options in ("", " --test-reporter=dot", " --test-reporter=tap --test-reporter-destination=stdout"):
        (workdir / "package.json").write_text(f'{{"scripts": {{"test": "node --test{options}"}}}}')
        task = Task(
            id="a", statement="a", image="host", workdir=box.spec.workdir, base_commit="0", test_command="npm test"
        )
        report = await run_tests(box, task)
        assert report.tests == {
            "a.test.js::group > fails": "failed",
            "a.test.js::group > later": "skipped",
            "a.test.js::group > in > passes": "passed",
            "a.test.js::outer": "failed",
            "a.test.js::outer > inner": "passed",
            "a.test.js::outer > broken": "failed",
            "a.test.js::said": "passed",
        }
        assert (report.runner, report.source, report.ended, report.exit_code) == ("node:test", "recorder", True, 1)
        assert report.files == ("a.test.js",)
        assert options == " --test-reporter=dot" or "no options" in report.output


@pytest.mark.tool("mocha")
async def test_mocha_is_recorded_and_a_failed_hook_fails_its_tests(
    box: ProcessSandbox, tool_env: Callable[[str], Path]
) -> None:
    workdir = Path(box.spec.workdir)
    (workdir / "package.json").write_text("{}")
    (workdir / "test").mkdir()
    (workdir / "test" / "a.js").write_text(
        "describe('group', () => { it('fails', () => { throw Error() }); it('passes', () => {})\n"
        "  it.skip('is left out')\n"
        "  describe('each', () => { beforeEach(() => { throw Error() }); it('one', () => {}); it('two', () => {}) })\n"
        "  describe('all', () => { before(() => { throw Error() }); describe('in', () => it('one', () => {})) })\n"
        "  describe('after', () => { after(() => { throw Error() }); it('one', () => {}); it('two', () => {}) }) })\n"
    )
    command = f"node {tool_env('mocha')}/node_modules/mocha/bin/mocha.js --reporter min"
    task = Task(id="a", statement="a", image="host", workdir=box.spec.workdir, base_commit="0", test_command=command)
    report = await run_tests(box, task)
    assert report.tests == {
        "test/a.js::group > fails": "failed",
        "test/a.js::group > passes": "passed",
        "test/a.js::group > is left out": "skipped",
        "test/a.js::group > each > one": "error",
        "test/a.js::group > each > two": "error",
        "test/a.js::group > all > in > one": "error",
        "test/a.js::group > after > one": "passed",
        "test/a.js::group > after > two": "error",
    }
    assert (report.runner, report.source, report.ended) == ("mocha", "recorder", True)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
async def test_a_test_file_that_the_command_writes_is_no_place_for_sentinels(box: ProcessSandbox) -> None:
    workdir = Path(box.spec.workdir)
    (workdir / "src.js").write_text("require('node:test').test('fails', () => { throw 1 })\n")
    scripts = '{"scripts": {"pretest": "mkdir -p dist && cp src.js dist/a.test.js", "test": "node --test dist/"}}'
    (workdir / "package.json").write_text(scripts)
    task = Task(id="a", statement="a", image="host", workdir=box.spec.workdir, base_commit="0", test_command="npm test")
    report = await run_tests(box, task)
    assert (report.tests, report.files, report.places) == ({"dist/a.test.js::fails": "failed"}, (), {})
