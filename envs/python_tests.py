"""Python's test functions, as `sentinel.py` copies them; see `mutants.py` for how a copy is changed."""

import ast
import random
from collections.abc import Sequence
from dataclasses import dataclass

from envs import mutants
from envs.copying import Edit, Target


class PythonFile:
    """A parsed file in Python; see `ParsedFile`.

    Raises:
        ValueError: it cannot be parsed.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._source = mutants.Source(data)

    def find(self, target: Target) -> "PythonTest | None":
        """See `ParsedFile.find`: by the line where the recorder saw the function, else by its name."""
        functions = list(self._source.functions())
        if target.line is not None:
            for _, one in functions:
                first = min([one.lineno, *(decorator.lineno for decorator in one.decorator_list)])
                if first <= target.line <= one.body[0].lineno and _stands_for(one.name, target.name):
                    return PythonTest(self._source, one)
        for name, one in reversed(functions):
            if name == target.name or name.endswith("." + target.name) or _described(one, target.name):
                return PythonTest(self._source, one)
        return None


def _described(function: mutants.Function, name: str) -> bool:
    """Whether runners such as Django's report a function under these words, taken from its docstring."""
    return " " in name and (ast.get_docstring(function) or "").partition("\n")[0].strip() == name


def _stands_for(function: str, name: str) -> bool:
    """Whether a test's name is the function's, or was derived from it (`test_a_0_zero` from `test_a`)."""
    return name.rpartition(".")[2].startswith(function)


@dataclass(frozen=True, slots=True)
class PythonTest:
    """A test function; see `CopyableTest`."""

    source: mutants.Source
    function: mutants.Function

    @property
    def name(self) -> str:
        """See `CopyableTest.name`."""
        return self.function.name

    @property
    def span(self) -> tuple[int, int]:
        """See `CopyableTest.span`: whole lines, decorators included."""
        return self.source.span(self.function)

    @property
    def text(self) -> bytes:
        """See `CopyableTest.text`."""
        return self.source.text(self.function)

    def renamed(self, words: Sequence[str]) -> str:
        """See `CopyableTest.renamed`."""
        name, word = self.name, "_".join(words)
        return f"{word}_{name}" if name.endswith("test") and not name.startswith("test") else f"{name}_{word}"

    def reported(self, name: str) -> str:
        """See `CopyableTest.reported`."""
        return ""

    def copy(self, name: str, edits: Sequence[Edit]) -> bytes:
        """See `CopyableTest.copy`."""
        return mutants.copy(self.source, self.function, name, edits)

    def restated(self, rng: random.Random) -> list[Edit]:
        """See `CopyableTest.restated`."""
        return mutants.restated(self.source, self.function, rng)

    def undescribed(self) -> list[Edit]:
        """See `CopyableTest.undescribed`."""
        return mutants.undescribed(self.source, self.function)

    def changed(self, rng: random.Random) -> list[list[Edit]]:
        """See `CopyableTest.changed`."""
        return mutants.changed(self.source, self.function, rng)
