"""Reports each test of a command's outermost test runner over a pipe that leads out of the sandbox.

Neither the command's options nor the output of tests displace these reports. They start with a nonce, are written as
soon as a test ends, and cannot be taken back: if a test has several outcomes, the worst counts. Code under test runs in
the same process and could write such lines itself; the sentinel tests guard against that.

Python 3.6 or later, standard library only: this runs in the user's image, not in ours.
"""

import atexit
import functools
import json
import os
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

NAME = "heats_recorder"
VARIABLE = "HEATS_RESULTS"
NONCE = "HEATS_NONCE"
"""Replaced by a random string when the file is written."""

HERE = os.path.dirname(os.path.abspath(__file__))
CLASS_FIXTURE = re.compile(r"(setUp|tearDown)(Class|Module) \((.+)\)$")


class Pipe:
    """Writes lines of JSON to a descriptor of the shell that runs the command, from any depth of its process tree."""

    def __init__(self, path: str) -> None:
        self.path, self.pid, self.fd = path, os.getpid(), -1
        self.identity: tuple[int, int] | None = None

    def say(self, *words: object) -> None:
        """Write one line; forked children stay silent, since their parent reports for them."""
        if os.getpid() != self.pid:
            return
        data = (NONCE + json.dumps((self.pid, *words), separators=(",", ":")) + "\n").encode("ascii")
        try:
            self._open()
            while data:
                data = data[os.write(self.fd, data) :]
        except OSError:  # the reader is gone: it notices what is missing
            pass

    def _open(self) -> None:
        """Open the pipe, again if the code under test closed the descriptor or put another file in its place."""
        try:
            found = os.fstat(self.fd) if self.fd >= 0 else None
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self.identity:
            self.fd = os.open(self.path, os.O_WRONLY)
            found = os.fstat(self.fd)
            self.identity = (found.st_dev, found.st_ino)


class Outermost:
    """Ensures that only the first runner in a process tree reports; runners started by tests do not."""

    registered = taken = False

    @classmethod
    def take(cls) -> "Pipe | None":
        """The pipe for the first caller, None for all others; child processes do not inherit it."""
        path = os.environ.pop(VARIABLE, None)
        if cls.taken or path is None:
            return None
        cls.taken = True
        rest = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry != HERE]
        os.environ["PYTHONPATH"] = os.pathsep.join(rest)
        if not any(rest):
            del os.environ["PYTHONPATH"]
        sys.path[:] = [entry for entry in sys.path if entry != HERE]
        return Pipe(path)


def watch_pytest(config: "Any") -> None:
    """Add the recorder to the first plugin manager that reads the environment.

    Args:
        config: the module `_pytest.config`.
    """
    if VARIABLE in os.environ:
        Pipe(os.environ[VARIABLE]).say("seen", "pytest")
    consider_env = config.PytestPluginManager.consider_env

    @functools.wraps(consider_env)
    def consider_env_and_record(self: "Any") -> None:
        consider_env(self)
        if not Outermost.registered and not Outermost.taken:
            Outermost.registered = True
            self.register(make_pytest_plugin(), NAME)

    config.PytestPluginManager.consider_env = consider_env_and_record


def make_pytest_plugin() -> object:
    """The recorder as a pytest plugin."""
    from pluggy import HookimplMarker

    hook = HookimplMarker("pytest")

    class Plugin:
        pipe: "Pipe | None" = None

        @hook(tryfirst=True)
        def pytest_configure(self, config: "Any") -> None:
            # xdist workers report to the process that started them.
            self.pipe = None if hasattr(config, "workerinput") else Outermost.take()
            self.numbers: dict[str, int] = {}
            if self.pipe is not None:
                root = getattr(config, "rootpath", None) or config.rootdir
                self.pipe.say("start", "pytest", str(root))
                run_past_failures(config)

        def pytest_collectreport(self, report: "Any") -> None:
            if self.pipe is not None and report.failed:
                self.pipe.say("broken", report.nodeid, str(report.longrepr)[-2000:])

        def pytest_runtest_logstart(self, nodeid: str, location: "Any") -> None:
            if self.pipe is not None:
                number = self.numbers[nodeid] = len(self.numbers)
                file, line = location[0], location[1]
                where: tuple[object, ...] = () if line is None else (line + 1,)
                if where and not nodeid.startswith(file):
                    where += (file,)
                self.pipe.say("test", number, nodeid, *where)

        def pytest_runtest_logreport(self, report: "Any") -> None:
            outcome, around = report.outcome, report.when in ("setup", "teardown")
            if self.pipe is None or outcome not in ("passed", "failed", "skipped") or (around and outcome == "passed"):
                return
            outcome = "error" if around and outcome == "failed" else outcome
            self.pipe.say("end", self.numbers.get(report.nodeid, report.nodeid), outcome)

        @hook(trylast=True)
        def pytest_sessionfinish(self, session: object, exitstatus: int) -> None:
            if self.pipe is not None:
                self.pipe.say("done", int(exitstatus))

    return Plugin()


def run_past_failures(config: "Any") -> None:
    """Undo `-x` and similar options, here and in xdist workers, which parse the command line again."""
    config.option.maxfail = 0
    given = getattr(config, "invocation_params", None)
    if given is not None:
        config.invocation_params = type(given)(args=(*given.args, "--maxfail=0"), plugins=given.plugins, dir=given.dir)


def watch_unittest(runner: "Any") -> None:
    """Make unittest's runner, and every result filled by a runner like it, report.

    Args:
        runner: the module `unittest.runner`.
    """
    recording = Unittest()
    run = runner.TextTestRunner.run

    @functools.wraps(run)
    def run_and_record(self: "Any", test: "Any") -> "Any":
        outermost = recording.begin(test)
        if outermost:
            self.failfast = False
        result = run(self, test)
        if outermost:
            recording.finish(0 if result.wasSuccessful() else 1)
        return result

    runner.TextTestRunner.run = run_and_record
    watch_method(runner.result.TestResult, "startTest", recording.start)
    watch_method(runner.result.TestResult, "stopTest", recording.stop)
    for name in OUTCOMES:
        watch_method(runner.result.TestResult, name, functools.partial(recording.outcome, name))


def watch_method(owner: type, name: str, told: "Callable[..., None]") -> None:
    """Wrap a method of a result class so that it notifies the recorder first.

    Args:
        owner: the result class; unchanged if it has no such method.
        name: name of the method.
        told: called with the result, the test and the method's further positional arguments.
    """
    method = getattr(owner, name, None)
    if method is None:
        return

    @functools.wraps(method)
    def wrapped(self: object, test: object, *rest: object, **named: object) -> object:
        told(self, test, *rest)
        return method(self, test, *rest, **named)

    setattr(owner, name, wrapped)


OUTCOMES = {
    "addSuccess": "passed",
    "addFailure": "failed",
    "addError": "error",
    "addSkip": "skipped",
    "addExpectedFailure": "skipped",
    "addUnexpectedSuccess": "failed",
    "addSubTest": "failed",
}
"""Outcomes that the methods of unittest's results stand for."""


class Unittest:
    """Records the outermost unittest-like runner; Django's and many others derive from it."""

    def __init__(self) -> None:
        self.pipe: Pipe | None = None
        self.current: tuple[object, object] | None = None
        self.planned: dict[str, Sequence[object]] = {}
        self.numbers: dict[str, int] = {}

    def begin(self, test: "Any") -> bool:
        """Start recording unless a recorder is active already; return whether it started."""
        pipe = Outermost.take()
        if pipe is None:
            return False
        self.pipe = pipe
        self.planned = {one.id(): place(one) for one in flat(test)}
        pipe.say("start", "unittest", os.getcwd())
        return True

    def finish(self, code: int) -> None:
        """Report that the runner has returned."""
        self.say("done", code)
        self.pipe = None

    def say(self, *words: object) -> None:
        """Write a line to the pipe while this runner is being recorded."""
        if self.pipe is not None:
            self.pipe.say(*words)

    def start(self, result: object, test: "Any") -> None:
        """Report that a test starts, unless another test started it."""
        if self.pipe is None and self.begin(()):  # a runner that does not derive from unittest's
            atexit.register(self.finish, 0)
        if self.pipe is not None and self.current is None:
            self.current = result, test
            self.number(test.id(), place(test))

    def stop(self, result: object, test: object) -> None:
        """Note that a test has ended."""
        if self.current is not None and self.current[0] is result and self.current[1] is test:
            self.current = None

    def outcome(self, name: str, result: object, test: "Any", *rest: "Any") -> None:
        """Report the outcome of a test, a subtest, or a class or module fixture.

        Args:
            name: the result's method that was called, such as `addFailure`.
            result: the result object; only that of the current test is recorded.
            test: the test, subtest or fixture.
            rest: further arguments of the method, such as the exception.
        """
        if self.pipe is None or (self.current is not None and self.current[0] is not result):
            return
        if name == "addSubTest" and (len(rest) < 2 or rest[1] is None):
            return
        if type(test).__name__ == "_FailedTest":
            error = rest[0] if rest and isinstance(rest[0], tuple) else (None, "", None)
            self.say("broken", test.id().split("_FailedTest.", 1)[-1], str(error[1])[-2000:])
        elif not hasattr(test, "_testMethodName"):
            self.fixture(str(test), OUTCOMES[name])
        else:
            self.say("end", self.number(test.id(), place(test)), OUTCOMES[name])

    def fixture(self, description: str, outcome: str) -> None:
        """Report a failed fixture as the outcome of every test that it was meant for."""
        found = CLASS_FIXTURE.match(description)
        if found is None:
            self.say("end", description, outcome)
            return
        under = [one for one in self.planned if one.startswith(found.group(3) + ".")]
        started = [one for one in under if one in self.numbers]
        chosen = started[-1:] if found.group(1) == "tearDown" else [one for one in under if one not in self.numbers]
        for one in chosen or [found.group(3)]:
            self.say("end", self.number(one, self.planned.get(one, ())), outcome)

    def number(self, name: str, where: "Sequence[object]") -> int:
        """The number of a test; a new test is first announced with the place of its function."""
        if name not in self.numbers:
            self.numbers[name] = len(self.numbers)
            self.say("test", self.numbers[name], name, *where)
        return self.numbers[name]


def flat(test: "Any") -> "list[Any]":
    """The tests of a suite, flattened."""
    try:
        inside = list(test)
    except TypeError:
        return [test] if hasattr(test, "id") else []
    return [one for inner in inside for one in flat(inner)]


def place(test: "Any") -> "Sequence[object]":
    """First line and file of a test's function; empty if it has no function of its own."""
    function: Any = getattr(test, getattr(test, "_testMethodName", ""), None)
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    return [] if code is None else [code.co_firstlineno, os.path.abspath(code.co_filename)]
