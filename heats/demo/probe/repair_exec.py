"""Runs the test command once, recorded: in a forked child with the test framework already imported, or by the shell.

The repair policy sends this file to the sandbox. Python 3.8 or later, standard library only.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
SHELL_CHARACTERS = re.compile(r"[;&|<>$`\n(){}*?~]")


class Execution:
    """What one run of the test command gave.

    `tests` maps test ids to (passed, failure text, seconds).
    """

    def __init__(self, code: int | None, seconds: float, prefix: str) -> None:
        self.code, self.seconds, self.prefix = code, seconds, prefix
        self.tests: dict[str, tuple[bool, str, float]] = {}
        self.each: dict[str, dict[str, list[int]]] = {}
        if os.path.exists(prefix + ".jsonl"):
            with open(prefix + ".jsonl", encoding="utf-8") as stream:
                for entry in map(json.loads, stream):
                    self.tests[entry["id"]] = (entry["ok"], entry["text"], entry["s"])

    def failing(self) -> list[str]:
        """Ids of failing tests; the command itself when it fails without naming any."""
        named = [test for test, (ok, _, _) in self.tests.items() if not ok]
        return named or ([] if self.code == 0 else ["<command>"])

    def output(self) -> str:
        """What the command printed."""
        with open(self.prefix + ".out", encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def coverage(self) -> tuple[dict[str, dict[int, int]], dict[str, dict[int, int]]]:
        """Per file and line: how many failing and how many passing tests executed it; fills `each`."""
        total: tuple[dict[str, dict[int, int]], dict[str, dict[int, int]]] = ({}, {})
        folder, stem = os.path.split(self.prefix + ".cov.")
        for name in sorted(os.listdir(folder)):
            if name.startswith(stem):
                with open(os.path.join(folder, name), encoding="utf-8") as stream:
                    self._add(total, json.load(stream))
        return total

    def _add(self, total: tuple[dict[str, dict[int, int]], dict[str, dict[int, int]]], data: dict[str, Any]) -> None:
        for counts, part in zip(total, (data["failed"], data["passed"])):  # noqa: B905 - strict= is of Python 3.10
            for path, lines in part.items():
                per_file = counts.setdefault(path, {})
                for line, count in lines.items():
                    per_file[int(line)] = per_file.get(int(line), 0) + count
        self.each.update(data["each"])
        if data["child_of"]:
            ok = self.tests.get(data["child_of"], (True, "", 0.0))[0]
            for path, executed in data["lines"].items():
                per_file = total[1 if ok else 0].setdefault(path, {})
                for line in executed:
                    per_file[line] = per_file.get(line, 0) + 1


class Command:
    """The test command, understood as far as it can be."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.env: dict[str, str] = {}
        self.kind, self.program = "shell", ""
        self.argv: list[str] = []
        self.whole = False
        """Record the command as one test, for scripts that use no test framework."""
        self.process: subprocess.Popen[bytes] | None = None
        words = [] if SHELL_CHARACTERS.search(text) else shlex.split(text)
        while words and re.match(r"^\w+=", words[0]):
            name, _, value = words.pop(0).partition("=")
            self.env[name] = value
        if words:
            self._understand(words)
        if "pytest" in text or "py.test" in text:
            self.env["REPAIR_KIND"] = "pytest"

    def _understand(self, words: list[str]) -> None:
        program = os.path.basename(words[0])
        rest = words[1:]
        while program.startswith("python") and rest and rest[0] in ("-B", "-u"):
            rest.pop(0)
        if program in ("pytest", "py.test"):
            self.kind, self.argv, self.program = "pytest", rest, self._interpreter_of(words[0])
        elif re.match(r"^python[\d.]*$", program) and rest[:1] == ["-m"] and rest[1:2] in (["pytest"], ["unittest"]):
            self.kind, self.argv, self.program = rest[1], rest[2:], shutil.which(words[0]) or ""
        elif re.match(r"^python[\d.]*$", program) and rest[:1] and rest[0].endswith(".py"):
            self.kind, self.argv, self.program = "script", rest, shutil.which(words[0]) or ""
        if not self.program:
            self.kind = "shell"

    def _interpreter_of(self, script: str) -> str:
        path = shutil.which(script)
        if path:
            with open(path, "rb") as stream:
                first = stream.readline().decode("utf-8", "replace").strip()
            match = re.match(r"^#!\s*(\S*python[\d.]*)$", first)
            if match and os.path.exists(match.group(1)):
                return match.group(1)
        return ""

    def prepare(self) -> None:
        """Import the test framework once, so that forked children need not."""
        sys.path[1:1] = [part for part in self.env.get("PYTHONPATH", "").split(os.pathsep) if part]
        sys.path.insert(0, os.getcwd())
        try:
            if self.kind == "pytest":
                import repair_pytest  # type: ignore[import-not-found]  # noqa: F401
                from _pytest.config import default_plugins

                for name in default_plugins:
                    importlib.import_module("_pytest." + name)
            elif self.kind == "unittest":
                importlib.import_module("unittest.main")
        except ImportError:
            self.kind = "shell"
        finally:
            sys.path.pop(0)

    def run(self, prefix: str, *, timeout: float, trace: bool = False, only: list[str] | None = None) -> Execution:
        """Run once.

        Args:
            prefix: of the files written; must be new.
            timeout: seconds after which every process of the run is killed; its code is then None.
            trace: record executed lines.
            only: ids of the tests to run; None runs all.
        """
        env = self._environment(prefix, trace, only, timeout)
        started = time.monotonic()
        pid = os.fork() if self.kind != "shell" else self._shell(prefix, env)
        if pid == 0:
            self._child(prefix, env)
        code = _wait(pid, started + timeout)
        return Execution(code, time.monotonic() - started, prefix)

    def _environment(self, prefix: str, trace: bool, only: list[str] | None, timeout: float) -> dict[str, str]:
        env = dict(os.environ, **self.env)
        env.update(REPAIR_ROOT=os.getcwd(), REPAIR_OUT=prefix, REPAIR_TRACE="1" if trace else "0")
        env.update(REPAIR_TRACE_S=str(timeout * 0.7), PYTEST_PLUGINS="repair_pytest")
        # Compiled files stay out of the repository, and later runs find them.
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        env["PYTHONPYCACHEPREFIX"] = os.path.join(HERE, "compiled")
        env["PYTHONPATH"] = os.pathsep.join(part for part in (HERE, env.get("PYTHONPATH", "")) if part)
        env.setdefault("REPAIR_KIND", self.kind)
        if only is not None:
            env["REPAIR_ONLY"] = prefix + ".only"
            with open(prefix + ".only", "w", encoding="utf-8") as stream:
                json.dump(only, stream)
        return env

    def _shell(self, prefix: str, env: dict[str, str]) -> int:
        # A path that the command sets for itself would hide the recording plug-in.
        text = re.sub(r"(^|\s)PYTHONPATH=", rf"\1PYTHONPATH={HERE}:", self.text)
        with open(prefix + ".out", "wb") as out:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", text],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        return self.process.pid

    def _child(self, prefix: str, env: dict[str, str]) -> None:
        os.setsid()
        out = os.open(prefix + ".out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ.clear()
        os.environ.update(env)
        sys.dont_write_bytecode = False
        sys.pycache_prefix = env["PYTHONPYCACHEPREFIX"]
        code = 1
        try:
            self._run_here()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            self._leave(code, prefix)

    def _run_here(self) -> None:
        from repair_record import install_unittest, recorder  # type: ignore[import-not-found]

        script = self.kind == "script"
        if self.whole:
            recorder().begin("<command>")
        sys.path[0] = os.path.dirname(os.path.abspath(self.argv[0])) if script else os.getcwd()
        sys.path.append(HERE)
        if self.kind != "pytest":
            install_unittest(recorder())
        if script:
            sys.argv = list(self.argv)
            runpy.run_path(self.argv[0], run_name="__main__")
        else:
            sys.argv = [self.kind, *self.argv]
            runpy.run_module(self.kind, run_name="__main__", alter_sys=True)

    def _leave(self, code: int, prefix: str) -> None:
        from repair_record import recorder

        try:
            if self.whole and recorder().current == "<command>":
                sys.stderr.flush()
                with open(prefix + ".out", encoding="utf-8", errors="replace") as stream:
                    recorder().end(code != 0, stream.read(), time.monotonic())
            recorder().dump()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _wait(pid: int, deadline: float) -> int | None:
    pause = 0.002
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None
