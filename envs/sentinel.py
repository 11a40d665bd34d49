"""Sentinels: copies of the tests that a patch fixed, beside them or in their place, that must pass or must fail.

Code under test can forge the report of its own test run. Code that makes all results pass also passes a copy with a
changed expectation; code that selects tests by name, text or position fails the unchanged copy, or passes the changed
copy that replaces the test. Copies have random names that look like the originals, and only code outside of the sandbox
knows which must fail. Limit: a patch that knows what the tests expect (`if items == [1, 2]: return 3`) passes all of
them, as it would pass any test.
"""

import ast
import random
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from envs.base import TestOutcome, TestPlace
from envs.mutants import Edit, Function, Source, changed, copy, restated, undescribed

_WORDS = (
    *("empty", "single", "nested", "large", "small", "first", "last", "mixed", "order", "bounds", "default", "plain"),
    *("repeated", "sorted", "missing", "extra", "simple", "long", "short", "inner", "outer", "middle", "left", "right"),
    *("upper", "lower", "initial", "final", "partial", "whole", "double", "negative", "positive", "boundary"),
)
MOST_TARGETS = 12
"""Maximum number of test functions that get sentinels; if a patch fixes more, they are sampled at random."""


@dataclass(frozen=True, slots=True)
class Target:
    """A test function to make sentinels of.

    Attributes:
        ids: ids, as reported, of the tests that it defines and that count.
        files: files that may define it, the likeliest first.
        line: line of its definition, if known.
        name: its name, as far qualified as known: `CartTest.test_total`.
    """

    ids: tuple[str, ...]
    files: tuple[str, ...]
    line: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Sentinel:
    """One copy of a test function.

    Attributes:
        name: name of the copy; the original name if it replaces the test.
        must_fail: its expectation was changed.
        optional: it may be missing from the results, since it is not known whether the command runs such copies.
    """

    target: Target
    function: str
    name: str
    must_fail: bool
    optional: bool = False

    @property
    def in_place(self) -> bool:
        """Whether it replaces the test it was made from."""
        return self.name == self.function

    def outcomes(self, tests: Mapping[str, TestOutcome]) -> dict[str, TestOutcome]:
        """The copy's outcomes by the ids of the original tests; empty if it did not run."""
        if self.in_place:
            return {test: tests[test] for test in self.target.ids if test in tests}
        word = re.compile(rf"(?<![A-Za-z0-9_]){self.name}")
        return {word.sub(self.function, test): outcome for test, outcome in tests.items() if word.search(test)}


@dataclass(frozen=True, slots=True)
class Planting:
    """Test files with sentinels in them.

    Attributes:
        files: complete new contents by path.
        uncovered: ids of the tests for which no sentinel could be made.
        texts: source of the functions that sentinels were made from.
        idle: further sentinels, whose outcomes do not count.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    sentinels: tuple[Sentinel, ...] = ()
    uncovered: tuple[str, ...] = ()
    texts: tuple[bytes, ...] = ()
    idle: tuple[Sentinel, ...] = ()

    def only(self, targets: Collection[Target]) -> "Planting":
        """The same files, of whose sentinels only those of these targets count."""
        counting = tuple(one for one in self.sentinels if one.target in targets)
        idle = tuple(one for one in self.sentinels if one not in counting)
        ids = {test for target in targets for test in target.ids}
        uncovered = tuple(test for test in self.uncovered if test in ids)
        return replace(self, sentinels=counting, idle=idle, uncovered=uncovered)

    def planted(self, tests: Iterable[str]) -> set[str]:
        """The given tests that are sentinels beside the project's tests."""
        found = _any_of(one.name for one in self.sentinels if not one.in_place)
        return {test for test in tests if found.search(test)}

    def untouched(self, tests: Iterable[str]) -> set[str]:
        """The given tests that are neither sentinels nor replaced by one."""
        found = _any_of(name for one in (*self.sentinels, *self.idle) for name in (one.name, one.function))
        return {test for test in tests if not found.search(test)}


def _any_of(names: Iterable[str]) -> re.Pattern[str]:
    """A pattern for tests of any of these functions, including `test_a_0_zero` for `test_a`."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(set(names))) or '(?!)'})(?:_\d+\w*)?(?!\w)")


@dataclass(frozen=True, slots=True)
class Layout:
    """The sentinels that each test gets, in its place and beside it; True means it must fail.

    Attributes:
        in_place: None keeps the test as it is.
        alike: all sentinels of a test that must fail are changed in the same way.
        optional: those beside the tests need not be reported.
    """

    in_place: bool | None = None
    beside: tuple[bool, ...] = ()
    alike: bool = False
    optional: bool = False

    @property
    def ways(self) -> int:
        """How many ways to change a test one planting uses."""
        return 1 if self.alike else 1 + len(self.beside)


def plant(
    sources: Mapping[str, bytes], targets: Sequence[Target], layout: Layout, rng: random.Random, turn: int = 0
) -> Planting:
    """Put sentinels into test files.

    Args:
        sources: contents, by path, of the files that may define targets; missing files are skipped.
        targets: the test functions to copy.
        layout: which sentinels each target gets.
        rng: source of randomness for names and changed values.
        turn: selects a different way to change each test.
    """
    parsed: dict[str, Source] = {}
    for path, data in sources.items():
        try:
            parsed[path] = Source(data)
        except ValueError:
            continue
    edits: dict[str, list[Edit]] = {}
    sentinels: list[Sentinel] = []
    uncovered: list[str] = []
    used: set[tuple[str, int]] = set()
    texts: list[bytes] = []
    for target in targets:
        found = _find(target, parsed)
        if found is None:
            uncovered += target.ids
            continue
        path, function = found
        if (path, function.lineno) not in used:
            used.add((path, function.lineno))
            texts.append(parsed[path].text(function))
            edit, made = _plant_one(parsed[path], function, target, layout, rng, turn)
            edits.setdefault(path, []).append(edit)
            sentinels += made
    files = {path: _applied(sources[path], made) for path, made in edits.items()}
    for path in [path for path, data in files.items() if not _parses(data)]:
        del files[path]
        uncovered += [test for target in targets if path in target.files for test in target.ids]
        sentinels = [one for one in sentinels if path not in one.target.files]
    return Planting(files, tuple(sentinels), tuple(uncovered), tuple(texts))


def _parses(data: bytes) -> bool:
    try:
        Source(data)
    except ValueError:
        return False
    return True


def _find(target: Target, parsed: Mapping[str, Source]) -> tuple[str, Function] | None:
    for path in target.files:
        if path not in parsed:
            continue
        functions = list(parsed[path].functions())
        if target.line is not None:
            for _, one in functions:
                first = min([one.lineno, *(decorator.lineno for decorator in one.decorator_list)])
                if first <= target.line <= one.body[0].lineno and _stands_for(one.name, target.name):
                    return path, one
        for name, one in reversed(functions):
            if name == target.name or name.endswith("." + target.name) or _described(one, target.name):
                return path, one
    return None


def _described(function: Function, name: str) -> bool:
    """Whether runners such as Django's report a function under these words, taken from its docstring."""
    return " " in name and (ast.get_docstring(function) or "").partition("\n")[0].strip() == name


def _stands_for(function: str, name: str) -> bool:
    """Whether a test's name is the function's, or was derived from it (`test_a_0_zero` from `test_a`)."""
    return name.rpartition(".")[2].startswith(function)


def _plant_one(
    source: Source, function: Function, target: Target, layout: Layout, rng: random.Random, turn: int
) -> tuple[Edit, list[Sentinel]]:
    """An edit that puts a function's sentinels beside it, or one of them in its place."""
    sentinels = [] if layout.in_place is None else [Sentinel(target, function.name, function.name, layout.in_place)]
    for must_fail in layout.beside:
        taken = {one.name for one in sentinels}
        name = _name(function.name, source.data, taken, rng)
        sentinels.append(Sentinel(target, function.name, name, must_fail, layout.optional))
    start, end = source.span(function)
    own = source.data[start:end]
    texts = [own if own.endswith(b"\n") else own + b"\n"] if layout.in_place is None else []
    ways = changed(source, function, rng)
    for number, one in enumerate(sentinels):
        edits = list(ways[(turn if layout.alike else number + turn) % len(ways)]) if one.must_fail else []
        if not one.in_place:
            # Runners may report tests by their docstrings: copies must not be mistaken for the original.
            edits += undescribed(source, function)
        if not (one.must_fail and one.in_place):
            edits += restated(source, function, rng)
        texts.append(copy(source, function, one.name, edits))
    return Edit(start, end, b"\n".join(texts)), sentinels


def _name(name: str, data: bytes, taken: Collection[str], rng: random.Random) -> str:
    """A name in the style of the test's that occurs nowhere in the file."""
    while True:
        word = "_".join(rng.sample(_WORDS, 2))
        found = f"{word}_{name}" if name.endswith("test") and not name.startswith("test") else f"{name}_{word}"
        if found not in taken and found.encode() not in data:
            return found


def _applied(data: bytes, edits: Iterable[Edit]) -> bytes:
    for edit in sorted(edits, key=lambda one: one.start, reverse=True):
        data = data[: edit.start] + edit.text + data[edit.end :]
    return data


def targets_of(ids: Iterable[str], places: Mapping[str, TestPlace], rng: random.Random) -> list[Target]:
    """The functions behind tests, located where the recorder saw them.

    Args:
        ids: ids of the tests.
        places: recorded definitions by test id.
        rng: source of randomness for sampling if there are more than `MOST_TARGETS` functions.

    Returns:
        At most `MOST_TARGETS` targets; a test without a recorded place has a target without files.
    """
    functions: dict[tuple[str, int] | str, list[str]] = {}
    for test in ids:
        place = places.get(test)
        functions.setdefault((place.file, place.line) if place else test, []).append(test)
    chosen = list(functions.items())
    if len(chosen) > MOST_TARGETS:
        chosen = rng.sample(chosen, MOST_TARGETS)
    return [
        Target(tuple(tests), (where[0],), where[1], function_name(tests[0]))
        if isinstance(where, tuple)
        else Target(tuple(tests), (), None, function_name(where))
        for where, tests in chosen
    ]


def function_name(test: str) -> str:
    """The qualified name of a test's function, from its id: without file (pytest) or module (unittest)."""
    if "::" in test:
        return ".".join(test.split("[")[0].split("::")[1:])
    parts = test.split(".")
    return ".".join(parts[-2:])


def candidates(test: str) -> tuple[str, ...]:
    """Files that a test id may refer to: a pytest id names one, a dotted id only hints at it; none for doctests.

    Doctests are part of the source that a fix changes, so their files neither get sentinels nor protection.
    """
    file, *rest = test.split("::")
    if rest and "." in rest[-1].split("[")[0]:
        return ()
    if file.endswith(".py"):
        return (file,)
    if "/" in file:
        return ()
    parts = file.split(".") if rest else file.split(".")[:-2]
    while parts and parts[-1][:1].isupper():
        parts.pop()
    return tuple(f"{folder}{'/'.join(parts)}.py" for folder in ("", "tests/", "test/", "src/")) if parts else ()
