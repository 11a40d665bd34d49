"""Resolve file names from diff headers (quoting, prefixes, time stamps) the way `git apply` does."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

_ESCAPES = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}
_LETTERS = {point: b"\\" + letter for letter, point in _ESCAPES.items()}
_STAMP = re.compile(rb"[ \t]+\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?: [+-]\d{4})?$")
_EPOCH = re.compile(
    rb"\t(?:1970-01-01 00:00:00(?:\.0+)?(?: \+0000)?|1970-01-01 (?:0\d|1[0-4]):[0-5]\d:00(?:\.0+)? \+\d{4}"
    rb"|1969-12-31 (?:0[89]|1\d|2[0-3]):[0-5]\d:00(?:\.0+)? -\d{4})$"
)
_LONGEST = 4096
USUAL_PREFIXES = frozenset((b"a", b"b", b"c", b"i", b"o", b"w"))
"""Prefixes that git writes: `a/` and `b/`; with `diff.mnemonicPrefix` also commit, index, object and tree."""

Prefix = Literal["some", "none", "unclear"]


class NamesUnclear(ValueError):
    """The headers disagree about the file's name or do not state it."""


@dataclass(frozen=True, slots=True)
class Names:
    """The paths of one part, without prefix; None for a side that does not exist.

    Attributes:
        prefix: whether the paths had a one-component prefix. If `unclear`, only the rest of the diff can decide, and
            the paths are as written.
    """

    old: bytes | None
    new: bytes | None
    prefix: Prefix


def git_names(line: bytes, seen: Mapping[bytes, bytes]) -> Names:
    """Resolve the names of a part that starts with `diff --git`.

    Args:
        line: the text after `diff --git `.
        seen: the text after each header, by header.

    Raises:
        NamesUnclear: the headers disagree or name no file.
    """
    pairs = list(_pairs(line))
    for verb in (b"rename", b"copy"):
        source, target = seen.get(verb + b" from "), seen.get(verb + b" to ")
        if source is not None and target is not None:
            return _moved(_plain(source), _plain(target), pairs, seen)
        if source is not None or target is not None:
            raise NamesUnclear(f"half of a {verb.decode()}")
    sides = [_side(seen[key]) if key in seen else None for key in (b"--- ", b"+++ ")]
    given = [name for name in sides if name is not None]
    on_line = [found for pair in pairs if (found := _common(*pair)) and (len(given) != 1 or given[0] in pair)]
    if len(given) == 2:
        found = _common(*given)
        if found is None or (on_line and found not in on_line):
            raise NamesUnclear("headers disagree about the file name")
        on_line = [found]
    if len(set(on_line)) != 1:
        raise NamesUnclear("headers disagree about the file name" if given else "the file name is ambiguous")
    if (b"new file mode " in seen and sides[0]) or (b"deleted file mode " in seen and sides[1]):
        raise NamesUnclear("headers disagree about whether the file exists")
    name, prefix = on_line[0]
    return Names(_nothing(seen, b"--- ", name, sides[0]), _nothing(seen, b"+++ ", name, sides[1]), prefix)


def traditional_names(old_line: bytes, new_line: bytes) -> Names:
    """Resolve the names of a part without a `diff --git` line.

    Args:
        old_line: the text after `--- `.
        new_line: the text after `+++ `.

    Raises:
        NamesUnclear: the headers disagree or name no file.
    """
    old, new = _side(old_line, traditional=True), _side(new_line, traditional=True)
    if old is None or new is None:
        name = old or new
        if name is None:
            raise NamesUnclear("the file name is ambiguous")
        head, rest = _parted(name)
        prefix: Prefix = "some" if head in USUAL_PREFIXES else "none" if head is None else "unclear"
        name = rest if prefix == "some" else name
        return Names(None if old is None else name, None if new is None else name, prefix)
    found = _common(old, new) or _longer(old, new)
    if found is None:
        raise NamesUnclear("headers disagree about the file name")
    name, prefix = found
    gone = _EPOCH.search(old_line) is not None, _EPOCH.search(new_line) is not None
    return Names(None if gone[0] else name, None if gone[1] and not gone[0] else name, prefix)


def quote(path: bytes) -> bytes:
    """Quote a path as git does in headers: with octal escapes, and only where necessary."""
    if not re.search(rb'[\x00-\x1f"\\\x7f-\xff]', path):
        return path
    return b'"' + b"".join(_LETTERS.get(c) or (b"\\%03o" % c if c < 32 or c > 126 else bytes([c])) for c in path) + b'"'


def unquote(text: bytes) -> tuple[bytes, bytes]:
    """Undo git's quoting at the start of `text`; returns the name and the text after the closing quote.

    Raises:
        NamesUnclear: the closing quote is missing.
    """
    out = bytearray()
    at = 1
    while at < len(text):
        char = text[at : at + 1]
        if char == b'"':
            return bytes(out), text[at + 1 :]
        if char != b"\\":
            out += char
            at += 1
            continue
        octal = text[at + 1 : at + 4]
        if re.fullmatch(rb"[0-3][0-7]{2}", octal):
            out.append(int(octal, 8))
            at += 4
        elif text[at + 1 : at + 2] in _ESCAPES:
            out.append(_ESCAPES[text[at + 1 : at + 2]])
            at += 2
        else:
            break
    raise NamesUnclear("an unterminated quoted path")


def _moved(source: bytes, target: bytes, pairs: list[tuple[bytes, bytes]], seen: Mapping[bytes, bytes]) -> Names:
    """Resolve a rename or copy. Its own headers have no prefix; all other headers must name the same files."""
    for key, name in ((b"--- ", source), (b"+++ ", target)):
        if key in seen:
            side = _side(seen[key])
            if side is None or name not in (side, _parted(side)[1]):
                raise NamesUnclear("headers disagree about the file name")
    prefixed = any((_parted(left)[1], _parted(right)[1]) == (source, target) for left, right in pairs)
    return Names(source, target, "none" if not prefixed and (source, target) in pairs else "some")


def _nothing(seen: Mapping[bytes, bytes], key: bytes, name: bytes, side: bytes | None) -> bytes | None:
    return None if key in seen and side is None else name


def _common(one: bytes, other: bytes) -> tuple[bytes, Prefix] | None:
    """The name both sides share. Identical sides have no prefix unless they start with one of git's usual prefixes."""
    (head, rest), (other_head, other_rest) = _parted(one), _parted(other)
    if head and other_head and rest and rest == other_rest and (one != other or head in USUAL_PREFIXES):
        return rest, "some"
    return (one, "none") if one == other else None


def _longer(old: bytes, new: bytes) -> tuple[bytes, Prefix] | None:
    """The shorter of two names such as `x.py.orig` and `x.py`, if the longer starts with it."""
    (head, rest), (other_head, other_rest) = _parted(old), _parted(new)
    prefix: Prefix = "none"
    if head in USUAL_PREFIXES and other_head in USUAL_PREFIXES:
        old, new, prefix = rest, other_rest, "some"
    shorter, longer = sorted((old, new), key=len)
    return (shorter, prefix) if shorter and longer.startswith(shorter) else None


def _parted(name: bytes) -> tuple[bytes | None, bytes]:
    """Split off the first path component; (None, name) if there is only one."""
    head, slash, rest = name.partition(b"/")
    return (head, rest) if slash else (None, name)


def _side(text: bytes, *, traditional: bool = False) -> bytes | None:
    """The name on a `---` or `+++` line; None for /dev/null."""
    if traditional:
        text = _STAMP.sub(b"", text)
    name = unquote(text)[0] if text.startswith(b'"') else text.split(b"\t")[0]
    return None if name == b"/dev/null" else name


def _plain(text: bytes) -> bytes:
    return unquote(text)[0] if text.startswith(b'"') else text


def _pairs(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All pairs of names that a `diff --git` line can mean, since names may contain blanks."""
    if text.startswith(b'"'):
        first, rest = unquote(text)
        yield first, _plain(rest[1:])
    elif text.endswith(b'"') and b' "' in text:
        first, second = text.split(b' "', 1)
        yield first, unquote(b'"' + second)[0]
    elif len(text) <= 2 * _LONGEST:
        for blank in re.finditer(b" ", text):
            left, right = text[: blank.start()], text[blank.end() :]
            if abs(len(left) - len(right)) < 64 or b" " not in right:
                yield left, right
