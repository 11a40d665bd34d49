"""What sentinel tests need of a language: find a test in its file, copy it, and make a copy fail.

Python's part is in `mutants.py` and `python_tests.py`, that of JavaScript and TypeScript in `javascript/`.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Edit:
    """A replacement for a range of bytes in a source file."""

    start: int
    end: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """A test function to make sentinels of.

    Attributes:
        ids: ids, as reported, of the tests that it defines and that count.
        files: files that may define it, the likeliest first.
        line: line of its definition, if known.
        name: its name, as far qualified as known: `CartTest.test_total`.
        whole: id of the test that fails if any of the others does, where the function reports several; empty if the
            outcomes of all ids count alike.
    """

    ids: tuple[str, ...]
    files: tuple[str, ...]
    line: int | None
    name: str
    whole: str = ""

    def narrowed(self, ids: Sequence[str]) -> "Target":
        """The same function, of whose tests only these count; it cannot be copied if the whole is none of them."""
        return replace(self, ids=tuple(ids), files=self.files if not self.whole or self.whole in ids else ())


class CopyableTest(Protocol):
    """A test in a parsed file."""

    @property
    def name(self) -> str:
        """Its function's name, or its title."""
        ...

    @property
    def span(self) -> tuple[int, int]:
        """Offsets of all that defines it."""
        ...

    @property
    def text(self) -> bytes:
        """The source of the function."""
        ...

    def renamed(self, words: Sequence[str]) -> str:
        """A name for a copy, in the style of the test's own."""
        ...

    def reported(self, name: str) -> str:
        """The id under which a copy of that name is reported; empty if ids only contain the name."""
        ...

    def copy(self, name: str, edits: Sequence[Edit]) -> bytes:
        """A copy under another name, with edits applied, that can stand on lines of its own beside the test."""
        ...

    def restated(self, rng: random.Random) -> list[Edit]:
        """Edits that change its text, code and line numbers without changing what it does."""
        ...

    def undescribed(self) -> list[Edit]:
        """Edits that remove a description by which runners may report it."""
        ...

    def changed(self, rng: random.Random) -> list[list[Edit]]:
        """Ways to make it fail, each a list of edits, always in the same order; empty if none is certain to."""
        ...


class ParsedFile(Protocol):
    """A parsed file with tests."""

    @property
    def data(self) -> bytes:
        """The source."""
        ...

    def find(self, target: Target) -> CopyableTest | None:
        """The test that a target stands for; None if the file does not define it, or not as one that can be copied."""
        ...


def applied(data: bytes, edits: Iterable[Edit], start: int = 0) -> bytes:
    """Apply edits, which must not overlap.

    Args:
        data: part of a source file.
        edits: edits with offsets into the whole file.
        start: offset of the part in the file.
    """
    for edit in sorted(edits, key=lambda one: (one.start, one.end), reverse=True):
        data = data[: edit.start - start] + edit.text + data[edit.end - start :]
    return data
