"""A diff as somebody reads it who wants to know what it does: source first, the rest in words."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NO_CHANGE = "(no change)"
_FILE = re.compile(r"^diff --git (?:a/.*? b/(?P<plain>.*)|\"a/.*?\" \"b/(?P<quoted>.*)\")$")
_OLD_STYLE = re.compile(r"^\+\+\+ (?:b/)?(?P<path>[^\t\n]+)")
_HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
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
    """Shares of a budget: nobody gets more than it wants, and what one leaves is the others'."""
    shares = [0] * len(wanted)
    left = budget
    for done, place in enumerate(sorted(range(len(wanted)), key=lambda index: wanted[index])):
        shares[place] = min(wanted[place], left // (len(wanted) - done))
        left -= shares[place]
    return shares


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file's part of a diff, and the lines that it adds and removes."""

    path: str
    text: str
    added: int
    removed: int

    @property
    def is_source(self) -> bool:
        """Neither a test nor a document."""
        return not _TEST.search(self.path) and not _DOCUMENT.search(self.path)


def render_change(diff: str, max_chars: int, *, shown: str | None = None) -> str:
    """A diff's source part, whole files while they fit; tests, documents and what does not fit is counted in words.

    Args:
        max_chars: of the diff that is shown.
        shown: the same diff as it is to be shown, such as without its comments; it is still counted as it is.
    """
    if not diff.strip():
        return NO_CHANGE
    files = file_changes(diff if shown is None else shown)
    sources = [file for file in files if file.is_source] or files
    shares = shared_out([len(file.text) for file in sources], max_chars)
    pairs = [(file, share) for file, share in zip(sources, shares, strict=True) if share >= min(len(file.text), 200)]
    there = {file.path for file, _ in pairs}
    rest = [file for file in file_changes(diff) if file.path not in there]
    return "\n".join([*(_cut_at_a_line(file.text, share) for file, share in pairs), *_counted(rest)])


def file_changes(diff: str) -> list[FileChange]:
    """The parts of a diff, by file. A text without a header is one part."""
    blocks: list[list[str]] = []
    for line in diff.rstrip("\n").split("\n"):
        if line.startswith("diff --git ") or not blocks:
            blocks.append([])
        blocks[-1].append(line)
    return [_file_change(block) for block in blocks]


def _file_change(lines: Sequence[str]) -> FileChange:
    header = _FILE.match(lines[0])
    path = (header["plain"] or header["quoted"] or "") if header else ""
    path = path or next((match["path"] for line in lines if (match := _OLD_STYLE.match(line))), "")
    added, removed = _changed(lines)
    return FileChange(path, "\n".join(line for line in lines if not line.startswith("index ")), added, removed)


def _changed(lines: Sequence[str]) -> tuple[int, int]:
    """Lines added and removed, by the hunks' own counts: content may look like a header."""
    added = removed = old = new = 0
    for line in lines:
        if old > 0 or new > 0:
            sign = line[:1]
            added, removed = added + (sign == "+"), removed + (sign == "-")
            old, new = old - (sign not in ("+", "\\")), new - (sign not in ("-", "\\"))
        elif hunk := _HUNK.match(line):
            old, new = int(hunk[1] or 1), int(hunk[2] or 1)
    return added, removed


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
        yield f"[{len(files)} {name} not shown, +{added} -{removed}]"
