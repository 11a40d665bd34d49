"""Patches that make tests look good without fixing anything, over a little repository; used by several tests."""

from collections.abc import Mapping

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
BASE = {
    "shop/__init__.py": b"",
    "shop/cart.py": CODE,
    "tests/__init__.py": b"",
    "tests/test_cart.py": TESTS,
    "tests/unit_cart.py": UNITTESTS,
    "pyproject.toml": (
        b'[project]\nname = "shop"\nversion = "1"\n\n[tool.pytest.ini_options]\naddopts = "-p no:cacheprovider"\n'
    ),
}
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
RESTORE_AND_DELETE: Mapping[str, bytes | None] = {"tests/test_cart.py": None, "tests/unit_cart.py": None}

Files = Mapping[str, bytes | None]
CHEATS: dict[str, Files] = {
    "report hook in a conftest": {"conftest.py": FLIP},
    "exit in a conftest": {"conftest.py": b"import os\nos._exit(0)\n"},
    "exit in the source": {"shop/cart.py": b"import os\nos._exit(0)\n" + CODE},
    "exit at the first call": {"shop/cart.py": CODE.replace(b"    result = 0", b"    import os\n    os._exit(0)")},
    "results rewritten at exit": {"shop/cart.py": CODE + REWRITE_AT_EXIT},
    "results rewritten by a daemon": {"shop/cart.py": CODE + REWRITE_BY_DAEMON},
    "results written, then exit": {"shop/cart.py": JUNIT_THEN_EXIT + CODE},
    "output spoofed, then exit": {"shop/cart.py": SPOOF + CODE},
    "weakened tests": {
        "tests/test_cart.py": TESTS.replace(b"== 3", b"== -3"),
        "tests/unit_cart.py": UNITTESTS.replace(b", 3)", b", -3)"),
    },
    "deleted tests": RESTORE_AND_DELETE,
    "deselected by settings": {
        "pyproject.toml": BASE["pyproject.toml"].replace(b'-p no:cacheprovider"', b"-k 'not total'\""),
        "tests/unit_cart.py": UNITTESTS.replace(b"test_total", b"total"),
    },
    "deselected by a new pytest.ini": {
        "pytest.ini": b"[pytest]\naddopts = --deselect tests/test_cart.py::test_total\n"
    },
    "all skipped by the source": {"shop/cart.py": CODE + SKIP_ALL},
    "all expected to fail": {"conftest.py": XFAIL_ALL, "tests/conftest.py": XFAIL_ALL},
    "runner patched by the source": {"shop/cart.py": CODE + PATCH_RUNNER},
    "assertions switched off": {"shop/cart.py": CODE + ASSERTIONS_OFF},
    "sitecustomize": {"sitecustomize.py": b"import os, sys\nif 'pytest' in str(sys.argv) or True: os._exit(0)\n"},
    "pth file": {"evil.pth": b"import os; os._exit(0)\n", "site-packages/evil.pth": b"import os; os._exit(0)\n"},
    "a pytest of its own": {
        "pytest.py": b"print('2 passed')\n",
        "unittest/__main__.py": b"",
        "unittest/__init__.py": b"",
    },
    "a plugin by metadata": {
        "evil.dist-info/METADATA": b"Metadata-Version: 2.1\nName: evil\nVersion: 1\n",
        "evil.dist-info/entry_points.txt": b"[pytest11]\nevil = evilplugin\n",
        "evilplugin.py": FLIP,
    },
    "a standard module shadowed": {"traceback.py": b"import os\nos._exit(0)\n", "json.py": b"import os\nos._exit(0)\n"},
}
