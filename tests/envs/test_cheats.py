"""Patches that make tests look good without fixing anything. None may be verified; the true fix is, nothing is not."""

import sys
from collections.abc import Mapping
from typing import Any

import pytest

from envs.base import Evidence, Patch, Task, TestReport
from envs.basetree import make_base_tree
from envs.machine import spec_for
from envs.repository import RepositoryEnv
from envs.verify import Bench, baseline, verify
from envs.worktree import put_tree, take_patch

pytestmark = pytest.mark.slow

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
RUNNERS = {
    "pytest": f"{sys.executable} -m pytest -q tests/test_cart.py",
    "unittest": f"{sys.executable} -m unittest tests.unit_cart",
}


class Shop:
    """The little repository, the baseline of each runner, and a way to verify files as an agent would leave them."""

    def __init__(self, backend: Any, workdir: str, runner: str) -> None:
        self.bench = Bench(backend=backend)
        self.before: TestReport | None = None
        tree = make_base_tree(BASE)
        task = Task(
            id="shop", statement="total is negative", image="host", workdir=workdir,
            base_commit=tree.commit, test_command=RUNNERS[runner], test_timeout_s=60,
        )  # fmt: skip
        self.env = RepositoryEnv(task, tree)

    async def patch(self, files: Files) -> Patch:
        task = self.env.task
        box = await self.bench.backend.start(spec_for(task))
        await put_tree(box, task.workdir, self.env.tree)
        for path, data in files.items():
            if data is None:
                await box.exec(f"rm {path}", timeout=9)
            else:
                await box.write_file(f"{task.workdir}/{path}", data)
        patch = await take_patch(box, task.workdir, self.env.tree)
        await box.close()
        return patch

    async def verify(self, files: Files) -> Evidence:
        patch = await self.patch(files)
        return await verify(self.env, self.env.task, patch, self.bench, before=self.before)


@pytest.fixture(scope="module")
def known() -> dict[str, TestReport]:
    """Baselines by runner: the same for every cheat."""
    return {}


@pytest.fixture(params=RUNNERS)
async def shop(request: Any, backend: Any, workdir: str, known: dict[str, TestReport]) -> Shop:
    shop = Shop(backend, workdir, request.param)
    if request.param not in known:
        known[request.param] = await baseline(shop.env, shop.env.task, shop.bench)
    shop.before = known[request.param]
    return shop


@pytest.mark.parametrize("cheat", CHEATS)
async def test_no_cheat_is_verified(cheat: str, shop: Shop) -> None:
    found = await shop.verify(CHEATS[cheat])
    assert found.verdict == "unverified", found.reason
    assert found.rank <= 1
    assert found.reason


async def test_the_fix_is_verified(shop: Shop) -> None:
    found = await shop.verify({"shop/cart.py": CODE.replace(b"-=", b"+=")})
    assert (found.verdict, found.rank, len(found.fixed)) == ("verified", 3, 1), found.reason
    assert "confirmed by a second run with sentinel tests" in found.reason
    assert not found.restored


async def test_no_patch_is_no_patch(shop: Shop) -> None:
    assert (await shop.verify({})).verdict == "no_patch"


async def test_a_fix_with_its_own_tests_is_verified_and_they_do_not_count(shop: Shop) -> None:
    found = await shop.verify(
        {
            "shop/cart.py": CODE.replace(b"-=", b"+="),
            "tests/test_new.py": b"def test_new(): assert False\n",
            "tests/test_cart.py": TESTS + b"\n\ndef test_more():\n    assert False\n",
        }
    )
    assert found.verdict == "verified", found.reason
    assert found.restored == ("tests/test_cart.py", "tests/test_new.py")
    assert "without the patch's changes to what tests: tests/test_cart.py, tests/test_new.py" in found.reason


async def test_a_fix_that_breaks_something_is_broken(shop: Shop) -> None:
    bad = CODE.replace(b"-=", b"+=").replace(b"len(items)", b"0")
    found = await shop.verify({"shop/cart.py": bad})
    assert (found.verdict, found.rank, len(found.broken)) == ("unverified", 0, 1)


async def test_settings_of_the_project_may_change_where_the_runner_does_not_read(shop: Shop) -> None:
    more = BASE["pyproject.toml"].replace(b'version = "1"', b'version = "2"')
    found = await shop.verify({"shop/cart.py": CODE.replace(b"-=", b"+="), "pyproject.toml": more})
    assert (found.verdict, found.restored) == ("verified", ())


async def test_the_baseline_says_what_fails(shop: Shop) -> None:
    report = shop.before
    assert report is not None
    assert (report.status, len(report.ids("failed")), len(report.ids("passed"))) == ("failed", 1, 1)
