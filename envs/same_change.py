"""Whether two patches make the same change to source code, ignoring layout and everything else they touch.

Ignored are tests, documentation, change logs, comments, docstrings and formatting: blank lines, spacing within a line,
line breaks inside brackets, trailing commas, the kind of quotes. Indentation counts in Python. In unknown languages
every line counts as it is, except for trailing white space. Unclear cases count as different, since a false "same"
would lose a candidate.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import PurePosixPath

from core.diff import DiffSyntaxError, FileDiff, Hunk, parse_diff
from envs.base import EndState, Patch
from envs.conventions import is_runner_file, is_test
from envs.patches import patch_key

_PYTHON = frozenset(("py", "pyi", "pyx"))
_BRACES = re.compile(r"c|h|cc|cpp|cxx|hpp|hh|cs|java|jsx?|tsx?|[mc]js|rs|swift|kts?|scala|php|dart|proto")
_HASH = re.compile(r"sh|bash|zsh|rb|pl|r|jl|ya?ml|toml|cfg|ini|mk|cmake|tf")
_DOCUMENT_FOLDERS = frozenset(("doc", "docs", "changelog", "changelog.d", "changes", "newsfragments", "release-notes"))
_DOCUMENT_NAMES = re.compile(
    r"(change(s|log)|history|news|authors|contributors|readme|release[-_]?notes|whats?[-_]?new).*", re.IGNORECASE
)
_DOCUMENT_SUFFIXES = frozenset(("md", "markdown", "rst", "adoc"))

_STRING = r"""[rRbBuUfF]{0,2}(?:'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")"""
_TRIPLE = r'[rRbBuUfF]{0,2}(?:"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\')'
_WORD = r"[^\W]+(?:\.\d+)?|\S"
_PYTHON_TOKEN = re.compile(rf"(?P<skip>#[^\n]*|\\\n|[ \t\r\f]+)|(?P<line>\n)|{_TRIPLE}|{_STRING}|{_WORD}", re.DOTALL)
_BRACES_TOKEN = re.compile(rf"(?P<skip>//[^\n]*|/\*.*?\*/|\s+)|(?P<line>(?!))|`[^`]*`|{_STRING}|{_WORD}", re.DOTALL)
_OPENS_BODY = re.compile(r"^\s*(?:(?:async\s+)?def|class)\b.*:$|^\s*\).*:$")
_LARGEST = 1_000_000
_PLAIN_STRING = re.compile(r"""'([^'"\\]*)'""")


@dataclass(frozen=True, slots=True)
class _Line:
    """A normalized line of code, and its number in the old file; 0 for an added line."""

    text: str
    number: int


def change_key(patch: Patch) -> str:
    """Identity of the change that a patch makes to source code.

    Returns:
        Hex digest; empty for an empty patch. A patch that changes no source code, or that cannot be parsed, equals only
        patches with the same `patch_key`.
    """
    exact = patch_key(patch)
    if not patch or isinstance(patch, EndState):
        return exact
    try:
        records = [record for file in source_part(parse_diff(patch.data)) for record in _changes(file)]
    except DiffSyntaxError:
        return exact
    if not records:
        return exact
    return "source-" + hashlib.sha256("\x1e".join(sorted(records)).encode("utf-8", "surrogatepass")).hexdigest()


def source_part(files: Sequence[FileDiff]) -> list[FileDiff]:
    """The files of a diff other than tests, documentation and change logs."""
    return [file for file in files if not _is_left_out(file)]


def brings_tests(patch: Patch) -> bool:
    """Whether a patch adds lines to tests."""
    try:
        files = parse_diff(patch.data)
    except DiffSyntaxError:
        return False
    added = (file for file in files if any(line[:1] == b"+" for hunk in file.hunks for line in hunk.lines))
    return any(is_test(file.name) for file in added)


def _is_left_out(file: FileDiff) -> bool:
    """True for tests and what steers them, documentation and change logs."""
    *folders, name = file.name.lower().split("/")
    suffix = PurePosixPath(name).suffix.lstrip(".")
    document = suffix in _DOCUMENT_SUFFIXES or not _DOCUMENT_FOLDERS.isdisjoint(folders)
    named = suffix in ("", "txt") and _DOCUMENT_NAMES.fullmatch(name) is not None
    steers = is_runner_file(file.name) and "/." not in f"/{file.name}"  # a hidden file may be part of the change
    return document or named or steers or is_test(file.name)


def _changes(file: FileDiff) -> Iterator[str]:
    """The changes to one file, one record for each run of lines."""
    path = file.name
    if file.change in ("add", "delete", "rename", "copy") or file.old_mode != file.new_mode:
        yield "\x1f".join((path, file.change, repr(file.old_path), file.old_mode, file.new_mode))
    if file.binary:
        yield f"{path}\x1f{file.binary!r}"
    for hunk in file.hunks:
        old, new = (_side(hunk, path, signs, file.change) for signs in (b" -", b" +"))
        for first, end, start, stop in _stretches([line.text for line in old], [line.text for line in new]):
            at = old[first].number if first < end else old[first - 1].number + 1 if first else 0
            texts = (*(f"-{line.text}" for line in old[first:end]), *(f"+{line.text}" for line in new[start:stop]))
            yield "\x1f".join((path, str(at), *texts))


def _stretches(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Where two sides differ: ranges in the old and the new one. A very large hunk is a single range."""
    if len(old) * len(new) > _LARGEST:
        yield 0, len(old), 0, len(new)
        return
    for kind, first, end, start, stop in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            yield first, end, start, stop


def _side(hunk: Hunk, path: str, signs: bytes, change: str) -> list[_Line]:
    """The normalized lines of one side of a hunk."""
    numbers, lines, at = list[int](), list[str](), hunk.old_start
    for line in hunk.lines:
        sign = line[:1]
        if sign in (b" ", b"-", b"+") and sign in signs:
            lines.append(line[1:].decode("utf-8", "surrogateescape"))
            numbers.append(0 if sign == b"+" else at)
        at += sign in (b" ", b"-")
    suffix = PurePosixPath(path).suffix.lstrip(".").lower()
    if suffix in _PYTHON:
        return list(_logical(lines, numbers, starts=change == "add"))
    if _BRACES.fullmatch(suffix):
        return list(_tokens_by_line(lines, numbers))
    kept = [_bare(line, suffix) for line in lines]
    return [_Line(text, number) for text, number in zip(kept, numbers, strict=True) if text]


def _bare(line: str, suffix: str) -> str:
    """Normalize a line in a language without a tokenizer: drop comment lines if `#` starts a comment."""
    return "" if _HASH.fullmatch(suffix) and re.match(r"\s*#(?!!)", line) else line.rstrip()


def _logical(lines: Sequence[str], numbers: Sequence[int], *, starts: bool) -> Iterator[_Line]:
    """Python's logical lines: indentation, then tokens, without comments, blank lines and docstrings.

    If the hunk cuts through a multi-line string, code and text cannot be told apart, and every line counts as it is.

    Args:
        lines: consecutive lines of a file.
        numbers: their line numbers.
        starts: the lines are the beginning of a file.
    """
    text = "\n".join(lines) + "\n"
    if text.count('"""') % 2 or text.count("'''") % 2:
        yield from (_Line(line.rstrip(), n) for line, n in zip(lines, numbers, strict=True) if line.strip())
        return
    before, depth, row, tokens, first = "class:" if starts else "", 0, 0, list[str](), 0
    for token in _PYTHON_TOKEN.finditer(text):
        word = token[0]
        if token["line"] and depth == 0:
            if tokens and not (len(tokens) == 1 and _is_string(tokens[0]) and _OPENS_BODY.match(before)):
                indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())].expandtabs()
                yield _Line(indent + " ".join(_without_trailing_commas(tokens)), numbers[first])
            before = lines[row].split("#")[0].rstrip() if tokens else before
            tokens = []
        elif not token["line"] and not token["skip"]:
            first = first if tokens else row
            tokens.append(_PLAIN_STRING.sub(r'"\1"', word) if _PLAIN_STRING.fullmatch(word) else word)
            depth = max(depth + (word in "([{") - (word in ")]}"), 0)
        row += word.count("\n")
    if tokens:
        yield _Line(" ".join(tokens), numbers[min(first, len(numbers) - 1)])


def _tokens_by_line(lines: Sequence[str], numbers: Sequence[int]) -> Iterator[_Line]:
    """Tokens of a brace language, one by one, since its line breaks mean nothing; comments are dropped."""
    row = 0
    for token in _BRACES_TOKEN.finditer("\n".join(lines)):
        if not token["skip"]:
            yield _Line(token[0], numbers[row])
        row += token[0].count("\n")


def _is_string(token: str) -> bool:
    return token[-1] in "\"'"


def _without_trailing_commas(tokens: Sequence[str]) -> Iterator[str]:
    """Drop a comma before a closing bracket, unless it is the only one and makes a tuple."""
    commas = [0]
    for sign, following in zip(tokens, (*tokens[1:], ""), strict=True):
        if sign in "([{":
            commas.append(0)
        elif sign in ")]}" and len(commas) > 1:
            commas.pop()
        elif sign == ",":
            commas[-1] += 1
            if commas[-1] > 1 and following and following in ")]}":
                continue
        yield sign
