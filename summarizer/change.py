"""Render a diff to show what it does: source code first, everything else as counts."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.diff import FileDiff, scan_diff
from core.text import cut

NO_CHANGE = "(no change)"
_TEST = re.compile(
    r"(?:^|/)(?:tests|specs?|__tests__|fixtures|testdata)/|^(?:test|testing)/|(?:^|/)src/test/"
    r"|(?:^|/)(?:test_[^/]*|conftest\.py)$"
    r"|[_.-](?:test|spec)s?\.\w+$|(?:^|/)tests?\.\w+$",
    re.IGNORECASE,
)
_DOCUMENT = re.compile(
    r"\.(?:md|rst|txt|adoc|po|pot)$|(?:^|/)(?:docs?|changelog\.d|newsfragments|changes)/"
    r"|(?:^|/)(?:change(?:s|log)|history|news|authors|copying|license)[^/]*$",
    re.IGNORECASE,
)


def shared_out(wanted: Sequence[int], budget: int) -> list[int]:
    """Divide a budget fairly: no share exceeds what it asks for, and unused parts go to the others.

    Args:
        wanted: size requested by each share.
        budget: total to divide, in the same unit.

    Returns:
        One size per entry of `wanted`.
    """
    shares = [0] * len(wanted)
    left = budget
    for done, place in enumerate(sorted(range(len(wanted)), key=lambda index: wanted[index])):
        shares[place] = min(wanted[place], left // (len(wanted) - done))
        left -= shares[place]
    return shares


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file's part of a diff, with the number of lines added and removed."""

    path: str
    text: str
    added: int
    removed: int

    @property
    def is_source(self) -> bool:
        """Whether it is neither a test nor documentation."""
        return not _TEST.search(self.path) and not _DOCUMENT.search(self.path)


def render_change(diff: str, max_chars: int, *, shown: str | None = None) -> str:
    """Render the source part of a diff, with whole files as far as they fit; all other files are only counted.

    Args:
        diff: the diff as text; determines the counts.
        max_chars: characters of diff text to show.
        shown: the diff as it should be shown, for example without comments; defaults to `diff`.
    """
    if not diff.strip():
        return NO_CHANGE
    files = file_changes(diff if shown is None else shown)
    return _render(diff, [[file for file in files if file.is_source] or files], max_chars)


def render_patch(diff: str, max_chars: int, *, shown: str | None = None) -> str:
    """Render a whole diff, tests and documents included; if it is too long, long files lose their end, source last.

    Args:
        diff: the diff as text; determines the counts.
        max_chars: characters of diff text to show.
        shown: the diff as it should be shown; defaults to `diff`.
    """
    text = diff if shown is None else shown
    if len(text) <= max_chars:
        return text
    files = file_changes(text)
    return _render(diff, [[file for file in files if file.is_source is source] for source in (True, False)], max_chars)


def _render(diff: str, groups: Sequence[Sequence[FileChange]], max_chars: int) -> str:
    """The files of each group as far as they fit, earlier groups first; then counts of what is not shown."""
    left, pairs = max_chars, list[tuple[FileChange, int]]()
    for files in groups:
        shares = shared_out([len(file.text) for file in files], left)
        kept = [(file, share) for file, share in zip(files, shares, strict=True) if share >= min(len(file.text), 200)]
        left -= sum(share for _, share in kept)
        pairs += kept
    there = {file.path for file, _ in pairs}
    rest = [file for file in file_changes(diff) if file.path not in there]
    return "\n".join([*(_cut_at_a_line(file.text, share) for file, share in pairs), *_counted(rest)])


def code_lines(diff: str) -> frozenset[str]:
    """The lines of code that a diff shows, without their signs and indentation; the empty line is one of them."""
    return frozenset(("", *(line[1:].strip() for line in diff.split("\n") if line[:1] in ("+", "-", " "))))


def file_changes(diff: str) -> list[FileChange]:
    """Split a diff by file. Text that is not a diff yields one part without a path."""
    lines = diff.rstrip("\n").split("\n")
    return [_file_change(part, lines) for part in scan_diff(diff.encode("utf-8", "replace"))]


def _file_change(part: FileDiff, lines: Sequence[str]) -> FileChange:
    own = [line for line in lines[part.first : part.after] if not line.startswith("index ")]
    prose = [] if part.path else [line.decode("utf-8", "replace") for line in part.prose]
    added, removed = (sum(hunk.count(sign) for hunk in part.hunks) for sign in (b"+", b"-"))
    return FileChange(part.name, "\n".join([*own, *prose]), added, removed)


def _cut_at_a_line(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    kept = text[:limit].rpartition("\n")[0]
    return f"{kept}\n[{text.count(chr(10)) - kept.count(chr(10))} more lines of this file]"


def _counted(files: Sequence[FileChange]) -> Iterator[str]:
    kinds = {"test file": _TEST, "document": _DOCUMENT}
    left = list(files)
    for name, pattern in kinds.items():
        of_kind = [file for file in left if pattern.search(file.path)]
        left = [file for file in left if file not in of_kind]
        yield from _line(of_kind, name)
    yield from _line(left, "more file")


def _line(files: Sequence[FileChange], what: str) -> Iterator[str]:
    if files:
        added, removed = sum(file.added for file in files), sum(file.removed for file in files)
        name = what if len(files) == 1 else f"{what}s"
        names = cut(", ".join(file.path for file in files[:3]), 160) + (", ..." if len(files) > 3 else "")
        yield f"[{len(files)} {name} not shown, +{added} -{removed}: {names}]"
