"""Sentinels: copies of the tests that a patch fixed, beside them or in their place, that must pass or must fail.

Code under test can forge the report of its own test run. Code that makes all results pass also passes a copy with a
changed expectation; code that selects tests by name, text or position fails the unchanged copy, or passes the changed
copy that replaces the test. Copies have random names that look like the originals, and only code outside of the sandbox
knows which must fail. Limit: a patch that knows what the tests expect (`if items == [1, 2]: return 3`) passes all of
them, as it would pass any test.
"""

import random
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from envs.base import TestOutcome, TestPlace
from envs.conventions import is_javascript
from envs.copying import CopyableTest, Edit, ParsedFile, Target, applied
from envs.javascript import WITHIN, JavaScriptFile, whole_of
from envs.python_tests import PythonFile

_WORDS = (
    *("empty", "single", "nested", "large", "small", "first", "last", "mixed", "order", "bounds", "default", "plain"),
    *("repeated", "sorted", "missing", "extra", "simple", "long", "short", "inner", "outer", "middle", "left", "right"),
    *("upper", "lower", "initial", "final", "partial", "whole", "double", "negative", "positive", "boundary"),
)
MOST_TARGETS = 12
"""Maximum number of test functions that get sentinels; if a patch fixes more, they are sampled at random."""


@dataclass(frozen=True, slots=True)
class Sentinel:
    """One copy of a test function.

    Attributes:
        name: name of the copy; the original name if it replaces the test.
        must_fail: its expectation was changed.
        optional: it may be missing from the results, since it is not known whether the command runs such copies.
        reported: its id in the results, where ids name tests exactly; `target.whole` is then the original's.
    """

    target: Target
    function: str
    name: str
    must_fail: bool
    optional: bool = False
    reported: str = ""

    @property
    def in_place(self) -> bool:
        """Whether it replaces the test it was made from."""
        return self.name == self.function

    def outcomes(self, tests: Mapping[str, TestOutcome]) -> dict[str, TestOutcome]:
        """The copy's outcomes by the ids of the original tests; empty if it did not run."""
        if self.reported:
            return {self.target.whole: tests[self.reported]} if self.reported in tests else {}
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
        beside = [one for one in self.sentinels if not one.in_place]
        found = _any_of((one.name for one in beside if not one.reported), (one.reported for one in beside))
        return {test for test in tests if found.search(test)}

    def untouched(self, tests: Iterable[str]) -> set[str]:
        """The given tests that are neither sentinels nor replaced by one."""
        every = (*self.sentinels, *self.idle)
        names = (name for one in every if not one.reported for name in (one.name, one.function))
        found = _any_of(names, (test for one in every if one.reported for test in (one.reported, one.target.whole)))
        return {test for test in tests if not found.search(test)}


def _any_of(names: Iterable[str], ids: Iterable[str]) -> re.Pattern[str]:
    """A pattern for tests of any of these functions, including `test_a_0_zero` for `test_a`, and of these exact ids."""
    functions = "|".join(sorted(set(names))) or "(?!)"
    exact = "|".join(re.escape(test) for test in sorted(set(ids))) or "(?!)"
    return re.compile(rf"(?<!\w)(?:{functions})(?:_\d+\w*)?(?!\w)|\A(?:{exact})(?:{re.escape(WITHIN)}|\Z)")


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
    parsed = {path: found for path, data in sources.items() if (found := _parsed(path, data)) is not None}
    edits: dict[str, list[Edit]] = {}
    sentinels: list[Sentinel] = []
    uncovered: list[str] = []
    used: set[tuple[str, int]] = set()
    texts: list[bytes] = []
    for target in targets:
        path, test = _find(target, parsed)
        if test is None or not test.changed(rng):
            uncovered += target.ids
        elif (path, test.span[0]) not in used:
            used.add((path, test.span[0]))
            texts.append(test.text)
            edit, made = _plant_one(parsed[path].data, test, target, layout, rng, turn)
            edits.setdefault(path, []).append(edit)
            sentinels += made
    files = {path: applied(sources[path], made) for path, made in edits.items()}
    for path in [path for path, data in files.items() if _parsed(path, data) is None]:
        del files[path]
        uncovered += [test for target in targets if path in target.files for test in target.ids]
        sentinels = [one for one in sentinels if path not in one.target.files]
    return Planting(files, tuple(sentinels), tuple(uncovered), tuple(texts))


def _parsed(path: str, data: bytes) -> ParsedFile | None:
    try:
        return JavaScriptFile(path, data) if is_javascript(path) else PythonFile(data)
    except ValueError:
        return None


def _find(target: Target, parsed: Mapping[str, ParsedFile]) -> tuple[str, CopyableTest | None]:
    for path in target.files:
        if path in parsed and (found := parsed[path].find(target)) is not None:
            return path, found
    return "", None


def _plant_one(
    data: bytes, test: CopyableTest, target: Target, layout: Layout, rng: random.Random, turn: int
) -> tuple[Edit, list[Sentinel]]:
    """An edit that puts a test's sentinels beside it, or one of them in its place."""
    own = test.name
    sentinels = []
    if layout.in_place is not None:
        sentinels.append(Sentinel(target, own, own, layout.in_place, reported=test.reported(own)))
    for must_fail in layout.beside:
        name = _name(test, data, {one.name for one in sentinels}, rng)
        sentinels.append(Sentinel(target, own, name, must_fail, layout.optional, test.reported(name)))
    start, end = test.span
    text = data[start:end]
    texts = [text if text.endswith(b"\n") else text + b"\n"] if layout.in_place is None else []
    ways = test.changed(rng)
    for number, one in enumerate(sentinels):
        edits = list(ways[(turn if layout.alike else number + turn) % len(ways)]) if one.must_fail else []
        if not one.in_place:
            # Runners may report tests by their docstrings: copies must not be mistaken for the original.
            edits += test.undescribed()
        if not (one.must_fail and one.in_place):
            edits += test.restated(rng)
        texts.append(test.copy(one.name, edits))
    return Edit(start, end, b"\n".join(texts)), sentinels


def _name(test: CopyableTest, data: bytes, taken: Collection[str], rng: random.Random) -> str:
    """A name in the style of the test's that occurs nowhere in the file."""
    while True:
        found = test.renamed(rng.sample(_WORDS, 2))
        if found not in taken and found.encode() not in data:
            return found


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
    ordered = list(ids)
    known = set(ordered)
    for test in ordered:
        place = places.get(test)
        if place and is_javascript(place.file):
            functions.setdefault(whole_of(test, known), []).append(test)
        else:
            functions.setdefault((place.file, place.line) if place else test, []).append(test)
    chosen = list(functions.items())
    if len(chosen) > MOST_TARGETS:
        chosen = rng.sample(chosen, MOST_TARGETS)
    return [_target(where, tuple(tests), places) for where, tests in chosen]


def _target(where: tuple[str, int] | str, tests: tuple[str, ...], places: Mapping[str, TestPlace]) -> Target:
    if isinstance(where, tuple):
        return Target(tests, (where[0],), where[1], function_name(tests[0]))
    if where in places:
        return Target(tests, (places[where].file,), None, where.partition("::")[2], whole=where)
    return Target(tests, (), None, function_name(where))


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
