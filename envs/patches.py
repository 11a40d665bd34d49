"""Rules for the contents of a patch, and when two patches are equal.

Every header of a patch is parsed and checked before the patch is stored or applied anywhere.
"""

import hashlib
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pydantic import Field

from core.diff import DiffSyntaxError, FileDiff, parse_diff
from core.diff_repair import read_diff
from core.record import Record
from envs.base import EndState, Patch
from envs.errors import PatchRejected

_LONGEST_PATH, _DEEPEST_PATH = 4096, 255
MAX_NOTES = 50
"""Maximum number of notes on a patch; the rest is only counted."""
_FILE_MODES = ("", "100644", "100755", "120000")
_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_INVISIBLE = "\u200b\u2028\u2029\u2060\ufeff"
_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")


class PatchRules(Record):
    """Size limits for one patch."""

    max_bytes: int = Field(16 << 20, gt=0)
    """Limit on the patch itself, in bytes."""
    max_files: int = Field(2000, gt=0)
    """Limit on the number of files it changes."""
    max_binary_bytes: int = Field(64 << 20, gt=0)
    """Limit on the total inflated size that binary blocks declare, in bytes."""


def check_patch(data: bytes, rules: PatchRules | None = None) -> None:
    """Refuse a patch that must not be stored or applied as it is.

    Rejected are: patches that cannot be parsed to the end; paths that are absolute, leave the tree, enter `.git`, are
    not UTF-8, or contain drive letters or control, bidirectional or invisible characters; paths through a symbolic
    link, ignoring case; symbolic links that leave the tree; submodules and unknown modes; and patches over the size
    limits. Empty bytes pass: an empty patch is no patch.

    Args:
        data: the patch.
        rules: size limits; None for the defaults.

    Raises:
        PatchRejected: with every reason found.
    """
    rules = rules or PatchRules()
    if len(data) > rules.max_bytes:
        raise PatchRejected((_too_large(len(data), rules),))
    try:
        files = parse_diff(data)
    except DiffSyntaxError as error:
        raise PatchRejected((f"not a readable diff: {error}",)) from None
    reasons = [f"{_name(file)}: {problem}" for file, problem in _problems(files)]
    if len(files) > rules.max_files:
        reasons.append(_too_many(files, rules))
    if sum(file.binary_size for file in files) > rules.max_binary_bytes:
        reasons.append(_too_much_binary(files, rules))
    if reasons:
        raise PatchRejected(tuple(dict.fromkeys(reasons)))


def read_patch(data: bytes, rules: PatchRules | None = None) -> Patch:
    """Read a diff from any source and keep what may be stored and applied.

    All patches enter here: from sandboxes, files, trajectories and predictions. A part that breaks the rules of
    `check_patch` is dropped and named in the patch's notes, as are repairs.

    Args:
        data: the diff; see `core.diff_repair.read_diff` for what is accepted.
        rules: size limits; if there are too many or too large files, the largest are dropped.

    Returns:
        A patch that passes `check_patch`; empty for an empty diff.

    Raises:
        PatchRejected: it cannot be read, or no part of it may be kept; with every reason.
    """
    rules = rules or PatchRules()
    try:
        read = read_diff(data)
    except DiffSyntaxError as error:
        raise PatchRejected((f"not a readable diff: {error}",)) from None
    left_out = list(_problems(read.files))
    good = _without(read.files, left_out)
    lines = read.data.split(b"\n")
    parts = {id(file): b"\n".join([*lines[file.first : file.after], b""]) for file in good}
    while surplus := _surplus(good, parts, rules):
        left_out += surplus
        good = _without(good, surplus)
    notes = [*read.notes, *dict.fromkeys(f"left out: {_name(file)}: {problem}" for file, problem in left_out)]
    if notes and not good and data.strip():
        raise PatchRejected(tuple(note.removeprefix("left out: ") for note in notes))
    if len(notes) > MAX_NOTES:
        notes[MAX_NOTES:] = [f"and {len(notes) - MAX_NOTES} more"]
    return Patch(b"".join(parts[id(file)] for file in good) if left_out else read.data, tuple(notes))


def _without(files: Sequence[FileDiff], left_out: Sequence[tuple[FileDiff, str]]) -> list[FileDiff]:
    bad = {id(file) for file, _ in left_out}
    return [file for file in files if id(file) not in bad]


def _surplus(files: list[FileDiff], parts: Mapping[int, bytes], rules: PatchRules) -> list[tuple[FileDiff, str]]:
    """What to drop next to bring a patch within its limits: a folder of new files, else the largest part."""
    if len(files) > rules.max_files:
        folders = Counter(file.path.split(b"/")[0] for file in files if file.change == "add" and b"/" in file.path)
        folder, count = max(folders.items(), key=lambda item: item[1], default=(b"", 0))
        why = f"one of {count} new files in {show_path(folder)}/; a patch may have {rules.max_files}"
        new = [file for file in files if file.change == "add" and file.path.startswith(folder + b"/")]
        return [(file, why) for file in new] or [(files[-1], _too_many(files, rules))]
    if sum(file.binary_size for file in files) > rules.max_binary_bytes:
        return [(max(files, key=lambda file: file.binary_size), _too_much_binary(files, rules))]
    size = sum(len(parts[id(file)]) for file in files)
    if size > rules.max_bytes:
        return [(max(files, key=lambda file: len(parts[id(file)])), _too_large(size, rules))]
    return []


def _too_large(size: int, rules: PatchRules) -> str:
    return f"{size} bytes, more than the {rules.max_bytes} allowed"


def _too_many(files: Sequence[FileDiff], rules: PatchRules) -> str:
    return f"{len(files)} files, more than the {rules.max_files} allowed"


def _too_much_binary(files: Sequence[FileDiff], rules: PatchRules) -> str:
    inflated = sum(file.binary_size for file in files)
    return f"{inflated} bytes of binary data, more than the {rules.max_binary_bytes} allowed"


def _name(file: FileDiff) -> str:
    return show_path(file.path)


def _problems(files: Sequence[FileDiff]) -> Iterator[tuple[FileDiff, str]]:
    """Every part that breaks a rule, with the rule."""
    for file in files:
        for path in dict.fromkeys(path for path in (file.old_path, file.new_path) if path is not None):
            for problem in _path_problems(path):
                yield file, problem
        for mode in dict.fromkeys((file.old_mode, file.new_mode)):
            if mode == "160000":
                yield file, "a submodule"
            elif mode not in _FILE_MODES:
                yield file, f"unknown file mode {mode[:12]}"
        if file.new_mode == "120000" and file.change != "delete" and (wrong := _link_problem(file)):
            yield file, wrong
    yield from _clashes(files)


def _path_problems(path: bytes) -> Iterator[str]:
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        yield "the name is not UTF-8"
        return
    if len(path) > _LONGEST_PATH:
        yield "the name is too long"
        return
    parts = re.split(r"[/\\]", text)
    if not text or text.startswith(("/", "\\")) or re.match(r"^[A-Za-z]:", text):
        yield "an absolute path"
    elif any(part in ("", ".", "..") for part in parts):
        yield "a path with empty, `.` or `..` parts"
    if any(_is_git_dir(part) for part in parts):
        yield "a path inside .git"
    if any(unicodedata.category(char) == "Cc" for char in text):
        yield "a control character in the name"
    if any(char in _BIDI or char in _INVISIBLE for char in text):
        yield "a bidirectional or invisible character in the name"
    if len(parts) > _DEEPEST_PATH or any(len(part.encode()) > 255 for part in parts):
        yield "the name is too long"


def _is_git_dir(part: str) -> bool:
    """True for every spelling of `.git` that some file system resolves to it (HFS+ ignorables, NTFS short names)."""
    folded = _HFS_IGNORED.sub("", part).casefold()
    folded = folded.split(":")[0].rstrip(" .")
    return folded == ".git" or re.fullmatch(r"git~\d", folded) is not None


def _link_problem(file: FileDiff) -> str | None:
    if file.binary:
        return "a symbolic link given as binary data"
    if not file.hunks:
        return (
            None
            if file.change in ("rename", "copy") or file.old_mode == "120000"
            else "a symbolic link with an empty target"
        )
    target = b"\n".join(line[1:] for hunk in file.hunks for line in hunk.lines if line[:1] in (b" ", b"+"))
    try:
        text = target.decode("utf-8")
    except UnicodeDecodeError:
        return "a symbolic link whose target is not UTF-8"
    if any(unicodedata.category(char) == "Cc" or char in _BIDI for char in text):
        return "a symbolic link with control characters in its target"
    if not text or text.startswith(("/", "\\")) or re.match(r"^[A-Za-z]:", text):
        return "a symbolic link to an absolute path"
    folder = posixpath.dirname((file.new_path or b"").decode("utf-8", "replace"))
    resolved = posixpath.normpath(posixpath.join(folder, text))
    if resolved == ".." or resolved.startswith("../"):
        return "a symbolic link that leaves the tree"
    if any(_is_git_dir(part) for part in re.split(r"[/\\]", text)):
        return "a symbolic link into .git"
    return None


def _clashes(files: Sequence[FileDiff]) -> Iterator[tuple[FileDiff, str]]:
    """Links where other files of the patch need a folder, and changes to files that no longer exist.

    For links, letters of different case count as equal, since some file systems ignore case. Two files whose names
    differ only by case are harmless, and merely useless on such file systems.
    """
    links = {_fold(file.path): file for file in files if file.new_mode == "120000" and file.new_path is not None}
    there: dict[bytes, bool] = {}
    for file in files:
        old, new = file.old_path, file.new_path
        if old is not None and there.get(old) is False:
            yield file, "changed after it was deleted" if new is not None else "deleted twice"
        if new is not None and new != old and there.get(new):
            yield file, "made twice"
        if old is not None and old != new and file.change != "copy":
            there[old] = False
        if new is not None:
            there[new] = True
    made = {_fold(path): path for path, exists in there.items() if exists}
    by_name: dict[bytes | None, list[FileDiff]] = {}
    for file in files:
        by_name.setdefault(file.new_path, []).append(file)
    # In this order a folder comes right before everything in it, so one pass knows what lies above a path; joining
    # every parent again would be quadratic in the path's length.
    above: list[str] = []
    for key in sorted({*made, *links}, key=lambda key: key.replace("\0", "\1").replace("/", "\0")):
        while above and not key.startswith(above[-1] + "/"):
            above.pop()
        for parent in above if key in made else ():
            if parent in links:
                yield links[parent], f"a symbolic link where {show_path(made[key])} needs a folder"
            else:
                yield from (
                    (one, f"a file where {show_path(made[key])} needs a folder") for one in by_name[made[parent]]
                )
        above.append(key)


def _fold(path: bytes) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path.decode("utf-8", "replace")).casefold())


def show_path(path: bytes) -> str:
    """A path for a message: printable ASCII and letters stay, everything else is escaped, long paths are truncated."""
    text = path.decode("utf-8", "backslashreplace")
    shown = "".join(
        char if char.isprintable() and char not in _BIDI else char.encode("unicode_escape").decode() for char in text
    )
    return shown if len(shown) <= 160 else shown[:150] + "..."


def patch_key(patch: Patch) -> str:
    """Identity of the change that a patch makes, for finding equal patches.

    Two patches with the same key produce the same tree from the base commit. The key covers paths, modes, removed and
    added lines, and the *old* file's line numbers. It ignores `index` lines, section headings, the amount of context,
    the new file's line numbers, prose around the diff, and file order. White space counts, even at line ends: it is a
    change in a string literal or a Markdown file, and a false "equal" would lose a candidate.

    Returns:
        Hex digest; empty for an empty patch. An unparsable patch, or the description of a state, equals only the same
        bytes.
    """
    if not patch:
        return ""
    if isinstance(patch, EndState):
        return "state-" + patch.sha256
    try:
        files = parse_diff(patch.data)
    except DiffSyntaxError:
        return "raw-" + patch.sha256
    digest = hashlib.sha256()
    for record in _in_order(files):
        digest.update(len(record).to_bytes(8, "big") + record)
    return digest.hexdigest()


def _in_order(files: Sequence[FileDiff]) -> Iterator[bytes]:
    """The changes file by file; several changes to one file stay in order."""
    for file in sorted(files, key=lambda file: (file.old_path or b"", file.new_path or b"")):
        yield _normal_form(file)


def _normal_form(file: FileDiff) -> bytes:
    modes = (file.old_mode, file.new_mode) if file.old_mode != file.new_mode else ("", "")
    head = (file.old_path or b"", file.new_path or b"", file.change.encode(), *(mode.encode() for mode in modes))
    parts = [b"\0".join(head), file.binary]
    for hunk in file.hunks:
        # A hunk with an empty old side counts from the line before it, all others from their first line.
        old_side = any(line[:1] in (b" ", b"-") for line in hunk.lines)
        line_no = hunk.old_start if old_side else hunk.old_start + 1
        changed = False
        for line in hunk.lines:
            sign = line[:1]
            if sign in (b"+", b"-") or (sign == b"\\" and changed):
                parts.append(b"%d%s" % (line_no, line))
            changed = sign in (b"+", b"-")
            line_no += sign in (b" ", b"-")
    return b"\n".join(parts)
