"""Runs inside a test process: records which tests failed and which source lines each of them executed.

PYTEST_DONT_REWRITE: pytest's assertion rewriting has no business here.

The repair policy sends this file to the sandbox. Python 3.8 or later, standard library only. What it does is set by
environment variables: REPAIR_ROOT (the repository), REPAIR_OUT (prefix of the files written), REPAIR_TRACE (`1`:
record lines), REPAIR_TRACE_S (seconds after which lines are no longer recorded), REPAIR_ONLY (file with a JSON list of
test ids; others are not run), REPAIR_KIND (`pytest`: unittest is left alone), REPAIR_TEST (set for child processes).
"""

from __future__ import annotations

import atexit
import dis
import functools
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

TEST_PATH = re.compile(r"(^|/)(tests?|testing)/|(^|/)(test_[^/]*|[^/]*_tests?|conftest)\.py$")
FOREIGN_PATH = re.compile(r"(^|/)(site-packages|dist-packages|node_modules|\.[^/]+|__pypackages__)/|(^|/)setup\.py$")
TEXT_LIMIT = 4000
EACH_LIMIT = 40


def is_source(relative: str) -> bool:
    """Is this path (relative to the repository) code that may be repaired: not a test, not somebody else's package?"""
    return relative.endswith(".py") and not TEST_PATH.search(relative) and not FOREIGN_PATH.search(relative)


class Recorder:
    """Outcomes and executed lines of the tests of this process."""

    def __init__(self) -> None:
        env = os.environ
        self.root = os.path.realpath(env.get("REPAIR_ROOT") or os.getcwd()) + os.sep
        self.out = env.get("REPAIR_OUT", "")
        self.tracing = env.get("REPAIR_TRACE") == "1"
        self.until = time.monotonic() + float(env.get("REPAIR_TRACE_S", "40"))
        self.only: set[str] | None = None
        if env.get("REPAIR_ONLY"):
            with open(env["REPAIR_ONLY"], encoding="utf-8") as stream:
                self.only = set(json.load(stream))
        self.current: str | None = None
        self.files: dict[CodeType, str] = {}
        self.sizes: dict[CodeType, int] = {}
        self.seen: dict[CodeType, set[int]] = {}
        self.failed: dict[str, dict[int, int]] = {}
        self.passed: dict[str, dict[int, int]] = {}
        self.each: dict[str, dict[str, list[int]]] = {}
        """Lines of each failing test, for the first of them."""
        self.child_of = ""

    def begin(self, test: str) -> bool:
        """Start recording a test; False when one is being recorded already."""
        if self.current is not None:
            return False
        self.current = test
        self.seen = {}
        os.environ["REPAIR_TEST"] = test
        if self.tracing and time.monotonic() < self.until:
            threading.settrace(self._on_call)
            sys.settrace(self._on_call)
        return True

    def end(self, failed: bool, text: str, started: float) -> None:
        """Stop recording the current test and write down how it ended."""
        test, self.current = self.current, None
        if self.tracing:
            sys.settrace(None)
            threading.settrace(None)
        os.environ.pop("REPAIR_TEST", None)
        counts = self.failed if failed else self.passed
        if failed and len(self.each) < EACH_LIMIT:
            own = self.each.setdefault(str(test), {})
            for code, lines in self.seen.items():
                own[self.files[code]] = sorted(lines.union(own.get(self.files[code], ())))
        for code, lines in self.seen.items():
            per_file = counts.setdefault(self.files[code], {})
            for line in lines:
                per_file[line] = per_file.get(line, 0) + 1
        self.note(str(test), not failed, text, time.monotonic() - started)

    def note(self, test: str, ok: bool, text: str, seconds: float) -> None:
        """Append one outcome; kept even when the process is killed later."""
        if self.out:
            entry = {"id": test, "ok": ok, "text": text[-TEXT_LIMIT:] if not ok else "", "s": round(seconds, 4)}
            with open(self.out + ".jsonl", "a", encoding="utf-8", errors="replace") as stream:
                stream.write(json.dumps(entry) + "\n")

    def dump(self) -> None:
        """Write the line counts of this process."""
        if self.out and self.tracing and (self.failed or self.passed or self.child_of):
            lines = {self.files[code]: sorted(lines) for code, lines in self.seen.items()}
            data = {"failed": self.failed, "passed": self.passed, "child_of": self.child_of}
            data.update(lines=lines, each=self.each)
            with open(f"{self.out}.cov.{os.getpid()}", "w", encoding="utf-8") as stream:
                json.dump(data, stream)

    def _on_call(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        name = self.files.get(code)
        if name is None:
            name = self.files[code] = self._relative(code.co_filename)
            self.sizes[code] = len({line for _, line in dis.findlinestarts(code)}) if name else 0
        if not name:
            return None
        seen = self.seen.setdefault(code, set())
        if len(seen) >= self.sizes[code]:
            return None

        def on_line(frame: FrameType, event: str, arg: Any) -> Callable[..., Any]:
            if event == "line":
                seen.add(frame.f_lineno)
            return on_line

        return on_line

    def _relative(self, filename: str) -> str:
        path = os.path.realpath(filename)
        if not path.startswith(self.root):
            return ""
        relative = path[len(self.root) :].replace(os.sep, "/")
        return relative if is_source(relative) else ""


@functools.lru_cache(maxsize=1)
def recorder() -> Recorder:
    """This process's recorder."""
    return Recorder()


def _problems(result: Any) -> list[str]:
    found = [str(text) for _, text in list(getattr(result, "failures", ())) + list(getattr(result, "errors", ()))]
    return found + ["unexpected success" for _ in getattr(result, "unexpectedSuccesses", ())]


def install_unittest(record: Recorder) -> None:
    """Record every unittest test case that this process runs."""
    import unittest

    original = unittest.TestCase.run

    @functools.wraps(original)
    def run(self: unittest.TestCase, result: Any = None) -> Any:
        name = self.id()
        if record.only is not None and record.current is None and name not in record.only:
            return result
        if result is None or not record.begin(name):
            return original(self, result)
        before = len(_problems(result))
        started = time.monotonic()
        try:
            return original(self, result)
        finally:
            problems = _problems(result)
            record.end(len(problems) > before, "\n".join(problems[-1:]), started)

    unittest.TestCase.run = run  # type: ignore[method-assign]


def start_in_child() -> None:
    """Start recording in a Python process that the test command started; called by sitecustomize."""
    record = recorder()
    atexit.register(record.dump)
    test = os.environ.get("REPAIR_TEST")
    if test:
        record.child_of = test
        record.current = test
        if record.tracing:
            sys.settrace(record._on_call)
    elif os.environ.get("REPAIR_KIND") != "pytest":
        install_unittest(record)
