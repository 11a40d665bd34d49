"""Which of a patch's changes must not count when the patch is judged by tests.

Tests, what steers the test runner, and what Python runs by itself at start are put back to the base commit in the
verification sandbox; new files of these kinds are taken away there. The patch itself is never altered.
Deliberately not protected: ordinary source under folders such as `django/test/`, which fixes may well touch.
"""

import configparser
import re
import shlex
import sys
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.diff import FileDiff
from envs.testing import first_word

_RUNNER_FILES = frozenset(
    [
        *("conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "noxfile.py"),
        *(".coveragerc", "sitecustomize.py", "usercustomize.py", "pyvenv.cfg", "nose.cfg"),
    ]
)
_TEST_NAME = re.compile(r"^(test_.*|.*_tests?|tests?)\.py$")
_TEST_FOLDERS_AT_TOP = frozenset(("test", "testing", "tests"))
_METADATA = re.compile(r"\.(dist-info|egg-info|egg-link)(/|$)|\.pth$")
_RUNNER_MODULES = frozenset(
    [
        *("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "exceptiongroup", "tomli", "pygments"),
        *("xdist", "execnet", "coverage", "pytest_cov", "pytest_asyncio", "hypothesis", "nose"),
    ]
)
_STEERED_BY = {
    "make": ("Makefile", "makefile", "GNUmakefile"),
    "tox": ("tox.ini",),
    "nox": ("noxfile.py",),
    "npm": ("package.json",),
    "just": ("justfile",),
}
SETTINGS_FILES = frozenset(("pyproject.toml", "setup.cfg"))
"""Put back only when what they tell the test runner has changed: fixes may well touch the rest."""


@dataclass(frozen=True, slots=True)
class Protection:
    """Paths of a patch that verification undoes: `restore` exist in the base, `remove` are new. Both sorted."""

    restore: tuple[str, ...]
    remove: tuple[str, ...]


def protection(
    files: Iterable[FileDiff],
    command: str,
    *,
    collected: Collection[str],
    top: Collection[str],
    changed: Collection[str],
) -> Protection:
    """What to undo of a patch.

    Args:
        command: the test command; files named in it are protected.
        collected: test files that the base's test report names.
        top: names at the top of the base tree and of its source folders, without `.py`.
        changed: settings files of the patch whose test settings differ from the base's.
    """
    named = _named(command) | set(collected) | set(changed)
    restore: set[str] = set()
    remove: set[str] = set()
    for file in files:
        old = file.old_path.decode("utf-8", "replace") if file.old_path is not None else None
        new = file.new_path.decode("utf-8", "replace") if file.new_path is not None else None
        if old is not None and file.change != "copy" and (is_protected(old) or old in named):
            restore.add(old)
        if new is not None and new != old and (is_protected(new) or new in named or _shadows(new, top)):
            remove.add(new)
    return Protection(tuple(sorted(restore)), tuple(sorted(remove - restore)))


def is_protected(path: str) -> bool:
    """True for tests, test data, and files that steer the test runner or Python's start."""
    *folders, name = path.split("/")
    if name in _RUNNER_FILES or _METADATA.search(path) or _TEST_NAME.match(name):
        return True
    return "tests" in folders or bool(folders and folders[0] in _TEST_FOLDERS_AT_TOP)


def is_test(path: str) -> bool:
    """True for tests and test data, not for what steers the test runner or Python's start."""
    return is_protected(path) and path.split("/")[-1] not in _RUNNER_FILES and not _METADATA.search(path)


def holds_tests(path: str) -> bool:
    """True for a file in which Python's test runners look for tests."""
    return is_test(path) and _TEST_NAME.match(path.split("/")[-1]) is not None


def _named(command: str) -> set[str]:
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        words = command.split()
    paths = {word.split("::")[0].removeprefix("./") for word in words}
    return paths | set(_STEERED_BY.get(first_word(command), ()))


def _shadows(path: str, top: Collection[str]) -> bool:
    """True for a new top-level module that Python would import in place of the test runner's or its own."""
    parts = path.split("/")
    if parts[0] in ("src", "lib") and len(parts) > 1:
        parts = parts[1:]
    name = parts[0].split(".")[0]
    return name not in top and (name in _RUNNER_MODULES or name in sys.stdlib_module_names)


def runner_settings(name: str, data: bytes) -> Any:
    """What a `pyproject.toml` or `setup.cfg` tells the test runner; comparable; None when it cannot be read."""
    try:
        text = data.decode("utf-8")
        if name.endswith(".toml"):
            tables = tomllib.loads(text)
            return _toml_settings(tables)
        parser = configparser.RawConfigParser(strict=False)
        parser.read_string(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, configparser.Error):
        return None
    wanted = [name for name in parser.sections() if re.match(r"(tool:)?pytest|unittest|aliases|coverage", name)]
    entry = parser.get("options.entry_points", "pytest11", fallback="")
    return ({name: dict(parser.items(name)) for name in wanted}, entry)


def _toml_settings(tables: Mapping[str, Any]) -> Any:
    tool = tables.get("tool", {})
    project = tables.get("project", {})
    steering = {key: tool[key] for key in ("pytest", "tox", "nox", "coverage", "hatch", "poe") if key in tool}
    return (steering, project.get("entry-points", {}).get("pytest11"))
