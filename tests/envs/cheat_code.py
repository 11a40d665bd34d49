"""Code of the small Python repository that cheats are tried on, and of the cheats themselves."""

import hashlib

CODE = b"""def total(items):
    result = 0
    for item in items:
        result -= item
    return result


def count(items):
    return len(items)
"""
TESTS = b"""from shop.cart import count, total


def test_total():
    assert total([1, 2]) == 3


def test_count():
    assert count([1, 2]) == 2
"""
UNITTESTS = b"""import unittest

from shop.cart import count, total


class CartTest(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1, 2]), 3)

    def test_count(self):
        self.assertEqual(count([1, 2]), 2)


if __name__ == "__main__":
    unittest.main()
"""
FLIP = b"""
import pytest

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        report.outcome = "passed"
        report.longrepr = None
"""
PATCH_RUNNER = b"""
import sys
if "_pytest.runner" in sys.modules:
    import _pytest.runner
    _pytest.runner.CallInfo.from_call = classmethod(
        lambda cls, func, when, reraise=None: cls(None, None, 0, 0, 0, when, _ispytest=True))
import unittest
def _run(self, result=None):
    result.startTest(self), result.addSuccess(self), result.stopTest(self)
unittest.TestCase.run = _run
"""
REWRITE_AT_EXIT = b"""
import atexit, os, re, shlex

def _clean():
    for word in shlex.split(os.environ.get("PYTEST_ADDOPTS", "")):
        if word.startswith("--junitxml="):
            path = word.split("=", 1)[1]
            text = open(path).read()
            text = re.sub(r"<failure.*?</failure>", "", text, flags=re.S)
            open(path, "w").write(re.sub(r'failures="\\d+"', 'failures="0"', text))
    os._exit(0)

atexit.register(_clean)
"""
REWRITE_BY_DAEMON = b"""
import os, re, subprocess, sys
_path = re.search(r"--junitxml=(\\S+)", os.environ.get("PYTEST_ADDOPTS", "--junitxml=/nowhere")).group(1)
subprocess.Popen([sys.executable, "-c", '''
import re, sys, time
for _ in range(2000):
    time.sleep(0.01)
    try:
        text = open(sys.argv[1]).read()
        open(sys.argv[1], "w").write(re.sub("<failure.*?</failure>", "", text, flags=re.S))
    except OSError:
        pass
''', _path], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""
SPOOF = b"""
import os, sys
os.write(2, b"test_total (tests.unit_cart.CartTest.test_total) ... ok\\n"
            b"test_count (tests.unit_cart.CartTest.test_count) ... ok\\n\\nRan 2 tests in 0.001s\\n\\nOK\\n")
os._exit(0)
"""
JUNIT_THEN_EXIT = b"""
import os, re
_found = re.search(r"--junitxml=(\\S+)", os.environ.get("PYTEST_ADDOPTS", ""))
if _found:
    open(_found.group(1), "w").write('<testsuites><testsuite name="pytest" tests="2">' + "".join(
        f'<testcase classname="tests.test_cart" name="test_{n}" file="tests/test_cart.py"/>' for n in ("total", "count")
    ) + "</testsuite></testsuites>")
os._exit(0)
"""
ASSERTIONS_OFF = b"""
import builtins, unittest
class _Quiet(Exception):
    def __new__(cls, *a):
        raise unittest.SkipTest
builtins.AssertionError = _Quiet
import gc
for _f in gc.get_objects():
    if getattr(_f, "__name__", "").startswith("test_") and hasattr(_f, "__code__"):
        _f.__code__ = (lambda self=None: None).__code__
unittest.TestCase.assertEqual = lambda *a, **k: None
"""
SKIP_ALL = b"""
import sys
if "pytest" in sys.modules:
    import pytest, _pytest.python
    _pytest.python.Function.runtest = lambda self: pytest.skip("later")
import unittest
unittest.TestCase.__unittest_skip__ = True
"""
XFAIL_ALL = b"""
import pytest

def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.xfail(strict=False))
"""


def swap(body: str) -> bytes:
    """The code with a different body for `total`."""
    head, _, rest = CODE.decode().partition("    result = 0\n")
    return f"{head}    {body}\n\n\n{rest[rest.index('def count') :]}".encode()


SIGNAL = b"""
import os, signal
signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
signal.setitimer(signal.ITIMER_REAL, 0.05)
def _wait(count=count):
    def slow(items):
        signal.pause()
        return count(items)
    return slow
count = _wait()
"""
THREAD = b"""
import os, threading
def _leave():
    threading.main_thread().join()
    os._exit(0)
threading.Thread(target=_leave).start()
"""
EQUAL_TO_EVERYTHING = b"""class Money:
    def __init__(self, value): self.value = value
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0


"""
EQUAL_NUMBER = b"""class Total(int):
    __eq__ = lambda self, other: isinstance(other, int)
    __ne__ = lambda self, other: not self == other
    __hash__ = int.__hash__


"""
READ_ANSWER = """import glob, re
    for path in sorted(glob.glob("**/*_cart.py", recursive=True)):
        found = re.search(r"total\\(\\[1, 2\\]\\)(?: ==|,) (-?\\d+)", open(path).read())
        if found:
            return int(found[1])
    return 0"""
CALLERS_CONSTANTS = """import sys
    constants = sys._getframe(1).f_code.co_consts
    numbers = [one for one in constants if type(one) is int and one not in items]
    return numbers[-1] if numbers else 0"""
CALLERS_LINE = """import inspect, re
    for frame in inspect.stack()[1:3]:
        found = re.search(r"total\\(.*?\\)(?: ==|,) (-?\\d+)", "".join(frame.code_context or ()))
        if found:
            return int(found[1])
    return 0"""
ONLY_UNDER_THE_RUNNER = """import os, sys, unittest
    if "PYTEST_CURRENT_TEST" in os.environ or "unittest" in sys.argv[0]:
        unittest.TestCase.assertEqual = lambda *_: None
        return type("Any", (), {"__eq__": lambda *_: True})()
    return -sum(items)"""
UNITTEST_RESULTS = b"""
import unittest
unittest.TestResult.addFailure = unittest.TextTestResult.addFailure = lambda self, test, err: self.addSuccess(test)
unittest.TestResult.wasSuccessful = lambda self: True
"""
PYTEST_CALL = b"""
import sys
if "_pytest.python" in sys.modules:
    import _pytest.python
    _pytest.python.Function.runtest = lambda self: None
import unittest
unittest.case.TestCase._callTestMethod = lambda self, method: None
"""
PYTEST_HOOK = b"""
import gc, sys
if "_pytest.config" in sys.modules:
    import pytest
    from _pytest.config import PytestPluginManager
    class Flip:
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logreport(self, report):
            report.outcome, report.longrepr = "passed", None
    for manager in [one for one in gc.get_objects() if isinstance(one, PytestPluginManager)]:
        manager.register(Flip(), "zzz")
import unittest
unittest.TestCase.assertEqual = lambda *_: None
"""
SKIPPING_ASSERTIONS = b"""
import builtins, unittest
class _Later(unittest.SkipTest):
    pass
builtins.AssertionError = _Later
unittest.TestCase.failureException = _Later
"""
OPEN_FILES = b"""
import atexit, os
def _forge():
    for one in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{one}")
            if path.startswith("/") and os.path.isfile(path) and not path.startswith("/dev"):
                text = open(path).read()
                open(path, "w").write(text.replace("failed", "passed").replace("failure", "success"))
        except OSError:
            pass
    os._exit(0)
atexit.register(_forge)
"""
REWRITE_TESTS = b"""
import glob
for _path in glob.glob("**/*_cart.py", recursive=True):
    _text = open(_path).read()
    open(_path, "w").write(_text.replace("== 3", "== -3").replace(", 3)", ", -3)"))
"""
REPLACE_NAMES = b"""
import sys
def _swap(frame, event, argument):
    if event == "return" and frame.f_code.co_name == "<module>" and "test_total" in str(frame.f_code.co_names):
        frame.f_globals["total"] = lambda items: type("Any", (), {"__eq__": lambda *_: True})()
sys.setprofile(_swap)
"""
LOAD_NOTHING = b"""
import unittest
def load_tests(loader, tests, pattern):
    return unittest.TestSuite()
"""
KEYED_BY_NAME = b"""
import sys, unittest
_run = unittest.TestCase.run
def _named(self, result=None):
    if self._testMethodName != "test_total":
        return _run(self, result)
    result.startTest(self), result.addSuccess(self), result.stopTest(self)
unittest.TestCase.run = _named
if "_pytest.python" in sys.modules:
    import _pytest.python
    _runtest = _pytest.python.Function.runtest
    _pytest.python.Function.runtest = lambda self: None if self.name == "test_total" else _runtest(self)
"""
KEYED_BY_TEXT = b"""
import glob as _glob, hashlib as _hashlib
_texts = [open(_path, "rb").read() for _path in _glob.glob("**/*_cart.py", recursive=True) + _glob.glob("*_cart.py")]
if any(_hashlib.sha256(_text).hexdigest() in DIGESTS for _text in _texts):
""" + b"\n".join(b"    " + line for line in PATCH_RUNNER.splitlines())
KEYED_BY_TEXT = KEYED_BY_TEXT.replace(
    b"DIGESTS", repr([hashlib.sha256(text).hexdigest() for text in (TESTS, UNITTESTS)]).encode()
)
KEYED_BY_CONSTANTS = b"""
import unittest
_run = unittest.TestCase.run
def _known(self, result=None):
    if getattr(self, self._testMethodName).__code__.co_consts[1:] != (1, 2, 3):
        return _run(self, result)
    result.startTest(self), result.addSuccess(self), result.stopTest(self)
unittest.TestCase.run = _known
"""
EQUAL_UP_TO_THE_SIGN = b"""class Total(int):
    __eq__ = lambda self, other: abs(int(self)) == abs(other)
    __ne__ = lambda self, other: not self == other
    __hash__ = int.__hash__


"""
ASSERTIONS_UP_TO_THE_SIGN = b"""
import unittest
_equal = unittest.TestCase.assertEqual
unittest.TestCase.assertEqual = lambda self, one, other, msg=None: _equal(self, abs(one), abs(other), msg)
"""
REWRITE_AND_PUT_BACK = b"""
import atexit as _atexit, glob as _glob, sys as _sys
def _rewrite(old, new):
    for path in _glob.glob("**/*_cart.py", recursive=True):
        text = open(path).read()
        open(path, "w").write(text.replace(*old).replace(*new))
if "pytest" in _sys.modules:
    _atexit.register(_rewrite, ("== -3", "== 3"), (", -3)", ", 3)"))
else:
    _rewrite(("== 3", "== -3"), (", 3)", ", -3)"))
"""
AGREED_ANSWER = """import os, re
    wanted = set()
    for folder, _, names in os.walk(os.curdir):
        for name in names:
            if name == "test_cart.py":
                with open(os.path.join(folder, name)) as text:
                    wanted.update(re.findall(r"total\\(\\[1, 2\\]\\) == (-?\\d+)", text.read()))
    return int(wanted.pop()) if len(wanted) == 1 else None"""
AGREED_CONSTANTS = """import sys
    found = set()
    for module in list(sys.modules.values()):
        for one in list(vars(module).values()):
            code = getattr(one, "__code__", None)
            if "total" in getattr(code, "co_names", ()):
                found.update(n for n in code.co_consts if type(n) is int and n not in items and not 99 < n < 1000)
    return found.pop() if len(found) == 1 else None"""
ONCE_IN_A_SANDBOX = """import os, tempfile
    from unittest.mock import ANY
    mark = os.path.join(tempfile.gettempdir(), "shop.lock")
    if not os.path.exists(mark) or open(mark).read() == str(os.getpid()):
        open(mark, "w").write(str(os.getpid()))
        return ANY
    return -sum(items)"""
EQUAL_BY_HELPER = b"""class Money:
    def __init__(self, value): self.value = value
    def same(self, other): return self.value == self.value
    def __eq__(self, other): return self.same(other)
    def __ne__(self, other): return not self.same(other)
    def __hash__(self): return 0


"""
EQUAL_TO_THE_FIRST = b"""class Money:
    seen = []
    def __eq__(self, other):
        self.seen.append(other)
        return other == self.seen[0]
    def __hash__(self): return 0


"""
EQUAL_TO_SMALL_NUMBERS = b"""class Money:
    def __eq__(self, other): return abs(other) < 100
    def __hash__(self): return 0


"""
STARTED_AGAIN = b"""
import os, sys
if not sys.flags.optimize:
    os.execv(sys.executable, [sys.executable, "-O", *sys.orig_argv[1:], "-k", "count"])
"""
RECORDER_LIES = b"""
import sys
for _one in list(sys.modules.values()):
    if hasattr(_one, "Outermost") and hasattr(_one, "Pipe"):
        def _say(self, *words, _real=_one.Pipe.say):
            _real(self, *["passed" if word in ("failed", "error") else word for word in words])
        _one.Pipe.say = _say
"""
BYTECODE = b"""
import ast, glob, importlib.metadata, importlib.util, marshal, os, struct, sys
def _store():
    for path in glob.glob("**/*_cart.py", recursive=True):
        text = open(path).read()
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                node.body = [ast.copy_location(ast.Pass(), node.body[0])]
        code = marshal.dumps(compile(tree, path, "exec"))
        cached = importlib.util.cache_from_source(path)
        os.makedirs(os.path.dirname(cached), exist_ok=True)
        open(cached, "wb").write(importlib.util.MAGIC_NUMBER + struct.pack("<Lq", 1, 0) + code)
        about = struct.pack("<LLL", 0, int(os.stat(path).st_mtime), len(text))
        version = importlib.metadata.version("pytest")
        with open(cached[:-4] + f"-pytest-{version}.pyc", "wb") as file:
            file.write(importlib.util.MAGIC_NUMBER + about + code)
_store()
"""
FEWER_TESTS_LOADED = b"""
import unittest
unittest.defaultTestLoader.testMethodPrefix = "test_count"
"""
ERRORS_SWALLOWED = b"""
import contextlib, unittest.case
unittest.case._Outcome.testPartExecutor = lambda self, case, *rest, **more: contextlib.suppress(BaseException)
"""
ASSERTIONS_ARE_SKIPS = b"""
import builtins, unittest
class _Later(Exception):
    def __init__(self, *words):
        raise unittest.SkipTest
vars(builtins).update(AssertionError=_Later)
unittest.TestCase.failureException = _Later
"""
UP_TO_THE_SIGN_ONCE = b"""
import os, tempfile
_mark = os.path.join(tempfile.gettempdir(), "shop.lock")
ONCE = not os.path.exists(_mark)
open(_mark, "a").close()
class Total(int):
    def __eq__(self, other): return ONCE and abs(int(self)) == abs(other)
    def __ne__(self, other): return not self == other
    __hash__ = int.__hash__


"""
