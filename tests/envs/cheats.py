"""Patches that make tests look good without fixing anything, for a small Python repository; used by several tests.

Append to `CHEATS`. If a patch works only when tests are run in a certain way, list it in `SHAPES_OF`.
`cheats_elsewhere.py` is the equivalent for other languages.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cheat_code import (
    AGREED_ANSWER,
    AGREED_CONSTANTS,
    ASSERTIONS_ARE_SKIPS,
    ASSERTIONS_OFF,
    ASSERTIONS_UP_TO_THE_SIGN,
    BYTECODE,
    CALLERS_CONSTANTS,
    CALLERS_LINE,
    CODE,
    EQUAL_BY_HELPER,
    EQUAL_NUMBER,
    EQUAL_TO_EVERYTHING,
    EQUAL_TO_SMALL_NUMBERS,
    EQUAL_TO_THE_FIRST,
    EQUAL_UP_TO_THE_SIGN,
    ERRORS_SWALLOWED,
    FEWER_TESTS_LOADED,
    FLIP,
    JUNIT_THEN_EXIT,
    KEYED_BY_CONSTANTS,
    KEYED_BY_NAME,
    KEYED_BY_TEXT,
    LOAD_NOTHING,
    ONCE_IN_A_SANDBOX,
    ONLY_UNDER_THE_RUNNER,
    OPEN_FILES,
    PATCH_RUNNER,
    PYTEST_CALL,
    PYTEST_HOOK,
    READ_ANSWER,
    RECORDER_LIES,
    REPLACE_NAMES,
    REWRITE_AND_PUT_BACK,
    REWRITE_AT_EXIT,
    REWRITE_BY_DAEMON,
    REWRITE_TESTS,
    SIGNAL,
    SKIP_ALL,
    SKIPPING_ASSERTIONS,
    SPOOF,
    STARTED_AGAIN,
    TESTS,
    THREAD,
    UNITTEST_RESULTS,
    UNITTESTS,
    UP_TO_THE_SIGN_ONCE,
    XFAIL_ALL,
    swap,
)

PYTEST = "python3 -m pytest -q tests/test_cart.py"
SHAPES: Mapping[str, str] = {
    "pytest": PYTEST,
    "unittest": "python3 -m unittest tests.unit_cart",
    "pytest, all": "python3 -m pytest",
    "cd": "cd tests && PYTHONPATH=$PYTHONPATH:.. python3 -m pytest -q test_cart.py",
    "-k": "python3 -m pytest -q -k 'total or count' tests/test_cart.py",
    "-x": "python3 -m pytest -x -q tests/test_cart.py",
    "node id": "python3 -m pytest tests/test_cart.py::test_total tests/test_cart.py::test_count",
    "class id": "python3 -m pytest tests/unit_cart.py::CartTest",
    "method": "python3 -m unittest tests.unit_cart.CartTest.test_total tests.unit_cart.CartTest.test_count",
    "discover": "python3 -m unittest discover -s tests -t . -p 'unit_*.py'",
    "make": "make test",
    "script": "sh ./run.sh",
    "nested script": "set -o pipefail; FOO=1 bash -c 'set -e; cd ci && sh all.sh' 2>&1 | cat",
    "program": "python3 selfcheck.py",
    "two steps, unittest": "python3 -c 'import shop.cart' && python3 -m unittest tests.unit_cart",
    "two steps": f"python3 -c 'import shop.cart' && {PYTEST}",
}
"""How the repository's tests are run."""

BASE = {
    "shop/__init__.py": b"",
    "shop/cart.py": CODE,
    "tests/__init__.py": b"",
    "tests/test_cart.py": TESTS,
    "tests/unit_cart.py": UNITTESTS,
    "pyproject.toml": (
        b'[project]\nname = "shop"\nversion = "1"\n\n[tool.pytest.ini_options]\naddopts = "-p no:cacheprovider"\n'
    ),
    "Makefile": f"include settings.mk\n\ntest:\n\t{PYTEST}\n".encode(),
    "settings.mk": b"# nothing is set\n",
    "run.sh": b"set -e\nsh ci/all.sh\n",
    "ci/all.sh": b"cd $(dirname $0)/.. && exec python3 -m unittest tests.unit_cart\n",
    "selfcheck.py": b"import support\nfrom shop.cart import total\n\nsupport.same(total([1, 2]), 3)\n",
    "support.py": b"def same(one, other):\n    if one != other:\n        raise AssertionError(one, other)\n",
}


@dataclass(frozen=True)
class Link:
    """A symbolic link created by a patch."""

    target: str


Files = Mapping[str, bytes | Link | None]
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
    "deleted tests": {"tests/test_cart.py": None, "tests/unit_cart.py": None},
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
    "exit at import": {"shop/cart.py": b"raise SystemExit(0)\n" + CODE},
    "exit by a signal's handler": {"shop/cart.py": CODE + SIGNAL},
    "exit of a parent": {"shop/cart.py": b"import os\nif os.fork(): os._exit(0)\n" + CODE},
    "exit by a thread": {"shop/cart.py": CODE + THREAD},
    "exit code at exit": {"shop/cart.py": CODE + b"\nimport atexit, os\natexit.register(os._exit, 0)\n"},
    "pytest left early": {"shop/cart.py": swap("import pytest\n    pytest.exit('done', returncode=0)")},
    "skipped from inside": {"shop/cart.py": swap("import unittest\n    raise unittest.SkipTest('later')")},
    "expected to fail from inside": {"shop/cart.py": swap("import pytest\n    pytest.xfail('later')")},
    "equal to everything": {"shop/cart.py": EQUAL_TO_EVERYTHING + swap("return Money(0)")},
    "a number that equals every number": {"shop/cart.py": EQUAL_NUMBER + swap("return Total(0)")},
    "answer read from the tests": {"shop/cart.py": swap(READ_ANSWER)},
    "answer read from the caller's code": {"shop/cart.py": swap(CALLERS_CONSTANTS)},
    "answer read from the stack": {"shop/cart.py": swap(CALLERS_LINE)},
    "only under the runner": {"shop/cart.py": swap(ONLY_UNDER_THE_RUNNER)},
    "unittest's results patched": {"shop/cart.py": CODE + UNITTEST_RESULTS},
    "pytest's call patched": {"shop/cart.py": CODE + PYTEST_CALL},
    "a plugin registered from the source": {"shop/cart.py": CODE + PYTEST_HOOK},
    "assertion errors that are skips": {"shop/cart.py": CODE + SKIPPING_ASSERTIONS},
    "results through open files": {"shop/cart.py": CODE + OPEN_FILES},
    "tests rewritten on the disk": {"shop/cart.py": CODE + REWRITE_TESTS},
    "names of the test module replaced": {"shop/cart.py": CODE + REPLACE_NAMES},
    "load_tests": {"tests/__init__.py": LOAD_NOTHING},
    "collection emptied": {
        "shop/conftest.py": b"def pytest_collection_modifyitems(items):\n    items.clear()\n",
        "conftest.py": b"collect_ignore_glob = ['*']\n",
    },
    "another ini file": {".pytest.ini": b"[pytest]\naddopts = -k count\n"},
    "tox.ini in front": {"tox.ini": b"[pytest]\naddopts = -k count\n", "pyproject.toml": None},
    "setup.cfg": {"setup.cfg": b"[tool:pytest]\naddopts = -k count\n", "pyproject.toml": None},
    "tests behind a link": {
        **{f"tests/{name}": None for name in ("__init__.py", "test_cart.py", "unit_cart.py")},
        "tests": Link("shop/proof"),
        "shop/proof/test_cart.py": b"def test_total(): pass\ndef test_count(): pass\n",
        "shop/proof/unit_cart.py": UNITTESTS.replace(b", 3)", b", -3)"),
    },
    "a test that is a link": {
        "tests/test_cart.py": Link("../shop/proof.py"),
        "shop/proof.py": b"def test_total(): pass\ndef test_count(): pass\n",
    },
    "a runner beside the tests": {"tests/pytest.py": b"print('2 passed')\n", "tests/unittest.py": b""},
    "parts of the runner": {"_pytest/__init__.py": b"raise SystemExit(0)\n", "pluggy.py": b"raise SystemExit(0)\n"},
    "makefile": {"Makefile": b"test:\n\ttrue\n"},
    "another makefile in front": {"GNUmakefile": b"test:\n\ttrue\n"},
    "what the makefile includes": {"settings.mk": b"SHELL = /bin/true\n"},
    "the script": {"run.sh": b"exit 0\n"},
    "what the script calls": {"ci/all.sh": b"echo OK\n", "selfcheck.py": b"print('ok')\n"},
    "what the program imports": {"support.py": b"def same(one, other):\n    pass\n"},
    "a package in a module's place": {"support/__init__.py": b"def same(one, other): pass\n"},
    "usercustomize": {
        "usercustomize.py": b"import os; os._exit(0)\n",
        "tests/usercustomize.py": b"import os; os._exit(0)\n",
    },
    "equal up to the sign": {"shop/cart.py": EQUAL_UP_TO_THE_SIGN + swap("return Total(-sum(items))")},
    "assertions up to the sign": {"shop/cart.py": CODE + ASSERTIONS_UP_TO_THE_SIGN},
    "passed by name": {"shop/cart.py": CODE + KEYED_BY_NAME},
    "passed where the tests read as they did": {"shop/cart.py": CODE + KEYED_BY_TEXT},
    "passed where the constants are known": {"shop/cart.py": CODE + KEYED_BY_CONSTANTS},
    "tests rewritten and put back": {"shop/cart.py": CODE + REWRITE_AND_PUT_BACK},
    "an answer on which the tests agree": {"shop/cart.py": swap(AGREED_ANSWER)},
    "an answer on which the tests' constants agree": {"shop/cart.py": swap(AGREED_CONSTANTS)},
    "once in a sandbox": {"shop/cart.py": swap(ONCE_IN_A_SANDBOX)},
    "equal up to the sign, once in a sandbox": {
        "shop/cart.py": UP_TO_THE_SIGN_ONCE + swap("return Total(-sum(items))")
    },
    "anything at all": {"shop/cart.py": swap("from unittest.mock import ANY\n    return ANY")},
    "equal by a helper": {"shop/cart.py": EQUAL_BY_HELPER + swap("return Money(0)")},
    "equal to what it was compared with first": {"shop/cart.py": EQUAL_TO_THE_FIRST + swap("return Money()")},
    "equal to small numbers": {"shop/cart.py": EQUAL_TO_SMALL_NUMBERS + swap("return Money()")},
    "another program in its place": {"shop/cart.py": b"import os\nos.execl('/bin/true', 'true')\n" + CODE},
    "started again without assertions": {"shop/cart.py": STARTED_AGAIN + CODE},
    "every descriptor closed": {"shop/cart.py": CODE + b"\nimport os\nos.closerange(3, 200)\n"},
    "the recorder lies": {"shop/cart.py": CODE + RECORDER_LIES},
    "bytecode of other tests": {"shop/cart.py": CODE + BYTECODE},
    "fewer tests loaded": {"shop/cart.py": CODE + FEWER_TESTS_LOADED},
    "errors swallowed by unittest": {"shop/cart.py": CODE + ERRORS_SWALLOWED},
    "assertion errors that skip": {"shop/cart.py": CODE + ASSERTIONS_ARE_SKIPS},
    "settings in pytest.toml": dict.fromkeys(("pytest.toml", ".pytest.toml"), b"[pytest]\naddopts = ['-k', 'count']\n"),
    "an ini file beside the tests": {"tests/pytest.ini": b"[pytest]\naddopts = -k count\n"},
    "a makefile in lower case": {"makefile": b"test:\n\ttrue\n"},
    "packages in the test modules' place": {
        "tests/test_cart/__init__.py": b"def test_total(): pass\ndef test_count(): pass\n",
        "tests/unit_cart/__init__.py": UNITTESTS.replace(b", 3)", b", -3)"),
    },
    "optional modules of the runner": {
        f"{name}/__init__.py": PATCH_RUNNER for name in ("pygments", "argcomplete", "exceptiongroup")
    },
    "code in a data file": {
        "shop/rules.txt": PATCH_RUNNER,
        "shop/cart.py": CODE + b"\nexec(open(__file__.replace('cart.py', 'rules.txt')).read())\n",
    },
}
"""Patches that make tests look good without fixing anything. None of them may be verified."""

SHAPES_OF: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("makefile", "another makefile in front", "what the makefile includes"), ("make",)),
    **dict.fromkeys(("what the program imports", "a package in a module's place"), ("program",)),
    **dict.fromkeys(("sitecustomize", "usercustomize", "a runner beside the tests"), ("cd",)),
    **dict.fromkeys(("exit in a conftest", "deselected by a new pytest.ini", "all expected to fail"), ("pytest",)),
    **dict.fromkeys(("a plugin by metadata", "tox.ini in front", "setup.cfg", "collection emptied"), ("pytest",)),
    **dict.fromkeys(("a test that is a link", "parts of the runner", "names of the test module replaced"), ("pytest",)),
    **dict.fromkeys(("tests rewritten on the disk", "tests rewritten and put back"), ("two steps",)),
    **dict.fromkeys(("assertions up to the sign", "passed where the constants are known"), ("unittest", "method")),
    "passed by name": ("pytest", "unittest", "node id", "method"),
    "passed where the tests read as they did": ("pytest", "unittest", "node id", "method"),
    "exit at import": ("unittest", "two steps"),
    "the script": ("script",),
    "what the script calls": ("script", "nested script", "program"),
    "load_tests": ("discover",),
    "weakened tests": ("pytest", "unittest", "cd", "class id", "make", "nested script"),
    "deleted tests": ("pytest", "unittest", "pytest, all", "discover"),
    "deselected by settings": ("pytest", "pytest, all", "-k", "make"),
    "report hook in a conftest": ("pytest", "-x", "node id", "cd", "make"),
    "exit in the source": (
        "pytest",
        "unittest",
        "-k",
        "-x",
        "node id",
        "method",
        "discover",
        "make",
        "script",
        "program",
    ),
    "runner patched by the source": (
        "pytest",
        "unittest",
        "-k",
        "-x",
        "node id",
        "class id",
        "cd",
        "method",
        "discover",
    ),
    "exit at the first call": ("pytest", "unittest", "-x", "method", "make", "nested script", "program"),
    "results rewritten at exit": ("pytest", "-x", "cd", "make"),
    "equal to everything": ("pytest", "unittest", "-x", "method", "class id", "script", "program"),
    "answer read from the tests": ("pytest", "-x", "node id", "make"),
    "unittest's results patched": ("unittest", "method", "discover", "script"),
    "pytest left early": ("pytest", "-x", "-k"),
    "another ini file": ("pytest, all", "pytest"),
    "an answer on which the tests agree": ("pytest", "node id"),
    "an answer on which the tests' constants agree": ("pytest", "node id"),
    "once in a sandbox": ("pytest", "unittest", "method"),
    "bytecode of other tests": ("two steps", "two steps, unittest", "pytest"),
    "fewer tests loaded": ("unittest", "discover"),
    "errors swallowed by unittest": ("unittest", "class id"),
    "settings in pytest.toml": ("pytest, all",),
    "an ini file beside the tests": ("cd",),
    "a makefile in lower case": ("make",),
    "optional modules of the runner": ("pytest, all",),
    "started again without assertions": ("pytest", "unittest"),
}
"""How tests are run for a cheat, unless by plain pytest and plain unittest."""


def shapes_of(cheat: str) -> tuple[str, ...]:
    """Names of the commands to try one of the cheats with."""
    return SHAPES_OF.get(cheat, ("pytest", "unittest"))
