"""Sentinels: copies of the tests that a patch fixed, put beside them and in their place, that must pass or must fail.

Code under test can forge the report of its own test run. What makes results pass wholesale also passes a copy whose
expectation was changed; what picks tests by name, by text or by place fails the unchanged copy, or passes the changed
one that stands where the test stood. Copies have random names of the tests' own form, and which must fail is known
outside of the sandbox only. Limit: a patch that knows what the tests expect (`if items == [1, 2]: return 3`) passes
all of it, as it would pass any test.
"""

import ast
import random
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from envs.base import TestOutcome, TestPlace
from envs.mutants import Edit, Function, Source, changed, copy, restated, undescribed

_WORDS = (
    *("empty", "single", "nested", "large", "small", "first", "last", "mixed", "order", "bounds", "default", "plain"),
    *("repeated", "sorted", "missing", "extra", "simple", "long", "short", "inner", "outer", "middle", "left", "right"),
    *("upper", "lower", "initial", "final", "partial", "whole", "double", "negative", "positive", "boundary"),
)
MOST_TARGETS = 12
"""Test functions that get sentinels, drawn at random where a patch fixes more."""


@dataclass(frozen=True, slots=True)
class Target:
    """A test function that sentinels are made of.

    Attributes:
        ids: the tests that it stands for and that count, as they are reported.
        files: where it may be defined, the likeliest first.
        line: of its definition, where that is known.
        name: qualified, as far as it is known: `CartTest.test_total`.
    """

    ids: tuple[str, ...]
    files: tuple[str, ...]
    line: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Sentinel:
    """One copy.

    Attributes:
        name: of the function; the target's own for the one that stands in its place.
        must_fail: its expectation was changed.
    """

    target: Target
    function: str
    name: str
    must_fail: bool

    @property
    def in_place(self) -> bool:
        """Whether it stands in the place of the test that it was made of."""
        return self.name == self.function

    def outcomes(self, tests: Mapping[str, TestOutcome]) -> dict[str, TestOutcome]:
        """The copy's own outcomes by the ids of the tests that it was made of; empty where it did not run."""
        if self.in_place:
            return {test: tests[test] for test in self.target.ids if test in tests}
        word = re.compile(rf"(?<![A-Za-z0-9_]){self.name}")
        return {word.sub(self.function, test): outcome for test, outcome in tests.items() if word.search(test)}


@dataclass(frozen=True, slots=True)
class Planting:
    """Test files with sentinels in them.

    Attributes:
        files: whole new contents by path.
        uncovered: ids of tests of which no sentinel could be made.
        texts: the functions that sentinels were made of.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    sentinels: tuple[Sentinel, ...] = ()
    uncovered: tuple[str, ...] = ()
    texts: tuple[bytes, ...] = ()

    def planted(self, tests: Iterable[str]) -> set[str]:
        """Those of the tests that are sentinels beside tests of the project."""
        found = _any_of(one.name for one in self.sentinels if not one.in_place)
        return {test for test in tests if found.search(test)}

    def untouched(self, tests: Iterable[str]) -> set[str]:
        """Those of the tests that are neither sentinels nor of a function whose place one has taken."""
        found = _any_of(name for one in self.sentinels for name in (one.name, one.function))
        return {test for test in tests if not found.search(test)}


def _any_of(names: Iterable[str]) -> re.Pattern[str]:
    """Finds a test of any of these functions, `test_a_0_zero` of `test_a` included."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(set(names))) or '(?!)'})(?:_\d+\w*)?(?!\w)")


@dataclass(frozen=True, slots=True)
class Layout:
    """Which sentinels each test gets: in its place and beside it. True stands for one that must fail.

    Attributes:
        in_place: None leaves the test as it is.
    """

    in_place: bool | None = None
    beside: tuple[bool, ...] = ()


def plant(
    sources: Mapping[str, bytes], targets: Sequence[Target], layout: Layout, rng: random.Random, turn: int = 0
) -> Planting:
    """Put sentinels into test files.

    Args:
        sources: the files that targets may be defined in; those that are not there are left out.
        layout: of each target.
        turn: another way to change a test is taken for each.
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
    """Whether a runner such as Django's tells of a function by these words of its docstring."""
    return " " in name and (ast.get_docstring(function) or "").partition("\n")[0].strip() == name


def _stands_for(function: str, name: str) -> bool:
    """Whether a test's name is the function's, or one that was made of it (`test_a_0_zero` of `test_a`)."""
    return name.rpartition(".")[2].startswith(function)


def _plant_one(
    source: Source, function: Function, target: Target, layout: Layout, rng: random.Random, turn: int
) -> tuple[Edit, list[Sentinel]]:
    """An edit that puts a function's sentinels beside it, or one of them in its place."""
    sentinels = [] if layout.in_place is None else [Sentinel(target, function.name, function.name, layout.in_place)]
    for must_fail in layout.beside:
        taken = {one.name for one in sentinels}
        sentinels.append(Sentinel(target, function.name, _name(function.name, source.data, taken, rng), must_fail))
    start, end = source.span(function)
    own = source.data[start:end]
    texts = [own if own.endswith(b"\n") else own + b"\n"] if layout.in_place is None else []
    ways = changed(source, function, rng)
    for number, one in enumerate(sentinels):
        edits = list(ways[(number + turn) % len(ways)]) if one.must_fail else restated(source, function, rng)
        # Where runners tell of tests by their docstrings, copies must not be taken for what they were made of.
        texts.append(copy(source, function, one.name, edits if one.in_place else edits + undescribed(source, function)))
    return Edit(start, end, b"\n".join(texts)), sentinels


def _name(name: str, data: bytes, taken: Collection[str], rng: random.Random) -> str:
    """A name of the test's own kind that nothing in the file has."""
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
    """The functions behind tests, by where the recorder saw them; a test without a place has a target in no file."""
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
    """The qualified name of a test's function, by its id: of pytest without its file, of unittest from the class on."""
    if "::" in test:
        return ".".join(test.split("[")[0].split("::")[1:])
    parts = test.split(".")
    return ".".join(parts[-2:])


def candidates(test: str) -> tuple[str, ...]:
    """Where the file of a test id may lie: a pytest id names it, a dotted one only hints at it; none for doctests.

    Doctests lie in the very source that a fix changes, so their files are neither planted in nor protected.
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
