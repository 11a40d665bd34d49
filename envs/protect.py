"""Decide which changes of a patch must not count when tests judge it.

The verification sandbox restores files that steer tests to the base commit and removes new files of that kind, unless
they are source. The patch itself is never altered. There are two degrees: tests, test runner settings and whatever the
test command runs never count. Files that build or describe a project, and helpers and data that may belong to tests or
to the source, are also restored, but a fix may need them: they are listed separately, as `doubtful`.

Deliberately treated as source: packages such as `django/test/` that contain no tests, and files that share a folder
with tests.
"""

import asyncio
import re
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.diff import FileDiff
from envs import conventions as names
from envs.inline_tests import may_hold_tests
from envs.steering import Steering, is_script, what_runs
from envs.treeview import Tree

Kind = Literal["source", "doubtful", "tests"]

_RUNNER_MODULES = frozenset(
    [
        *("pytest", "_pytest", "pluggy", "iniconfig", "xdist", "execnet", "coverage", "pytest_cov", "pytest_asyncio"),
        *("hypothesis", "_hypothesis_pytestplugin", "nose", "nose2", "unittest", "unittest2", "doctest", "twisted"),
    ]
)
_START_MODULES = frozenset(("sitecustomize", "usercustomize"))
_PROGRAMS = frozenset(
    [
        *("pytest", "py.test", "tox", "nox", "nosetests", "python", "python3", "node", "npm", "npx", "yarn", "pnpm"),
        *("jest", "mocha", "vitest", "ava", "tap", "karma", "go", "gotestsum", "cargo", "make", "bash", "sh", "env"),
        *("ruby", "rspec", "rake", "bundle", "phpunit", "php", "mvn", "gradle", "dotnet", "mix", "prove", "bats"),
        *("ctest", "cmake", "ninja", "java", "deno", "bun", "swift", "perl"),
    ]
)
_TEST_WORDS = re.compile(
    r"\b(?:pytest|unittest|doctest|hypothesis|nose|TestCase|chai|should|jest|vitest|mocha|node:test|supertest|"
    r"minitest|rspec|Test::More|Test::Most|PHPUnit|testify|gtest|catch2|doctest\.h|criterion|cmocka|XCTest|ExUnit|"
    r"kotlin\.test|junit|testng|assertj|hamcrest|scalatest|munit|specs2|FluentAssertions|NUnit|Xunit|MSTest)\b"
    r"|require\(['\"](?:node:)?assert|from ['\"](?:node:)?assert|\btesting\.T\b|#\[test\]|^\s*def test_|^\s*class Test",
    re.MULTILINE,
)
_ASSERTS = re.compile(
    r"^\s*assert\b|AssertionError|\bassert[\w.!]*\(|sys\.exit\(|process\.exit|\bexit\(?\s*1", re.MULTILINE
)
_ASSERTING = re.compile(
    r"^\s*(?:async\s+)?(?:def|function|func|fn|export\s+(?:async\s+)?function|sub)\s+(?:\(\w+\s+[\w*.]+\)\s+)?"
    r"(?:assert|expect|check|verify|should|require|ensure|same|equal|is_?)\w*",
    re.MULTILINE | re.IGNORECASE,
)
_LIKE_TEST = re.compile(
    r"^(?:checks?|verify|specs?|cases?|scenario|unit|integration|smoke|func|should|it|t)[_.-]|"
    r"[_.-](?:checks?|verify|specs?|cases?|scenario|unit|integration|smoke|should|it)$"
)


@dataclass(frozen=True, slots=True)
class Protection:
    """Paths of a patch that verification undoes: `restore` exist in the base, `remove` are new. All sorted.

    Attributes:
        doubtful: paths of either kind that may be part of a fix; a patch that works only with them proves less.
        fixed: files of the base that judge patches and so must not change while the tests run.
        inside: base versions of the source files with embedded tests that the patch changes.
    """

    restore: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    inside: Mapping[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> tuple[str, ...]:
        """All undone paths, and the source files with embedded tests."""
        return tuple(sorted({*self.restore, *self.remove, *(f"{path} (the tests in it)" for path in self.inside)}))

    def without_doubtful(self) -> "Protection":
        """Only the paths that never count."""
        keep = set(self.doubtful)
        restore, remove = (tuple(path for path in paths if path not in keep) for paths in (self.restore, self.remove))
        return Protection(restore, remove, fixed=self.fixed, inside=self.inside)


async def protection(files: Iterable[FileDiff], command: str, tree: Tree, *, collected: Collection[str]) -> Protection:
    """Determine which changes of a patch to undo.

    Args:
        files: the files of the patch.
        command: the test command, with the environment that may name plugins and settings.
        tree: the base tree.
        collected: files named in the base's test report; those that do not exist are ignored.
    """
    judge = await asyncio.to_thread(_Judge, tree, await what_runs(command, tree), collected)
    restore: set[str] = set()
    remove: set[str] = set()
    doubtful: set[str] = set()
    inside: dict[str, str] = {}
    for file in files:
        old = file.old_path.decode("utf-8", "replace") if file.old_path is not None else None
        new = file.new_path.decode("utf-8", "replace") if file.new_path is not None else None
        for path, into in ((old if file.change != "copy" else None, restore), (new if new != old else None, remove)):
            kind = await judge.kind(path) if path is not None else "source"
            if path is not None and kind != "source":
                into.add(path)
                doubtful.update([path] if kind == "doubtful" else [])
        if old is not None and old == new and old not in restore:
            text = await tree.read(old)
            if may_hold_tests(old, text, doctests=judge.steering.doctests):
                inside[old] = text
    remove -= restore
    doubtful &= restore | remove
    back, away, unsure, fixed = (tuple(sorted(paths)) for paths in (restore, remove, doubtful, judge.fixed()))
    return Protection(back, away, unsure, fixed, inside)


class _Judge:
    """Distinguishes tests and what steers them from source, for one base tree."""

    def __init__(self, tree: Tree, steering: Steering, collected: Collection[str]) -> None:
        self.tree, self.steering = tree, steering
        self.collected = frozenset(path for path in collected if path in tree.files)
        self.test_folders, self.mostly_tests = _folders_of_tests(tree.files, self.collected)
        self.behind_links = {
            target
            for link, target in tree.links.items()
            if self._by_name(link) or self._by_name(f"{link}/x") or link in steering.files
        }
        self.source_folders = {
            path.rpartition("/")[0] for path in tree.files if names.is_code(path) and not self._by_name(path)
        } - {""}
        self.tests = {path for path in tree.files if names.is_test_file(path)} | self.collected

    async def kind(self, path: str) -> Kind:
        """Classify one changed path."""
        if self._by_name(path) or self._steers(path) or self._covers_tests(path):
            return "tests"
        if (shadow := await self._shadows(path)) != "source":
            return shadow
        for module in self._hidden_by(path):
            if (kind := await self.kind(module)) != "source":
                return kind
        if path in self.collected:
            return "doubtful" if await self._used_by_source(path) else "tests"
        if names.is_build_file(path) or names.is_support_file(path):
            return "doubtful"
        return await self._code(path) if _is_program(path) else await self._data(path)

    def fixed(self) -> set[str]:
        """Collected test files, and what the command runs except programs that may be the source itself."""
        scripts = {path for path in self.steering.files if is_script(path) or not self._in_source(path)}
        return {*self.collected} | {path for path in scripts if path not in self.tree.links}

    def _by_name(self, path: str) -> bool:
        """True for tests and test runner settings, by name."""
        if names.is_test_file(path) or names.is_runner_file(path):
            return True
        return names.in_test_folder(path, self.test_folders)

    def _steers(self, path: str) -> bool:
        name = path.rpartition("/")[2]
        if any(path == target or path.startswith(target + "/") for target in self.behind_links):
            return True
        if any(_matches(name, pattern) for pattern in self.steering.patterns):
            return True
        if self._like_collected(path):
            return True
        if path not in self.steering.files:
            return False
        return is_script(path) or not self._in_source(path)

    def _covers_tests(self, path: str) -> bool:
        """True for a file or link that replaces a base folder containing tests."""
        below = path + "/"
        return any(other.startswith(below) and self._by_name(other) for other in self.tree.files)

    async def _shadows(self, path: str) -> Kind:
        """Classify new modules and programs that would shadow a test runner's or Python's own."""
        if path in self.tree.files:
            return "source"
        *folders, name = path.split("/")
        if not name.endswith((".py", ".pyi", ".so", ".pyd")):
            return "tests" if name in _PROGRAMS and folders[-1:] in ([], ["bin"]) else "source"
        for depth, part in enumerate([*folders, name]):
            module, folder = part.split(".")[0], "/".join(folders[:depth])
            root = self._is_root(folder)
            if module in _START_MODULES or (module in _RUNNER_MODULES and root):
                return "tests"
            if module in _RUNNER_MODULES and f"{folder}/{part}".lstrip("/") not in self.source_folders:
                return "doubtful"
            if root and module != "__init__" and self._is_new(folder, module) and await self._known_elsewhere(module):
                return "tests"
        return "source"

    def _hidden_by(self, path: str) -> list[str]:
        """Base modules that Python no longer finds: packages and compiled modules take precedence over `x.py`."""
        if path in self.tree.files or not path.endswith((".py", ".so", ".pyd")):
            return []
        folder, _, name = path.rpartition("/")
        beside = [f"{folder}/{name.partition('.')[0]}.py".lstrip("/")] if not name.endswith(".py") else []
        return [one for one in (*beside, *(f"{parent}.py" for parent in names.parents(path))) if one in self.tree.files]

    def _is_root(self, folder: str) -> bool:
        """True for a folder in which Python may look for top-level modules."""
        if folder in self.steering.roots or folder in ("src", "lib"):
            return True
        has_code = any(names.is_code(path) and path.rpartition("/")[0] == folder for path in self.tree.files)
        return has_code and f"{folder}/__init__.py" not in self.tree.files

    def _is_new(self, folder: str, module: str) -> bool:
        start = f"{folder}/{module}".lstrip("/")
        return not any(path.startswith((f"{start}.", f"{start}/")) for path in self.tree.files)

    async def _known_elsewhere(self, module: str) -> bool:
        return module in sys.stdlib_module_names or await self.tree.installed(module)

    async def _code(self, path: str) -> Kind:
        """Classify code with an ordinary name: a program that the command runs, a test helper, or source."""
        if path not in self.tree.files:
            return "source"
        text = await self.tree.read(path)
        if path in self.steering.programs:
            if not (_TEST_WORDS.search(text) or _ASSERTS.search(text)):
                return "doubtful"
            return "doubtful" if await self._used_by_source(path) else "tests"
        if path in self.steering.named and _TEST_WORDS.search(text):
            return "doubtful" if await self._used_by_source(path) else "tests"
        return "doubtful" if await self._helps_tests(path, text) else "source"

    async def _helps_tests(self, path: str, text: str) -> bool:
        folder, stem = path.rpartition("/")[0], names.stem_of(path)
        if self._has_own_test(stem) or stem == "__init__":
            return False
        if folder in self.mostly_tests:
            return True
        beside = folder and any(folder == other.rpartition("/")[0] for other in self.tests)
        named = names.is_helper_name(path)
        vocabulary = _TEST_WORDS.search(text) or (_ASSERTING.search(text) and _ASSERTS.search(text))
        if not (beside and named) and not vocabulary:
            return False
        users = {user for user in await self.tree.users(stem) if user != path and _is_program(user)}
        tests = {user for user in users if self._is_testish(user)}
        return bool(tests) and tests == users

    async def _used_by_source(self, path: str) -> bool:
        users = await self.tree.users(names.stem_of(path))
        return any(_is_program(user) and user != path and not self._is_testish(user) for user in users)

    async def _data(self, path: str) -> Kind:
        """Classify a non-code file: it belongs to tests if they, or what runs them, name it or its folder."""
        if path in self.steering.files or path in self.steering.named:
            return "doubtful"
        words = [path.rpartition("/")[2]]
        if not self._in_source(path) and "/" in path:
            words.append(path.split("/")[-2])
        for word in words:
            if any(self._is_testish(user) for user in await self.tree.users(word)):
                return "doubtful"
        return "source"

    def _is_testish(self, path: str) -> bool:
        steering = path in self.steering.files or path in self.steering.programs
        return steering or path in self.collected or (self._by_name(path) and not path.startswith("."))

    def _in_source(self, path: str) -> bool:
        return any(folder in self.source_folders for folder in names.parents(path))

    def _has_own_test(self, stem: str) -> bool:
        return any(names.subject_of(path) == stem.lower() for path in self.tests)

    def _like_collected(self, path: str) -> bool:
        """True for a file named like a collected neighbour, by a word that means test in some convention."""
        folder, affix = path.rpartition("/")[0], _affix(path)
        return affix != "" and any(
            other.rpartition("/")[0] == folder and _affix(other) == affix and not self._by_name(other)
            for other in self.collected
        )


def _is_program(path: str) -> bool:
    """True for code other than shell scripts: code that other code may use."""
    return names.is_code(path) and not is_script(path)


def _affix(path: str) -> str:
    """`check_` for `check_cart.py`, `_checks` for `cart_checks.py`; empty for a name without such a word."""
    found = _LIKE_TEST.search(names.stem_of(path).lower())
    return found[0] if found else ""


def _folders_of_tests(files: Collection[str], collected: Collection[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Folders named like `fixtures` or `pkg/test` that contain tests; and folders with more tests than other code."""
    named: set[str] = set()
    tests: dict[str, list[str]] = defaultdict(list)
    others: dict[str, set[str]] = defaultdict(set)
    for path in files:
        folder = path.rpartition("/")[0]
        if not names.is_code(path) or names.is_runner_file(path):
            continue
        if not names.is_test_file(path) and path not in collected:
            others[folder].add(names.stem_of(path).lower())
            continue
        tests[folder].append(names.subject_of(path))
        for parent in reversed(names.parents(path)):
            if names.is_test_folder(parent):
                break
            if names.may_hold_tests(parent):
                named.add(parent)
    mostly = {
        folder
        for folder, subjects in tests.items()
        if folder and len(subjects) > len(others[folder] - {"__init__"}) and others[folder].isdisjoint(subjects)
    }
    return frozenset(named), frozenset(mostly)


def _matches(name: str, pattern: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), name) is not None
