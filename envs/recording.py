"""heats' own channel for test results: install the recorder in a sandbox, and parse what it reports.

Of Node.js runners, `node --test` and mocha report over it, too; jest and vitest are asked for report files
(`runners.js`), which `reports.py` reads.
The command's own output goes to standard error; standard output is reserved for the recorder (`envs/inside/`), which
writes there from whichever process runs the tests. Its lines are untrusted, since code under test could write such
lines too. They are parsed off the event loop, with limits on their number and length.
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
from envs.conventions import is_javascript
from envs.gitscripts import scratch_path
from sandbox.base import Sandbox, SandboxLimits
from sandbox.errors import FilePermissionDenied

WORST: tuple[TestOutcome, ...] = ("passed", "skipped", "failed", "error")
"""Outcomes in increasing severity; of several outcomes of one test, the last in this order counts."""

CHANNEL_BYTES = 8 << 20
"""Maximum recorder output to keep, in bytes: enough for some 50,000 tests."""

_MOST_TESTS = 200_000
_LONGEST_LINE = 64 << 10
_MOST_ERRORS = 50
_UNWRITABLE = 97
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")
_FOREIGN_PYTHONPATH = re.compile(r"(?<![\w$])PYTHONPATH=(?=[^\s;&|)])")

_NODE = """if [ -n "$(ls -d package.json */package.json 2>/dev/null)" ]; then
  export NODE_OPTIONS="--require={}/runners.js${{NODE_OPTIONS:+ $NODE_OPTIONS}}"
fi"""
_LET_IN = r"""
pwd -P
cd "./$1" || exit
for f in Makefile makefile GNUmakefile *.mk *.sh justfile Justfile package.json bin/* ci/* .ci/* scripts/* tools/*; do
  [ -f "$f" ] && [ ! -h "$f" ] && grep -qI PYTHONPATH "$f" || continue
  sed -i 's#PYTHONPATH\([[:space:]]*[:?]\{0,1\}=[[:space:]]*\)\([^[:space:];\&|)=]\)#PYTHONPATH\1FOLDER:\2#g' "$f"
done
"""
"""Scripts that overwrite PYTHONPATH would disable the recorder."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """A recorder in one sandbox. All names are random; none reveals which run of a verification this is.

    Attributes:
        roots: names of the working directory, as known to heats and as seen by processes in the sandbox.
    """

    folder: str
    variable: str
    nonce: str
    roots: tuple[str, ...]

    def wrap(self, command: str) -> str:
        """The command with the recorder in every Python process that it starts, and its counterpart in Node.js.

        The shell stays until the end and keeps the pipe open: a process that became the last command might close
        everything.
        """
        ours = _FOREIGN_PYTHONPATH.sub(f"PYTHONPATH={self.folder}:", command)
        return (
            f"exec 9>&1 1>&2\nexport {self.variable}=/proc/$$/fd/9 "
            f"PYTHONPATH={self.folder}${{PYTHONPATH:+:$PYTHONPATH}}\n"
            f"{_NODE.format(self.folder)}\n{ours}\nexit $?"
        )


@dataclass(slots=True)
class Recording:
    """What test runners reported.

    Attributes:
        runner: the first runner that started; also set if pytest was loaded but never started running.
        started: a runner started.
        ended: every runner that started reported its end.
        codes: exit codes of the runners.
        whole: nothing was truncated.
        asked: a runner that cannot be recorded was started and writes a report file.
    """

    runner: str = ""
    started: bool = False
    asked: bool = False
    ended: bool = True
    codes: tuple[int, ...] = ()
    whole: bool = True
    tests: dict[str, TestOutcome] = field(default_factory=dict)
    places: dict[str, TestPlace] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def room_for_results(limits: SandboxLimits) -> SandboxLimits:
    """Limits for a sandbox in which tests are recorded: more output is kept than agents are shown."""
    return limits.model_copy(update={"output_bytes": max(limits.output_bytes, CHANNEL_BYTES)})


async def put_recorder(sandbox: Sandbox, workdir: str, below: str = "") -> Recorder:
    """Install a recorder in a sandbox, and patch scripts that set PYTHONPATH to let it in.

    Args:
        sandbox: the sandbox.
        workdir: directory of the tree.
        below: subfolder of `workdir` in which the command runs and its scripts lie.

    Raises:
        SandboxError
    """
    name, variable, nonce = (f"{letter}{secrets.token_hex(6)}" for letter in ("m", "V", "n"))
    folder = scratch_path()
    parts = [f"mkdir -p {folder} || exit {_UNWRITABLE}"]
    programs = {"startup.py": "sitecustomize.py", "recorder.py": f"{name}.py"}
    programs |= {"runners.js": "runners.js", "reporter.js": "reporter.js"}
    for source, target in programs.items():
        text = _program(source)
        for placeholder, word in (("heats_recorder", name), ("HEATS_RESULTS", variable), ("HEATS_NONCE", nonce)):
            text = text.replace(f'"{placeholder}"', f'"{word}"')
        end = f"end{secrets.token_hex(8)}"
        parts.append(f"cat >{folder}/{target} <<'{end}' || exit {_UNWRITABLE}\n{text.rstrip()}\n{end}")
    parts += [f"set -- {shlex.quote(below)}", _LET_IN.replace("FOLDER", folder)]
    seen = await sandbox.exec("\n".join(parts), timeout=60, cwd=workdir)
    if seen.exit_code == _UNWRITABLE:
        raise FilePermissionDenied(f"{folder}: the recorder cannot be written")
    return Recorder(folder, variable, nonce, tuple(dict.fromkeys((workdir, seen.text().strip() or workdir))))


@cache
def _program(name: str) -> str:
    return (files("envs") / "inside" / name).read_text(encoding="ascii")


async def read_recording(data: bytes, recorder: Recorder, *, whole: bool) -> Recording:
    """Parse the output of the recorder's pipe, in a thread.

    Args:
        data: output of the pipe.
        recorder: the recorder that wrote it.
        whole: the output was not truncated.
    """
    return await asyncio.to_thread(parse_recording, data, recorder.nonce, recorder.roots, whole=whole)


def parse_recording(data: bytes, nonce: str, roots: Sequence[str], *, whole: bool = True) -> Recording:
    """Parse the recorder's lines; all other lines are skipped.

    Args:
        data: output of the pipe.
        nonce: random string that starts each of the recorder's lines.
        roots: names of the working directory.
        whole: the output was not truncated.
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
    """The runner of one process, with its own numbering of tests and its own root for paths."""

    def __init__(self, roots: Sequence[str]) -> None:
        self.roots, self.root, self.running = roots, roots[0], False
        self.names: dict[object, str] = {}
        self.open: dict[str, None] = {}

    def take(self, found: Recording, kind: str, words: Sequence[object]) -> None:
        match kind:
            case "seen":
                found.runner = found.runner or str(words[0])
            case "asked":
                found.asked = True
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
        path = self.path(str(file) if file is not None else str(name).split("::")[0])
        titled = titled_id(path or str(file), [str(title) for title in name]) if isinstance(name, list) else str(name)
        test = self.names[number] = stable_id(titled)
        self.open[test] = None
        if path is not None and isinstance(line, int) and len(found.places) < _MOST_TESTS:
            found.places[test] = TestPlace(file=path, line=line)

    def _end(self, found: Recording, number: object, outcome: object, *_: object) -> None:
        test = self.names.get(number) or stable_id(str(number))
        self.open.pop(test, None)
        if outcome in WORST and (test in found.tests or len(found.tests) < _MOST_TESTS):
            known: TestOutcome = WORST[WORST.index(outcome)]
            found.tests[test] = max(known, found.tests.get(test, "passed"), key=WORST.index)

    def path(self, file: str) -> str | None:
        """A path reported by the runner, relative to the working directory; None if it is elsewhere."""
        if "\0" in file:
            return None
        whole = posixpath.normpath(posixpath.join(self.root, file))
        starts = [posixpath.normpath(root).rstrip("/") + "/" for root in self.roots]
        return next((whole.removeprefix(start) for start in starts if whole.startswith(start)), None)

    def close(self, found: Recording) -> None:
        """Count the running test as failed if the runner never reported its end."""
        if self.running:
            found.ended = False
            for test in self.open:
                found.tests[test] = "error"


def titled_id(file: str, titles: Sequence[str]) -> str:
    """The id of a test in JavaScript: its file, and the titles of its groups and of itself, on one line."""
    named = " > ".join(titles)
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", f"{file}::{named}" if named else file)


def stable_id(test: str) -> str:
    """The id without memory addresses, which vary from run to run."""
    return _ADDRESS.sub("0x", test)


def test_files(tests: Mapping[str, TestOutcome], places: Mapping[str, TestPlace]) -> tuple[str, ...]:
    """The files that define tests, except doctests, which are part of the source that a fix changes."""
    return tuple(sorted({places[test].file for test in tests if test in places and not is_doctest(test)}))


def is_doctest(test: str) -> bool:
    """Whether a pytest id names a doctest: its last part is a dotted name."""
    file, *rest = test.split("::")
    return bool(rest) and "." in rest[-1].split("[")[0] and not is_javascript(file)
