"""Edits, their notation in commands and summaries, and the results of trying them.

One grammar serves the helper scripts' output, the assistant's texts and the summaries, so that a later rollout can read
what an earlier one tried::

    tried calc.py:12:8 "a < b" -> "a <= b": failing 2 of 5, broke 1
    tried calc.py:12:8 "a < b" -> "a <= b" + calc.py:20:5 "x" -> "y": failing 0 of 5 (all pass)

Line and column count from 1 and refer to the unedited file; old and new text are JSON strings.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_PLACE = re.compile(r"(?P<path>[^\s:\"'`;,()]+\.py):(?P<line>\d+):(?P<col>\d+) (?=\")")
_RESULT = re.compile(
    r"(?:failing (?P<left>\d+) of (?P<total>\d+)(?:, broke (?P<broke>\d+))?(?P<further>, further)?)"
    r"|does not parse|did not apply|not run"
)
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Replace `old`, which starts at line and column (from 1) of the unedited file, by `new`."""

    path: str
    line: int
    col: int
    old: str
    new: str

    @property
    def text(self) -> str:
        """The edit in the grammar above."""
        old, new = (json.dumps(part, ensure_ascii=False) for part in (self.old, self.new))
        return f"{self.path}:{self.line}:{self.col} {old} -> {new}"

    @property
    def end(self) -> tuple[int, int]:
        """Line and column after the replaced text."""
        lines = self.old.split("\n")
        return self.line + len(lines) - 1, len(lines[-1]) + (self.col if len(lines) == 1 else 1)

    def overlaps(self, other: "Edit") -> bool:
        """Whether both replace common text, or insert at the same place."""
        if self.path != other.path:
            return False
        mine, theirs = (self.line, self.col), (other.line, other.col)
        return mine == theirs or (mine < other.end and theirs < self.end)


Slip = tuple[str, str]
"""What an edit replaces by what, without the code around it: `==` by `>=`."""
_TOKEN = re.compile(r"\w+|\s+|[^\w\s]+")
_SLIP = re.compile(r'slip (?=")')
_LONGEST_SLIP = 24


def slip_of(edit: Edit) -> Slip | None:
    """The tokens in which old and new text differ, if these are few."""
    old, new = _TOKEN.findall(edit.old), _TOKEN.findall(edit.new)
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    slip = "".join(old), "".join(new)
    return slip if any(slip) and max(map(len, slip)) <= _LONGEST_SLIP else None


def slip_text(slip: Slip) -> str:
    """A slip in the notation of notes: `slip "==" -> ">="`."""
    return "slip " + " -> ".join(json.dumps(part, ensure_ascii=False) for part in slip)


def read_slips(text: str) -> set[Slip]:
    """Every slip written in a text."""
    found: set[Slip] = set()
    for match in _SLIP.finditer(text):
        try:
            old, stop = _DECODER.raw_decode(text, match.end())
            if text.startswith(" -> ", stop):
                new, _ = _DECODER.raw_decode(text, stop + 4)
                found.add((str(old), str(new)))
        except ValueError:
            continue
    return found


Patch = tuple[Edit, ...]
"""Edits that are applied together, sorted."""


def patch_text(patch: Patch) -> str:
    """Edits in the grammar, joined by ` + `."""
    return " + ".join(edit.text for edit in patch)


def joined(first: Patch, second: Patch) -> Patch | None:
    """Both together, or None when they overlap."""
    if any(one.overlaps(other) for one in first for other in second):
        return None
    return tuple(sorted(first + second))


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """The result of trying a patch.

    Attributes:
        left: number of initially failing tests that still fail; None if nothing could be run.
        total: number of tests that failed initially.
        broke: number of tests that passed initially and fail now.
        further: a test that still fails got further than before.
    """

    left: int | None
    total: int = 0
    broke: int = 0
    further: bool = False

    @property
    def passes(self) -> bool:
        """Everything passed."""
        return self.left == 0 and self.broke == 0

    @property
    def helps(self) -> bool:
        """Fewer tests fail, and none broke."""
        return self.left is not None and self.left < self.total and self.broke == 0

    @property
    def text(self) -> str:
        """The result in the grammar."""
        if self.left is None:
            return "does not parse"
        text = f"failing {self.left} of {self.total}"
        text += f", broke {self.broke}" if self.broke else ""
        text += ", further" if self.further else ""
        return text + (" (all pass)" if self.passes else "")


@dataclass(frozen=True, slots=True)
class TriedEdits:
    """A patch that was tried, and its outcome; None if only the patch is mentioned."""

    patch: Patch
    outcome: TrialOutcome | None

    @property
    def text(self) -> str:
        """`tried PATCH: RESULT`."""
        return f"tried {patch_text(self.patch)}" + (f": {self.outcome.text}" if self.outcome else "")


def _read_edit(text: str, at: int) -> tuple[Edit, int] | None:
    match = _PLACE.match(text, at)
    if match is None:
        return None
    try:
        old, stop = _DECODER.raw_decode(text, match.end())
        if not text.startswith(" -> ", stop):
            return None
        new, stop = _DECODER.raw_decode(text, stop + 4)
    except ValueError:
        return None
    if not isinstance(old, str) or not isinstance(new, str):
        return None
    return Edit(match["path"], int(match["line"]), int(match["col"]), old, new), stop


def _read_patch(text: str, at: int) -> tuple[Patch, int] | None:
    first = _read_edit(text, at)
    if first is None:
        return None
    edits, stop = [first[0]], first[1]
    while text.startswith(" + ", stop) and (following := _read_edit(text, stop + 3)):
        edits.append(following[0])
        stop = following[1]
    return tuple(sorted(edits)), stop


def _read_result(text: str, at: int) -> tuple[TrialOutcome | None, int]:
    match = _RESULT.match(text, at + 2) if text.startswith(": ", at) else None
    if match is None or match[0] == "not run":
        return None, at
    if match["left"] is None:
        return TrialOutcome(None), match.end()
    broke = int(match["broke"] or 0)
    return TrialOutcome(int(match["left"]), int(match["total"]), broke, bool(match["further"])), match.end()


def read_attempts(text: str) -> list[TriedEdits]:
    """Every patch written in `text`, in order, with its outcome if one follows."""
    return list(_attempts(text))


def _attempts(text: str) -> Iterator[TriedEdits]:
    at = 0
    while match := _PLACE.search(text, at):
        found = _read_patch(text, match.start())
        if found is None:
            at = match.end()
            continue
        outcome, at = _read_result(text, found[1])
        yield TriedEdits(found[0], outcome)


def best_of(attempts: Sequence[TriedEdits]) -> TriedEdits | None:
    """The attempt that left the fewest failing tests without breaking any; None if none helped."""
    helpful = [attempt for attempt in attempts if attempt.outcome and attempt.outcome.helps]
    return min(helpful, key=lambda attempt: (attempt.outcome.left or 0, len(attempt.patch)), default=None)  # type: ignore[union-attr]
