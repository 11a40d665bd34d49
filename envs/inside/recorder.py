"""Has the outermost test runner of a command report each test over a pipe that leads out of the sandbox.

Neither options of the command nor what tests print displace these reports. They start with a nonce, are written as
soon as a test ends, and cannot be taken back: of several outcomes of one test the worst one counts. Code under test
runs in the same process and could write such lines itself; the sentinel tests are there for that.

Python 3.6 or later, standard library only: this runs in the user's image, not in ours.
"""

import functools
import json
import os
import re
import sys

NAME = "heats_recorder"
VARIABLE = "HEATS_RESULTS"
NONCE = "HEATS_NONCE"
"""Replaced by random words when the file is written."""

HERE = os.path.dirname(os.path.abspath(__file__))
CLASS_FIXTURE = re.compile(r"(setUp|tearDown)(Class|Module) \((.+)\)$")


class Pipe:
    """Lines of JSON on a descriptor of the shell that runs the command, wherever in its process tree we are."""

    def __init__(self, path):
        self.path, self.pid, self.fd, self.identity = path, os.getpid(), -1, None

    def say(self, *words):
        """Write one line; children made by fork are silent: their parent reports for them."""
        if os.getpid() != self.pid:
            return
        data = (NONCE + json.dumps(words, separators=(",", ":")) + "\n").encode("ascii")
        try:
            self._open()
            while data:
                data = data[os.write(self.fd, data) :]
        except OSError:  # the far end is gone: what is missing is seen there
            pass

    def _open(self):
        """Open the pipe, again where the code under test has closed the descriptor or put another file there."""
        try:
            found = os.fstat(self.fd) if self.fd >= 0 else None
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self.identity:
            self.fd = os.open(self.path, os.O_WRONLY)
            found = os.fstat(self.fd)
            self.identity = (found.st_dev, found.st_ino)


class Outermost:
    """Whoever runs tests first in a process tree reports; runners started by tests do not."""

    registered = taken = False

    @classmethod
    def take(cls):
        """The pipe, for the first caller; None for any other. Child processes are not told of it."""
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


def watch_pytest(config):
    """Add the recorder to the first plugin manager that reads the environment.

    Args:
        config: the module `_pytest.config`.
    """
    if VARIABLE in os.environ:
        Pipe(os.environ[VARIABLE]).say("seen", "pytest")
    consider_env = config.PytestPluginManager.consider_env

    @functools.wraps(consider_env)
    def consider_env_and_record(self):
        consider_env(self)
        if not Outermost.registered and not Outermost.taken:
            Outermost.registered = True
            self.register(make_pytest_plugin(), NAME)

    config.PytestPluginManager.consider_env = consider_env_and_record


def make_pytest_plugin():
    """The recorder as a pytest plugin."""
    from pluggy import HookimplMarker

    hook = HookimplMarker("pytest")

    class Plugin:
        pipe = None

        @hook(tryfirst=True)
        def pytest_configure(self, config):
            # Workers of xdist report to the process that started them.
            self.pipe = None if hasattr(config, "workerinput") else Outermost.take()
            if self.pipe is not None:
                root = getattr(config, "rootpath", None) or config.rootdir
                self.pipe.say("start", "pytest", str(root))
                config.option.maxfail = 0
                self.numbers = {}

        def pytest_collectreport(self, report):
            if self.pipe is not None and report.failed:
                self.pipe.say("broken", report.nodeid, str(report.longrepr)[-2000:])

        def pytest_runtest_logstart(self, nodeid, location):
            if self.pipe is not None:
                number = self.numbers[nodeid] = len(self.numbers)
                file, line = location[0], location[1]
                where = [] if line is None else [line + 1]
                self.pipe.say("test", number, nodeid, *where, *([file] if where and nodeid[: len(file)] != file else []))

        def pytest_runtest_logreport(self, report):
            phase, outcome = report.when, report.outcome
            if self.pipe is None or outcome not in ("passed", "failed", "skipped"):
                return
            if phase in ("setup", "teardown"):
                if outcome == "passed":
                    return
                outcome = "error" if outcome == "failed" else outcome
            elif outcome == "skipped" and hasattr(report, "wasxfail"):
                outcome = "skipped"
            self.pipe.say("end", self.numbers.get(report.nodeid, report.nodeid), outcome, round(report.duration, 3))

        @hook(trylast=True)
        def pytest_sessionfinish(self, session, exitstatus):
            if self.pipe is not None:
                self.pipe.say("done", int(exitstatus), len(self.numbers))

    return Plugin()


def watch_unittest(runner):
    """Have unittest's runner, and every result that a runner of its kind fills, report.

    Args:
        runner: the module `unittest.runner`.
    """
    recording = Unittest()
    run = runner.TextTestRunner.run

    @functools.wraps(run)
    def run_and_record(self, test):
        outermost = recording.begin(test)
        if outermost:
            self.failfast = False
        result = run(self, test)
        if outermost:
            recording.finish(0 if result.wasSuccessful() else 1)
        return result

    runner.TextTestRunner.run = run_and_record
    for name in ("startTest", "stopTest", *recording.OUTCOMES):
        watch_method(runner.result.TestResult, name, getattr(recording, name, None) or recording.ended(name))


def watch_method(owner, name, told):
    """Have a method of a result tell the recorder before it does what it does."""
    method = getattr(owner, name, None)
    if method is None:
        return

    @functools.wraps(method)
    def wrapped(self, test, *rest, **named):
        told(self, test, *rest)
        return method(self, test, *rest, **named)

    setattr(owner, name, wrapped)


class Unittest:
    """What the outermost runner of unittest's kind does: Django's and many others are made of it."""

    OUTCOMES = {
        "addSuccess": "passed",
        "addFailure": "failed",
        "addError": "error",
        "addSkip": "skipped",
        "addExpectedFailure": "skipped",
        "addUnexpectedSuccess": "failed",
        "addSubTest": "failed",
    }

    def __init__(self):
        self.pipe, self.current = None, None
        self.planned, self.numbers = [], {}

    def begin(self, test):
        """Start to record, where nobody does yet; returns whether it did."""
        pipe = Outermost.take()
        if pipe is None:
            return False
        self.pipe = pipe
        self.planned = [one.id() for one in flat(test)]
        pipe.say("start", "unittest", os.getcwd())
        return True

    def finish(self, code):
        """The runner has returned."""
        if self.pipe is not None:
            self.pipe.say("done", code, len(self.numbers))
        self.pipe = None

    def startTest(self, result, test):  # noqa: N802 - unittest's name
        """A test starts; those that tests start themselves are theirs."""
        if self.pipe is not None and self.current is None:
            self.current = result, test
            self.number(test)

    def stopTest(self, result, test):  # noqa: N802 - unittest's name
        """A test has ended."""
        if self.current is not None and self.current[0] is result and self.current[1] is test:
            self.current = None

    def ended(self, name):
        """What to do when a result is told an outcome by the method of this name."""
        return lambda result, test, *rest: self.outcome(name, result, test, *rest)

    def outcome(self, name, result, test, *rest):
        """A test, a subtest or a fixture of a class or module has an outcome."""
        if self.pipe is None or (self.current is not None and self.current[0] is not result):
            return
        outcome = self.OUTCOMES[name]
        if name == "addSubTest" and (len(rest) < 2 or rest[1] is None):
            return
        if type(test).__name__ == "_FailedTest":
            error = rest[0] if rest and isinstance(rest[0], tuple) else (None, "", None)
            self.pipe.say("broken", test.id().split("_FailedTest.", 1)[-1], str(error[1])[-2000:])
        elif not hasattr(test, "_testMethodName"):
            self.fixture(str(test), outcome)
        elif self.current is not None and test is not self.current[1] and not hasattr(test, "test_case"):
            return
        else:
            self.pipe.say("end", self.number(test), outcome)

    def fixture(self, description, outcome):
        """A fixture that fails is no test: the tests that it was for have its outcome."""
        found = CLASS_FIXTURE.match(description)
        if found is None:
            self.pipe.say("end", description, outcome)
            return
        under = [one for one in self.planned if one.startswith(found.group(3) + ".")]
        started = [one for one in under if one in self.numbers]
        chosen = started[-1:] if found.group(1) == "tearDown" else [one for one in under if one not in self.numbers]
        for one in chosen or [found.group(3)]:
            self.pipe.say("end", one, outcome)

    def number(self, test):
        """The number of a test; a new one is told with the place of its function."""
        name = test.id()
        if name not in self.numbers:
            self.numbers[name] = len(self.numbers)
            self.pipe.say("test", self.numbers[name], name, *place(test))
        return self.numbers[name]


def flat(test):
    """The tests of a suite."""
    try:
        inside = list(test)
    except TypeError:
        return [test] if hasattr(test, "id") else []
    return [one for inner in inside for one in flat(inner)]


def place(test):
    """First line and file of a test's function; nothing where it has none of its own."""
    function = getattr(test, getattr(test, "_testMethodName", ""), None)
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    return [] if code is None else [code.co_firstlineno, os.path.abspath(code.co_filename)]
