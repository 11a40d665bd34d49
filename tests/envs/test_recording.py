"""Parsing the recorder's report, whatever else is in the stream, and however much of it."""

import json
import time

from envs.recording import parse_recording, stable_id

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
