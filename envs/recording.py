"""heats' own channel for test results: the recorder put into a sandbox, and what it reported read back.

The command runs with its output on standard error and standard output kept for the recorder (`envs/inside/`), which
writes there from within whichever process runs the tests. Its lines are untrusted: code under test could write such
lines, too. They are read with ceilings on their number and length, off the event loop.
"""

import asyncio
import json
import posixpath
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from envs.base import TestOutcome, TestPlace
from envs.gitscripts import scratch_path
from sandbox.base import Sandbox, SandboxLimits

WORST: tuple[TestOutcome, ...] = ("passed", "skipped", "failed", "error")
"""Outcomes; of several of one test the last in this order counts."""

CHANNEL_BYTES = 8 << 20
"""What is kept of the recorder's output: some 50,000 tests."""

_MOST_TESTS = 200_000
_LONGEST_LINE = 64 << 10
_MOST_ERRORS = 50
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")
_FOREIGN_PYTHONPATH = re.compile(r"(?<![\w$])PYTHONPATH=(?=[^\s;&|)])")

_LET_IN = r"""
pwd -P
cd "./$1" || exit
for f in Makefile makefile GNUmakefile *.mk *.sh justfile Justfile package.json bin/* ci/* .ci/* scripts/* tools/*; do
  [ -f "$f" ] && [ ! -h "$f" ] && grep -qI PYTHONPATH "$f" || continue
  sed -i 's#PYTHONPATH\([[:space:]]*[:?]\{0,1\}=[[:space:]]*\)\([^[:space:];\&|)=]\)#PYTHONPATH\1FOLDER:\2#g' "$f"
done
"""
"""What a command's own scripts put in the place of PYTHONPATH would keep the recorder out."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """One recorder in one sandbox. All names are random; none says which run of a verification this is.

    Attributes:
        roots: what the working directory is called: as heats says, and as processes in the sandbox see it.
    """

    folder: str
    variable: str
    nonce: str
    roots: tuple[str, ...]

    def wrap(self, command: str) -> str:
        """The command with the recorder in every Python process that it starts.

        The shell stays to the end, with the pipe open: a process that becomes the last command may close everything.
        """
        ours = _FOREIGN_PYTHONPATH.sub(f"PYTHONPATH={self.folder}:", command)
        return (
            f"exec 9>&1 1>&2\nexport {self.variable}=/proc/$$/fd/9 "
            f"PYTHONPATH={self.folder}${{PYTHONPATH:+:$PYTHONPATH}}\n{ours}\nexit $?"
        )


@dataclass(slots=True)
class Recording:
    """What test runners reported.

    Attributes:
        runner: of the first that started; set without one that started, where pytest was loaded and did not get to it.
        started: a runner began, and `ended`: each that began said that it was done.
        codes: how the runners ended.
        whole: nothing was cut off.
    """

    runner: str = ""
    started: bool = False
    ended: bool = True
    codes: tuple[int, ...] = ()
    whole: bool = True
    tests: dict[str, TestOutcome] = field(default_factory=dict)
    places: dict[str, TestPlace] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def room_for_results(limits: SandboxLimits) -> SandboxLimits:
    """The limits of a sandbox in which tests are recorded: more output is kept than agents are shown."""
    return limits.model_copy(update={"output_bytes": max(limits.output_bytes, CHANNEL_BYTES)})


async def put_recorder(sandbox: Sandbox, workdir: str, below: str = "") -> Recorder:
    """Write a recorder into a sandbox, and have scripts that set PYTHONPATH let it in.

    Args:
        below: the folder of `workdir` in which the command will run, and its scripts lie.

    Raises:
        SandboxError
    """
    name, variable, nonce = (f"{letter}{secrets.token_hex(6)}" for letter in ("m", "V", "n"))
    folder = scratch_path()
    for source, target in (("startup.py", "sitecustomize.py"), ("recorder.py", f"{name}.py")):
        text = _program(source)
        for placeholder, word in (("heats_recorder", name), ("HEATS_RESULTS", variable), ("HEATS_NONCE", nonce)):
            text = text.replace(f'"{placeholder}"', f'"{word}"')
        await sandbox.write_file(f"{folder}/{target}", text.encode())
    let_in = f"set -- {shlex.quote(below)}\n{_LET_IN.replace('FOLDER', folder)}"
    seen = await sandbox.exec(let_in, timeout=60, cwd=workdir)
    return Recorder(folder, variable, nonce, tuple(dict.fromkeys((workdir, seen.text().strip() or workdir))))


@cache
def _program(name: str) -> str:
    return (files("envs") / "inside" / name).read_text(encoding="ascii")


async def read_recording(data: bytes, recorder: Recorder, *, whole: bool) -> Recording:
    """Read what came out of the recorder's pipe, in a thread.

    Args:
        whole: nothing of it was left out for its length.
    """
    return await asyncio.to_thread(parse_recording, data, recorder.nonce, recorder.roots, whole=whole)


def parse_recording(data: bytes, nonce: str, roots: Sequence[str], *, whole: bool = True) -> Recording:
    """Read the recorder's lines; any others are passed over.

    Args:
        roots: names of the working directory.
    """
    found = Recording(whole=whole)
    processes: dict[object, _Process] = {}
    start = nonce.encode()
    for line in data.split(b"\n"):
        if not line.startswith(start) or len(line) > _LONGEST_LINE:
            continue
        try:
            process, kind, *words = json.loads(line[len(start) :])
            processes.setdefault(process, _Process(roots)).take(found, kind, words)
        except (ValueError, TypeError, IndexError, RecursionError, OverflowError):
            found.whole = False
    for one in processes.values():
        one.close(found)
    return found


class _Process:
    """The runner of one process: its own numbers of tests, its own idea of where paths start."""

    def __init__(self, roots: Sequence[str]) -> None:
        self.roots, self.root, self.running = roots, roots[0], False
        self.names: dict[object, str] = {}
        self.open: dict[str, None] = {}

    def take(self, found: Recording, kind: str, words: Sequence[object]) -> None:
        match kind:
            case "seen":
                found.runner = found.runner or str(words[0])
            case "start":
                found.runner = found.runner if found.started else str(words[0])
                found.started, self.running, self.root = True, True, str(words[1])
            case "test" if len(found.tests) + len(self.names) < _MOST_TESTS:
                self._test(found, *words)
            case "end":
                self._end(found, *words)
            case "broken" if len(found.errors) < _MOST_ERRORS:
                name = stable_id(str(words[0]))
                found.errors[name] = str(words[1])
                found.tests[name] = "error"
            case "done":
                self.running = False
                found.codes = (*found.codes, int(str(words[0])))

    def _test(self, found: Recording, number: object, name: object, line: object = None, file: object = None) -> None:
        test = self.names[number] = stable_id(str(name))
        self.open[test] = None
        path = self.path(str(file) if file is not None else test.split("::")[0])
        if path is not None and isinstance(line, int) and len(found.places) < _MOST_TESTS:
            found.places[test] = TestPlace(file=path, line=line)

    def _end(self, found: Recording, number: object, outcome: object, *_: object) -> None:
        test = self.names.get(number) or stable_id(str(number))
        self.open.pop(test, None)
        if outcome in WORST and (test in found.tests or len(found.tests) < _MOST_TESTS):
            known: TestOutcome = WORST[WORST.index(outcome)]
            found.tests[test] = max(known, found.tests.get(test, "passed"), key=WORST.index)

    def path(self, file: str) -> str | None:
        """A path as the runner gives it, relative to the working directory; None for one that lies elsewhere."""
        if "\0" in file:
            return None
        whole = posixpath.normpath(posixpath.join(self.root, file))
        starts = [posixpath.normpath(root).rstrip("/") + "/" for root in self.roots]
        return next((whole.removeprefix(start) for start in starts if whole.startswith(start)), None)

    def close(self, found: Recording) -> None:
        """A runner that never said that it was done took the test that it was running down with it."""
        if self.running:
            found.ended = False
            for test in self.open:
                found.tests[test] = "error"


def stable_id(test: str) -> str:
    """The id without memory addresses, which differ from run to run."""
    return _ADDRESS.sub("0x", test)


def test_files(tests: Mapping[str, TestOutcome], places: Mapping[str, TestPlace]) -> tuple[str, ...]:
    """The files that tests are defined in. Doctests lie in the very source that a fix changes: those are left out."""
    return tuple(sorted({places[test].file for test in tests if test in places and not is_doctest(test)}))


def is_doctest(test: str) -> bool:
    """Whether pytest's id names a doctest: its last part is a dotted name."""
    _, *rest = test.split("::")
    return bool(rest) and "." in rest[-1].split("[")[0]
