"""Patches and protected files: everything that steers tests is restored, and source stays."""

import re
from collections.abc import Mapping

import pytest

from core.diff import parse_diff
from envs.protect import Protection, protection

SHOP = {
    "shop/__init__.py": "",
    "shop/cart.py": "def total(items):\n    assert items is not None\n    return -sum(items)\n",
    "shop/data/prices.json": "{}",
    "tests/test_cart.py": "from shop.cart import total\nfrom support.compare import same\nopen('cases/one.json')\n",
    "support/compare.py": "import pytest\n\ndef same(a, b):\n    assert a == b\n",
    "cases/one.json": "{}",
    "run.sh": "cd checks && python3 verify.py\n",
    "checks/verify.py": "import sys\nfrom shop import cart\nif cart.total([1]) != 1: sys.exit(1)\n",
    "Makefile": "build:\n\tpython tools/gen.py\n\ntest: lint\n\t./ci/all.sh\n\nlint:\n\tpython tools/lint.py\n",
    "ci/all.sh": "pytest -c conf/pytest.cfg\n",
    "conf/pytest.cfg": "[pytest]\n",
    "tools/gen.py": "print('built')\n",
    "tools/lint.py": "import sys\nassert sys.version\n",
    "package.json": '{"scripts": {"test": "npm run unit", "unit": "node dev/unit.js", "start": "node server.js"}}',
    "dev/unit.js": "const assert = require('assert')\n",
    "server.js": "require('http')\n",
}


class MemoryTree:
    """A base tree of a few texts."""

    def __init__(self, files: Mapping[str, str], links: Mapping[str, str], installed: tuple[str, ...]) -> None:
        self.texts, self.links, self.known = dict(files), dict(links), installed
        self.files = frozenset([*files, *links])

    async def read(self, path: str) -> str:
        return self.texts.get(path, "")

    async def users(self, word: str) -> frozenset[str]:
        pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
        return frozenset(path for path, text in self.texts.items() if pattern.search(text))

    async def installed(self, module: str) -> bool:
        return module in self.known


def added(path: str, mode: str = "100644") -> str:
    return f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"


def edited(path: str) -> str:
    return f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-x\n+y\n"


async def undo(
    patch: str,
    command: str = "pytest",
    files: Mapping[str, str] | None = None,
    *,
    collected: tuple[str, ...] = (),
    links: Mapping[str, str] | None = None,
    installed: tuple[str, ...] = (),
) -> Protection:
    tree = MemoryTree(SHOP if files is None else files, links or {}, installed)
    return await protection(parse_diff(patch.encode()), command, tree, collected=collected)


async def kind_of(path: str, command: str = "pytest", files: Mapping[str, str] | None = None, **more: object) -> str:
    """`tests`, `doubtful` or `source`, for a path that may or may not exist in the base."""
    base = dict(SHOP if files is None else files)
    found = await undo(edited(path) if path in base else added(path), command, base, **more)  # type: ignore[arg-type]
    return "doubtful" if path in found.doubtful else "tests" if path in found.paths else "source"


TESTS = """
tests/test_a.py tests/data/x.json pkg/tests/util.py pkg/test_x.py x_test.py test/x.py src/cart.test.ts
src/cart.spec.jsx lib/__tests__/cart.js lib/__mocks__/fs.js test-cart.mjs src/__snapshots__/a.snap
web/test/server.js cypress/e2e/cart.cy.ts pkg/cart_test.go pkg/testdata/in.txt tests/cart.rs src/cart/tests.rs
src/test/java/shop/Util.java src/main-app/CartTest.java CartTests.kt src/androidTest/kotlin/A.kt
cart/CartSpec.scala Shop.Tests/Cart.cs CartTests.cs spec/cart_spec.rb spec/spec_helper.rb test/cart_test.rb
features/cart.feature tests/CartTest.php cart.phpt cart_unittest.cc test_cart.c CartTest.cpp
Tests/ShopTests/CartTests.swift test/cart_test.exs cart_SUITE.erl t/00-load.t xt/pod.t cart.bats test_cart.sh
spec/cart_spec.lua CartSpec.hs cart_test.clj cart_test.dart test/runtests.jl tests/testthat/test-cart.R
Cart.Tests.ps1 test_cart.ml cart.robot conftest.py a/conftest.py pytest.ini .pytest.ini tox.ini noxfile.py
.coveragerc a/sitecustomize.py evil.pth a.dist-info/entry_points.txt a.egg-info/x
shop/__pycache__/cart.cpython-311.pyc pytest.pyc jest.config.ts vitest.config.mts .mocharc.yml karma.conf.js
.babelrc .npmrc node_modules/.bin/jest node_modules/chai/index.js playwright.config.ts phpunit.xml.dist .rspec
junit-platform.properties xunit.runner.json a.runsettings .cargo/config.toml .config/nextest.toml
.github/workflows/ci.yml .gitlab-ci.yml Jenkinsfile azure-pipelines.yml .gitattributes .env
"""


@pytest.mark.parametrize("path", TESTS.split())
async def test_tests_and_settings_of_runners_never_count(path: str) -> None:
    assert await kind_of(path) == "tests"


BUILDS = """
pyproject.toml setup.py setup.cfg requirements-dev.txt poetry.lock justfile Rakefile Gemfile package-lock.json
tsconfig.build.json vite.config.ts webpack.prod.js go.mod go.sum Cargo.toml build.rs pom.xml build.gradle.kts
gradlew build.sbt CMakeLists.txt cmake/find.cmake meson.build configure.ac composer.json mix.exs Package.swift
project.clj pubspec.yaml DESCRIPTION a.cabal dune-project Shop.csproj Makefile.PL flake.nix Dockerfile
vendor/mod/a.go testutil.go
"""


@pytest.mark.parametrize("path", BUILDS.split())
async def test_what_builds_a_project_is_put_back_and_named_as_possibly_part_of_the_fix(path: str) -> None:
    assert await kind_of(path) == "doubtful"


SOURCES = """
src/a.py django/test/client.py pkg/testing/util.py attest.py docs/tests.md latest/a.py contest.js
src/protest.go src/main/java/shop/TestUtil.java manifest.ts lib/spec_loader.py src/lib.rs README.md
CHANGES.rst shop/cart.py shop/data/prices.json shop/types.py shop/testify.rb app/models/cart.rb docs/conf.py
cmd/server/main.go server.js
"""


@pytest.mark.parametrize("path", SOURCES.split())
async def test_source_stays(path: str) -> None:
    assert await kind_of(path) == "source"


async def test_new_source_beside_tests_stays_and_new_tests_beside_it_do_not() -> None:
    files = {"cart.go": "", "cart_test.go": "", "web/a.ts": "", "web/a.test.ts": "", "web/b.test.ts": ""}
    found = await undo(
        added("round.go") + added("round_test.go") + added("web/c.ts") + added("web/c.test.ts"), files=files
    )
    assert found.remove == ("round_test.go", "web/c.test.ts")


async def test_a_package_called_test_is_source_until_tests_lie_in_it() -> None:
    assert (
        await kind_of("django/test/runner.py", files={"django/test/runner.py": "", "tests/a/tests.py": ""}) == "source"
    )
    assert await kind_of("lib/test/support.py", files={"lib/test/support.py": "", "lib/test/test_a.py": ""}) == "tests"
    sympy = {"sympy/testing/quality.py": "", "sympy/testing/tests/test_quality.py": ""}
    assert await kind_of("sympy/testing/quality.py", files=sympy) == "source"


@pytest.mark.parametrize(
    ("path", "command", "expected"),
    [
        ("run.sh", "sh ./run.sh", "tests"),
        ("run.sh", "./run.sh 2>&1 | tee log", "tests"),
        ("run.sh", "cd docs && FOO=1 ../run.sh", "source"),  # there is no folder docs, so the command runs nothing
        ("run.sh", "bash -c 'set -e; ./run.sh'", "tests"),
        ("checks/verify.py", "./run.sh", "tests"),
        ("checks/verify.py", "cd checks && python -O verify.py", "tests"),
        ("checks/verify.py", "env A=1 timeout 60 python3 checks/verify.py", "tests"),
        ("checks/verify.py", "python -m checks.verify", "tests"),
        ("Makefile", "make test", "tests"),
        ("Makefile", "pytest", "doubtful"),
        ("ci/all.sh", "make", "doubtful"),  # the first target is a different one
        ("ci/all.sh", "make -s test", "tests"),
        ("conf/pytest.cfg", "make test", "tests"),
        ("tools/lint.py", "make test", "tests"),
        ("tools/gen.py", "make test", "source"),
        ("tools/gen.py", "make build", "doubtful"),
        ("package.json", "npm test", "tests"),
        ("dev/unit.js", "npm test --silent", "tests"),
        ("dev/unit.js", "npm start", "source"),
        ("server.js", "npm test", "source"),
        ("shop/cart.py", "python -m pytest --cov shop tests shop/cart.py", "source"),
    ],
)  # fmt: skip
async def test_what_the_whole_command_runs_is_put_back(path: str, command: str, expected: str) -> None:
    assert await kind_of(path, command) == expected


async def test_a_script_is_not_taken_for_the_module_that_its_name_could_mean() -> None:
    """`sh calc.t` read `calc.t` as a test in the module `calc`, and every fix of calc.py was undone."""
    files = {"calc.py": "print(1 - 1)\n", "calc.t": "[ \"$(python3 -c 'import calc')\" = 2 ]\n"}
    assert await kind_of("calc.py", "sh calc.t", files) == "source"
    assert await kind_of("calc.t", "sh calc.t", files) == "tests"


async def test_helpers_that_only_tests_use_are_put_back_and_source_that_only_tests_use_is_not() -> None:
    assert await kind_of("support/compare.py") == "doubtful"
    assert await kind_of("shop/cart.py") == "source"
    flat = {"cart.py": "assert True\n", "test_cart.py": "import cart, helpers\n", "helpers.py": "import unittest\n"}
    assert (await kind_of("cart.py", files=flat), await kind_of("helpers.py", files=flat)) == ("source", "doubtful")


async def test_data_that_tests_name_is_put_back() -> None:
    assert await kind_of("cases/one.json") == "doubtful"
    assert await kind_of("cases/two.json") == "doubtful"
    assert await kind_of("shop/data/prices.json") == "source"


async def test_files_behind_links_are_put_back() -> None:
    links = {"pytest.ini": "conf/py.cfg", "tests": "spec_files", "go.sh": "tools/go-2.sh"}
    files = {"conf/py.cfg": "", "spec_files/cart.py": "", "tools/go-2.sh": "", "shop.py": ""}
    for path in ("conf/py.cfg", "spec_files/cart.py", "tools/go-2.sh"):
        assert await kind_of(path, "sh go.sh", files, links=links) == "tests", path


async def test_a_link_put_in_place_of_the_tests_is_taken_away() -> None:
    gone = "diff --git a/tests/test_cart.py b/tests/test_cart.py\ndeleted file mode 100644\n--- a/tests/test_cart.py\n"
    found = await undo(gone + "+++ /dev/null\n@@ -1 +0,0 @@\n-x\n" + added("tests", "120000"))
    assert (found.restore, found.remove) == (("tests/test_cart.py",), ("tests",))


@pytest.mark.parametrize(
    ("path", "command", "expected"),
    [
        ("pytest.py", "pytest", "tests"),
        ("src/unittest/__init__.py", "pytest", "tests"),
        ("_pytest/runner.py", "pytest", "tests"),
        ("json.py", "pytest", "tests"),
        ("numpy/testing.py", "pytest", "tests"),
        ("checks/random.py", "cd checks && python verify.py", "tests"),
        ("shop/json.py", "cd shop && python -m pytest ../tests", "tests"),
        ("shop/json.py", "pytest", "source"),
        ("shop/extra/pytest.py", "pytest", "doubtful"),
        ("orders.py", "pytest", "source"),
        ("bin/pytest", "pytest", "tests"),
        ("shop/usercustomize/__init__.py", "pytest", "tests"),
    ],
)
async def test_modules_and_programs_in_a_runners_place_are_taken_away(path: str, command: str, expected: str) -> None:
    assert await kind_of(path, command, installed=("numpy",)) == expected


async def test_a_package_that_hides_a_helper_is_what_the_helper_is() -> None:
    files = {"support.py": "import pytest\n", "test_cart.py": "import support, cart\n", "cart.py": "x = 1\n"}
    assert await kind_of("support/__init__.py", files=files) == "doubtful"
    assert await kind_of("support.cpython-311-x86_64-linux-gnu.so", files=files) == "doubtful"
    assert await kind_of("cart/__init__.py", files=files) == "source"
    assert await kind_of("conftest/__init__.py", files={**files, "conftest.py": ""}) == "tests"


async def test_tests_inside_source_are_known_with_the_bases_text() -> None:
    files = {"src/lib.rs": "#[cfg(test)]\nmod tests {\n}\n", "shop.py": '"""\n>>> 1\n1\n"""\n', "more.py": "x = 1\n"}
    patch = "".join(map(edited, files))
    assert dict((await undo(patch, "cargo test", files)).inside) == {"src/lib.rs": files["src/lib.rs"]}
    found = await undo(patch, "python -m doctest shop.py", files)
    assert sorted(found.inside) == ["shop.py", "src/lib.rs"]
    assert found.paths == ("shop.py (the tests in it)", "src/lib.rs (the tests in it)")


async def test_files_that_the_runner_collects_are_tests_whatever_their_name() -> None:
    files = {"checks/check_cart.py": "", "shop.py": "", "pytest.ini": "[pytest]\npython_files = probe_*.py\n"}
    collected = ("checks/check_cart.py",)
    assert await kind_of("checks/check_cart.py", files=files, collected=collected) == "tests"
    assert await kind_of("checks/check_more.py", files=files, collected=collected) == "tests"
    assert await kind_of("probe_a.py", files=files) == "tests"


async def test_plugins_that_settings_and_conftests_load_are_put_back() -> None:
    files = {
        "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-p dev.plug"\n', "dev/plug.py": "import pytest\n",
        "conftest.py": 'pytest_plugins = ["dev.more"]\n', "dev/more.py": "import pytest\n", "shop.py": "",
    }  # fmt: skip
    assert (await kind_of("dev/plug.py", files=files), await kind_of("dev/more.py", files=files)) == ("tests", "tests")


async def test_what_is_doubtful_can_be_left_in_place() -> None:
    found = await undo(edited("Makefile") + edited("tests/test_cart.py") + added("pytest.ini"))
    kept = found.without_doubtful()
    assert (kept.restore, kept.remove, kept.doubtful) == (("tests/test_cart.py",), ("pytest.ini",), ())


async def test_what_judges_a_patch_is_known_by_its_files() -> None:
    found = await undo(edited("shop/cart.py"), "sh run.sh", collected=("tests/test_cart.py", "no/such.py"))
    assert found.fixed == ("run.sh", "tests/test_cart.py")


async def test_a_script_whose_output_is_tested_is_no_part_of_the_test() -> None:
    files = {
        "check.sh": ". lib/same.sh\nsame \"$(sh bin/total.sh 1)\" 1\n"
        "bin/list.sh > out\nbin/all.sh | diff - want.txt\nsh more.sh\n",
        "lib/same.sh": "", "bin/total.sh": "", "bin/list.sh": "", "bin/all.sh": "", "more.sh": "", "want.txt": "1\n",
    }  # fmt: skip
    kinds = {path: await kind_of(path, "sh check.sh", files) for path in files}
    tested = ("bin/total.sh", "bin/list.sh", "bin/all.sh")
    assert kinds == {path: "doubtful" if path in tested else "tests" for path in files}
