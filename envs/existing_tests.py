"""A project's own tests: how to run them, and which test files are relevant to a change.

Everything here is derived from the base tree and the candidates' changes. Hidden tests and their names are never used.
"""

import json
import posixpath
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from core.diff import FileDiff
from core.record import Record
from envs.base import Task
from envs.conventions import is_test

RunnerKind = Literal[
    "pytest", "unittest", "django", "sympy", "jest", "vitest", "mocha", "npm", "go", "cargo", "command"
]

_TEST_FILE = re.compile(
    r"^(?:(?:unit)?test_.*|.*_tests?)\.py$|.*[._-](?:test|spec)\.[cm]?[jt]sx?$|.*_test\.go$|^tests?\.rs$|.*_test\.rs$"
)
_HELPERS = frozenset(("testutils", "test_utils", "test_helpers", "testdata", "test_data", "fixtures", "node_modules"))
_STEERING = ("conftest.py", "__init__.py")
_GENERIC = frozenset(("test", "tests", "testing", "src", "lib", "unit", "integration", "__init__", "spec", ""))
_NAME = re.compile(r"^\s*(?:async\s+)?(?:def|class|func|function|fn|struct|interface)\s+(?:\([^)]*\)\s*)?(\w+)")
_IN_HEADER = re.compile(r"(?:def|class|func|function|fn)\s+(?:\([^)]*\)\s*)?(\w+)")
_MOST_WORDS = 12
_WITH_VALUE = frozenset(
    (
        "-n",
        "-m",
        "-k",
        "-p",
        "-c",
        "-o",
        "-W",
        "-r",
        "--tb",
        "--rootdir",
        "--maxfail",
        "--ignore",
        "--timeout",
        "--dist",
    )
)
"""Options of pytest that take the next word as their value."""


class TestRunner(Record):
    """How a project runs selected test files.

    Attributes:
        command: command without files; file names are appended to it.
    """

    __test__ = False

    kind: RunnerKind
    command: str

    def on(self, files: Iterable[str]) -> str:
        """Return the shell command that runs only these files, or what contains them if the runner takes no files."""
        names = sorted(files)
        match self.kind:
            case "django":
                names = [_label(name) for name in names]
            case "unittest":
                names = [name.removesuffix(".py").replace("/", ".") for name in names]
            case "go":
                names = sorted({f"./{posixpath.dirname(name)}" for name in names})
            case "cargo":
                stems = [posixpath.basename(name).removesuffix(".rs") for name in names if name.startswith("tests/")]
                names = [word for stem in stems for word in ("--test", stem)] if len(stems) == len(names) else []
            case "npm":
                names = ["--", *names]
            case "command":
                names = []
            case _:
                pass
        return " ".join([self.command, shlex.join(names)]).strip()


def runner_of_command(command: str) -> TestRunner:
    """Derive the runner of individual files from a test command; the whole command if that is not possible."""
    whole = TestRunner(kind="command", command=command)
    if re.search(r"[;&|<>()`\n#]", command):
        return whole
    words = command.split()
    at = next((place for place, word in enumerate(words) if re.fullmatch(r"(?:\S*/)?(?:pytest|py\.test)", word)), None)
    if at is not None:
        return TestRunner(kind="pytest", command=" ".join([*words[: at + 1], *_options(words[at + 1 :])]))
    if found := re.fullmatch(
        r"((?:\S+=\S+ )*\S*python[\d.]*(?: -\w+)*? -m unittest)(?: discover)?((?: -[vqfbc]+)*)", command
    ):
        return TestRunner(kind="unittest", command=f"{found[1]}{found[2].replace('-q', '')} -v".replace("  ", " "))
    return whole


def _options(words: Sequence[str]) -> list[str]:
    """Remove files, folders and tests from the words of a pytest command."""
    kept: list[str] = []
    for word in words:
        takes_value = bool(kept) and kept[-1] in _WITH_VALUE
        if word.startswith("-") or takes_value:
            kept.append(word)
    return kept


@runtime_checkable
class KnowsTestRunner(Protocol):
    """An env that provides the test runners of its tasks' projects."""

    def test_runner(self, task: Task) -> TestRunner | None:
        """Return the runner of existing files; it never names hidden tests, nor files because they contain them."""
        ...


class SearchedTree(Protocol):
    """The queries made here on the base tree."""

    @property
    def files(self) -> Collection[str]:
        """Paths of all files."""
        ...

    async def read(self, path: str) -> str:
        """Return the text of a file; empty if it does not exist."""
        ...

    async def users(self, words: Sequence[str]) -> Mapping[str, Collection[str]]:
        """Return the test files in which each word occurs."""
        ...


def _label(path: str) -> str:
    return path.removeprefix("tests/").removesuffix(".py").replace("/", ".")


def is_test_file(path: str) -> bool:
    """Whether test runners collect tests from a file with this name."""
    *folders, name = path.split("/")
    if name in _STEERING or not _HELPERS.isdisjoint(folders):
        return False
    if name in ("test.py", "tests.py"):
        return "tests" in folders or not folders
    return _TEST_FILE.match(name) is not None


async def detect_runner(tree: SearchedTree) -> TestRunner | None:
    """Detect how the project runs its tests from its configuration files; None if that cannot be determined."""
    files = set(tree.files)
    if "tests/runtests.py" in files and "django/__init__.py" in files:
        return TestRunner(
            kind="django", command="./tests/runtests.py --verbosity 2 --settings=test_sqlite --parallel 1"
        )
    if "bin/test" in files and "sympy/__init__.py" in files:
        return TestRunner(kind="sympy", command="bin/test -C --verbose")
    if found := _javascript(await tree.read("package.json")) if "package.json" in files else None:
        return found
    if "go.mod" in files:
        return TestRunner(kind="go", command="go test")
    if "Cargo.toml" in files:
        return TestRunner(kind="cargo", command="cargo test")
    python = [path for path in files if path.endswith(".py") and is_test_file(path)]
    if not python:
        return None
    if await _uses_pytest(tree, files):
        return TestRunner(kind="pytest", command="python3 -m pytest -q")
    for path in sorted(python)[:20]:
        text = await tree.read(path)
        if re.search(r"^def test|^\s*(?:import|from) pytest", text, re.MULTILINE):
            return TestRunner(kind="pytest", command="python3 -m pytest -q")
    return TestRunner(kind="unittest", command="python3 -m unittest -v")


async def _uses_pytest(tree: SearchedTree, files: Collection[str]) -> bool:
    if any(posixpath.basename(path) in ("conftest.py", "pytest.ini", ".pytest.ini") for path in files):
        return True
    for path in ("pyproject.toml", "setup.cfg", "tox.ini"):
        if path in files and re.search(r"\[(?:tool[.:])?pytest|\bpytest\b", await tree.read(path)):
            return True
    return False


def _javascript(text: str) -> TestRunner | None:
    try:
        package = json.loads(text)
        script = str(package.get("scripts", {}).get("test", ""))
    except (ValueError, AttributeError):
        return None
    for kind, command in (("jest", "npx jest"), ("vitest", "npx vitest run"), ("mocha", "npx mocha")):
        if re.search(rf"\b{kind}\b", script):
            return TestRunner.model_validate({"kind": kind, "command": command})
    return TestRunner(kind="npm", command="npm test") if script and "no test specified" not in script else None


class Change(Record):
    """Combined changes of a set of patches.

    Attributes:
        sources: changed source files of the base, with the number of patches changing each.
        tests: changed test files of the base, likewise.
        words: names of functions and classes around changed lines, most frequently changed first.
    """

    sources: Mapping[str, int] = {}
    tests: Mapping[str, int] = {}
    words: tuple[str, ...] = ()


def change_of(patches: Iterable[Iterable[FileDiff]]) -> Change:
    """Combine the changes of patches, counting each patch once."""
    sources, tests, words = Counter[str](), Counter[str](), Counter[str]()
    for patch in patches:
        own: set[str] = set()
        for file in patch:
            path = (file.old_path or b"").decode("utf-8", "replace")
            if not path:
                continue
            if is_test_file(path):
                tests[path] += 1
            if is_test(path):
                continue
            sources[path] += 1
            for hunk in file.hunks:
                own |= _names_in(hunk.header.split(b"@@", 2)[-1].decode("utf-8", "replace"), hunk.lines)
        words.update(own)
    ordered = sorted(words, key=lambda word: (-words[word], word))
    return Change(sources=sources, tests=tests, words=tuple(ordered[:_MOST_WORDS]))


def _names_in(section: str, lines: Iterable[bytes]) -> set[str]:
    """Return the names of definitions that enclose, or are added or removed by, the changed lines of a hunk."""
    found, current, changed = set[str](), _IN_HEADER.search(section), set[str]()
    inside = current[1] if current else ""
    for raw in lines:
        text = raw.decode("utf-8", "replace")
        if named := _NAME.match(text[1:]):
            inside = named[1]
        if text[:1] in "+-" and text[1:].strip():
            changed.add(inside)
    found |= {name for name in changed if len(name) > 3 and not name.startswith("__")}
    return found


def module_of(path: str) -> str:
    """Return the dotted module name of a Python file; empty for other files."""
    if not path.endswith(".py"):
        return ""
    for top in ("src/", "lib/"):
        path = path.removeprefix(top)
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _stem(path: str) -> str:
    name = posixpath.basename(path).split(".")[0]
    return posixpath.basename(posixpath.dirname(path)) if name in ("__init__", "index", "mod", "lib") else name


async def concerned(tree: SearchedTree, change: Change) -> list[str]:
    """Return existing test files relevant to a change, most relevant first: by name, by use, by directory."""
    every = [path for path in tree.files if is_test_file(path)]
    modules = [name for path in change.sources if (name := module_of(path))]
    words = list(dict.fromkeys((*change.words, *modules)))
    used = await tree.users(words) if words else {}
    scores: defaultdict[str, float] = defaultdict(float)
    for path, times in change.tests.items():
        scores[path] += 6 * times / max(1, *change.tests.values(), *change.sources.values())
    most = max(change.sources.values(), default=1)
    for source, times in change.sources.items():
        for path in every:
            scores[path] += times / most * _nearness(source, path)
    for word in words:
        users = set(used.get(word, ())).intersection(every)
        for path in users:
            scores[path] += (5 if word in modules else 4) * min(1.0, 4 / len(users))
    return sorted((path for path in every if scores[path] >= 1), key=lambda path: (-scores[path], path))


def _nearness(source: str, test: str) -> float:
    """Score how closely a test file's name and location match a source file."""
    stem, folders = _stem(source), set(posixpath.dirname(source).split("/")) - _GENERIC
    name = re.sub(r"^(?:tests?_)|(?:[._-](?:tests?|spec))$", "", posixpath.basename(test).rsplit(".", 1)[0])
    parent = posixpath.basename(posixpath.dirname(source))
    places = set(posixpath.dirname(test).split("/")) - _GENERIC
    score = 0.0
    if name in (stem, f"{parent}_{stem}", f"{stem}s", stem.removesuffix("s")) and name:
        score += 6
    elif stem not in _GENERIC and re.search(rf"(?:^|_){re.escape(stem)}(?:_|$)", name):
        score += 3
    if stem in places:
        score += 3
    if posixpath.dirname(posixpath.dirname(test)) == posixpath.dirname(source) != "":
        score += 1
    return score + 0.5 * len(folders & places)
