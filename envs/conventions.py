"""Naming conventions, across languages, for tests and for the files that steer builds and test runners.

Sources: the runners' own defaults (pytest's `python_files`, Jest's `testMatch`, `node --test`, `go help test`,
Surefire's includes, RSpec's and Minitest's patterns, PHPUnit, CTest, XCTest, ExUnit, prove, bats, busted ...).
"""

import fnmatch
import re
from collections.abc import Collection, Mapping
from types import MappingProxyType

_JS = r"(?:.*[._-])?(?:tests?|specs?|e2e|cy)|tests?[._-].*|.*\.(?:test|spec)\..*|.*[a-z0-9](?:Test|Spec)s?"
_JVM = r"Test[A-Z].*|.*(?:Tests?|TestCase|IT|ITCase|Specs?|Suite)"
_C = r"(?:unit)?tests?[_-].*|.*[_-](?:unit)?tests?|.*[a-z0-9]Tests?|Tests?[A-Z].*|(?:unit)?tests?"
_USUAL = r"test_.*|.*_tests?|tests?"
_STEMS = {
    "py pyi pyx rs zig ml mli nim f90 pf sql jl pl d v": _USUAL,
    "js jsx ts tsx mjs cjs mts cts vue svelte coffee": _JS,
    "go dart clj cljs cljc": r".*_test",
    "java kt kts scala groovy": _JVM,
    "cs fs vb": r".*(?:Tests?|Specs?|TestCase|TestFixture)",
    "rb": r".*_(?:spec|test)|test_.*|(?:spec|test|rails)_helper",
    "php": r".*(?:Test|Cest|Cept|Spec)|.*_test|test_.*",
    "c cc cpp cxx h hh hpp hxx m mm cu": _C,
    "swift": r".*(?:Tests?|Spec)|XCTestManifests|LinuxMain",
    "exs": r".*_test|test_helper",
    "erl": r".*_SUITE|.*_tests?",
    "sh bash zsh ksh fish": r"tests?[_-].*|.*[._-]tests?|tests?|.*_spec|runtests?",
    "lua cr": r".*_(?:spec|test)|test_.*|tests?|spec_helper",
    "hs": r".*(?:Spec|Tests?)",
    "r": r"test[-_.].*|testthat",
    "el": r".*-tests?|test-.*",
    "ps1": r".*\.Tests",
    "t bats phpt feature robot snap ambr golden vader": r".*",
}
_TEST_STEMS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {ending: re.compile(stems) for endings, stems in _STEMS.items() for ending in endings.split()}
)
_JAVASCRIPT = frozenset(("js", "jsx", "ts", "tsx", "mjs", "cjs", "mts", "cts"))
CODE = frozenset(
    [
        *(ending for ending in _TEST_STEMS if ending not in ("feature", "robot", "snap", "ambr", "golden", "sql")),
        *("ex", "hrl", "lhs", "pm", "psm1", "s", "asm", "mjml", "rkt", "scm", "lisp", "tcl", "cls", "pas", "adb"),
    ]
)
"""Extensions of code files."""

_ALWAYS = frozenset(
    [
        *("tests", "__tests__", "__test__", "__mocks__", "__snapshots__", "__fixtures__", "testdata", "test_data"),
        *("test-data", "testsuite", "testsuites", "test_suite", "test-suite", "unittests", "unit_tests", "unit-tests"),
        *("unit_test", "unit-test", "integration_tests", "integration-tests", "integration_test", "integrationtest"),
        *("functional_tests", "functional-tests", "acceptance_tests", "regression_tests", "e2e", "e2e-tests", "specs"),
        *("testutil", "testutils", "test_util", "test_utils", "test-utils", "testhelper", "testhelpers"),
        *("test_helpers", "test-helpers", "test_support", "test-support", "testsupport", "testlib", "testcases"),
        *("test_cases", "test-cases", "androidtest", "uitests"),
    ]
)
_AT_TOP = frozenset(("test", "testing", "spec", "t", "xt", "cypress", "features"))
_WHERE_TESTS_LIE = frozenset(
    ("test", "testing", "spec", "t", "xt", "fixtures", "mocks", "stubs", "fakes", "golden", "snapshots")
)
_JVM_FOLDER = re.compile(r"(?:^|/)src/(?:test|it|e2e|testFixtures|[a-z]\w*Test)/")
_CAMEL_FOLDER = re.compile(r".*[a-z0-9.](?:Unit|Integration|UI|Functional)?Tests?$")

_RUNNER = (
    *("conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", "tox.ini", "tox.toml", "noxfile.py", "nose.cfg"),
    *("nose2.cfg", "unittest.cfg", "runtests.py", "run_tests.py", "run-tests.*", "sitecustomize.py"),
    *(
        "usercustomize.py",
        "pyvenv.cfg",
        "*.pth",
        "*.py[co]",
        "*.egg-link",
        "mocha.opts",
        "jest.*",
        "jest-*",
        "*.jest.*",
    ),
    *(
        "vitest.*",
        "karma.conf*",
        "karma.config*",
        "ava.config.*",
        "jasmine*.js*",
        "jasmine*.mjs",
        "playwright.config.*",
    ),
    *("cypress.config.*", "cypress.json", "wdio.conf*", "nightwatch.*", "testem.*", "web-test-runner.config.*"),
    *("setuptests.*", "setup-tests.*", "protractor.conf*", "intern.json", "bunfig.toml", "phpunit.*", "phpspec.*"),
    *("behat.*", "codeception.*", "cucumber.*", "ctesttestfile.cmake", "ctestconfig.cmake", "testng.xml"),
    *("junit-platform.properties", "xunit.runner.json", "*.runsettings", "nextest.toml", "tarpaulin.toml"),
    *("appveyor.y*ml", "azure-pipelines*", "*jenkinsfile*", "bitbucket-pipelines.y*ml", "cloudbuild*.y*ml"),
    *("buildspec*.y*ml", "codecov.y*ml", "wercker.y*ml", "*.approved.*", "*.received.*"),
)
_BUILD = (
    *("pyproject.toml", "setup.py", "setup.cfg", "*requirements*.txt", "constraints*.txt", "pipfile*", "manifest.in"),
    *("fabfile.py", "dodo.py", "pavement.py", "hatch.toml", "pixi.*", "environment.y*ml", "*.lock", "*.lockb"),
    *("makefile*", "gnumakefile", "*.mk", "*.mak", "justfile", "*.just", "taskfile.y*ml", "rakefile*", "*.rake"),
    *("gemfile*", "*.gemspec", "package.json", "package-lock.json", "npm-shrinkwrap.json", "pnpm-*.yaml", "lerna.json"),
    *("nx.json", "turbo.json", "workspace.json", "project.json", "rush.json", "tsconfig*.json", "jsconfig*.json"),
    *("babel.config.*", "webpack.*", "rollup.config.*", "vite.config.*", "esbuild.*", "gulpfile.*", "gruntfile.*"),
    *("metro.config.*", "deno.json*", "import_map.json", "go.mod", "go.sum", "go.work*", "cargo.toml", "build.rs"),
    *("rust-toolchain*", "pom.xml", "*.gradle", "*.gradle.kts", "gradle.properties", "gradlew*", "mvnw*", "build.xml"),
    *("*.sbt", "build.sc", "cmakelists.txt", "*.cmake", "cmake*presets.json", "meson.build", "meson_options.txt"),
    *("configure", "configure.*", "*.am", "sconstruct", "sconscript", "wscript", "build", "build.bazel", "*.bzl"),
    *("workspace", "workspace.bazel", "module.bazel", "conanfile.*", "vcpkg.json", "premake*.lua", "xmake.lua"),
    *("composer.json", "mix.exs", "rebar.config", "package.swift", "package.resolved", "podfile*", "cartfile*"),
    *("project.clj", "deps.edn", "shard.yml", "pubspec.yaml", "project.toml", "manifest.toml", "description"),
    *("*.cabal", "stack.yaml", "dune", "dune-project", "*.opam", "*.csproj", "*.fsproj", "*.vbproj", "*.sln"),
    *("directory.build.*", "global.json", "nuget.config", "cpanfile", "makefile.pl", "build.pl", "dist.ini"),
    *("build.zig*", "*.nimble", "*.nix", "dockerfile*", "docker-compose*", "compose.y*ml", "earthfile"),
)
_RUNNER_NAME, _BUILD_NAME = (
    re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)) for patterns in (_RUNNER, _BUILD)
)
_RUNNER_FOLDERS = frozenset(("__pycache__", "node_modules", "site-packages", "dist-packages"))
_METADATA = re.compile(r"\.(?:dist-info|egg-info)$")
_SUPPORT = re.compile(
    r"(?:^|.*[_.-])(?:tests?|testing)[_.-]?(?:util(?:s|ity)?|helpers?|support|lib|common|base|case|data|fixtures?)"
    r"(?:[_.-].*|$)|.*[a-z](?:Test|Spec)(?:Util|Helper|Support|Base|Fixture)s?$",
)
_HELPER = re.compile(
    r"(?:^|.*[_.-])(?:helpers?|common|fixtures?|factory|factories|fakes?|mocks?|stubs?|matchers?|assert(?:s|ions?)?|"
    r"expect(?:ed|ations?)?|harness|support|checks?|checkers?)(?:[_.-].*|$)"
)
_AFFIX = re.compile(r"^(?:unit)?tests?[_.-]|[_.-](?:unit)?(?:tests?|specs?)$|(?<=[a-z0-9])(?:Tests?|Specs?|IT)$")


def is_test_file(path: str) -> bool:
    """True for files in which the language's test runners look for tests, and for their helpers and snapshots."""
    name = path.rpartition("/")[2]
    stem, _, ending = name.rpartition(".")
    stems = _TEST_STEMS.get(ending.lower())
    if stems is None or not stem or re.search(r"(?:^|/)src/main/", path):
        return False
    return stems.fullmatch(stem) is not None


def is_test_folder(folder: str) -> bool:
    """True for a folder whose name alone says that it holds tests or their support files."""
    name = folder.rpartition("/")[2]
    if name.lower() in _ALWAYS or _CAMEL_FOLDER.match(name) or name.lower().endswith((".tests", ".specs")):
        return True
    return folder.lower() in _AT_TOP or _JVM_FOLDER.search(folder + "/") is not None


def may_hold_tests(folder: str) -> bool:
    """True for a folder that holds tests only if it contains test files: `django/test` holds source."""
    return folder.rpartition("/")[2].lower() in _WHERE_TESTS_LIE


def in_test_folder(path: str, known: Collection[str] = ()) -> bool:
    """True for a file inside a test folder.

    Args:
        path: path of the file in the tree.
        known: further test folders, identified by their contents.
    """
    ending = path.rpartition(".")[2].lower()
    for folder in parents(path):
        if is_test_folder(folder) or folder in known:
            return True
        # Below the top, a Python package called `test` is often source; other languages never name source that way.
        if folder.rpartition("/")[2] in ("test", "spec") and ending in CODE and ending not in ("py", "pyi", "pyx"):
            return "/main/" not in path
    return False


def parents(path: str) -> list[str]:
    """The folders that contain a path, outermost first, without the top."""
    parts = path.split("/")[:-1]
    found: list[str] = []
    for part in parts:
        found.append(f"{found[-1]}/{part}" if found else part)
    return found


def is_runner_file(path: str) -> bool:
    """True for files whose mere presence steers a test runner, a CI server or an interpreter's start-up."""
    *folders, name = path.split("/")
    if name.startswith(".") or any(part.startswith(".") or _METADATA.search(part) for part in folders):
        return True
    if any(part in _RUNNER_FOLDERS for part in folders) or _METADATA.search(name):
        return True
    return _RUNNER_NAME.match(name.lower()) is not None


def is_build_file(path: str) -> bool:
    """True for files that build or describe a project: they may steer its tests, and a fix may need to change them."""
    folders = path.split("/")[:-1]
    return _BUILD_NAME.match(path.rpartition("/")[2].lower()) is not None or not {"vendor", "gradle"}.isdisjoint(
        folders
    )


def is_code(path: str) -> bool:
    """True for a code file, by extension."""
    return path.rpartition("/")[2].rpartition(".")[2].lower() in CODE and "." in path.rpartition("/")[2]


def is_javascript(path: str) -> bool:
    """True for a file in JavaScript or TypeScript, by extension."""
    return path.rpartition(".")[2] in _JAVASCRIPT


def is_test(path: str) -> bool:
    """True for tests and their support files, but not for what steers the test runner."""
    return (is_test_file(path) or in_test_folder(path)) and not is_runner_file(path)


def is_python_test(path: str) -> bool:
    """True for a file in which Python's test runners look for tests."""
    return path.endswith(".py") and is_test_file(path)


def is_support_file(path: str) -> bool:
    """True for code named as a test helper, such as `testutil.go`."""
    return is_code(path) and _SUPPORT.match(stem_of(path)) is not None


def is_helper_name(path: str) -> bool:
    """True for a name used by test helpers and by source alike."""
    return is_code(path) and _HELPER.match(stem_of(path).lower()) is not None


def stem_of(path: str) -> str:
    """A file's name up to its last dot."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def subject_of(path: str) -> str:
    """What a test file tests: `cart` for `test_cart.py`, `CartTests.cs` and `cart.spec.ts`; empty if unknown."""
    stem = stem_of(path)
    found = re.sub(
        r"^(?:unit)?tests?[_.-]|[_.-](?:unit)?(?:tests?|specs?)$|(?<=[a-z0-9])(?:Tests?|Specs?|IT)$", "", stem
    )
    return found.lower() if found != stem else ""
