"""What a patch may contain, and when two patches are equal.

Every header of a patch is parsed and checked before the patch is stored or applied anywhere.
"""

import hashlib
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from core.diff import DiffSyntaxError, FileDiff, parse_diff
from core.record import Record
from envs.base import Patch
from envs.errors import PatchRejected

STATE_MARK = "# heats: end state"
"""How the description of a state begins, which is kept as a `Patch` for tasks that hand in one."""
_LONGEST_PATH, _DEEPEST_PATH = 4096, 255
_FILE_MODES = ("", "100644", "100755", "120000")
_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_INVISIBLE = "\u200b\u2028\u2029\u2060\ufeff"
_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")


class PatchRules(Record):
    """Ceilings for one patch."""

    max_bytes: int = Field(16 << 20, gt=0)
    max_files: int = Field(2000, gt=0)
    max_binary_bytes: int = Field(64 << 20, gt=0)
    """Sum of what the binary blocks say they inflate to."""


def check_patch(data: bytes, rules: PatchRules | None = None) -> None:
    """Refuse a patch that must not be stored or applied.

    Rejected are: what cannot be parsed to its end; paths that are absolute, leave the tree, enter `.git`, carry drive
    letters, control, bidirectional or invisible characters, or are not UTF-8; names that clash on a file system that
    folds case; paths through a symbolic link; symbolic links that leave the tree; submodules and unknown modes; and
    what passes the size ceilings. Empty bytes pass: an empty patch is no patch.

    Raises:
        PatchRejected: with every reason found.
    """
    rules = rules or PatchRules()
    if len(data) > rules.max_bytes:
        raise PatchRejected((f"{len(data)} bytes, more than the {rules.max_bytes} allowed",))
    try:
        files = parse_diff(data)
    except DiffSyntaxError as error:
        raise PatchRejected((f"not a readable diff: {error}",)) from None
    reasons: list[str] = []
    if len(files) > rules.max_files:
        reasons.append(f"{len(files)} files, more than the {rules.max_files} allowed")
    inflated = sum(file.binary_size for file in files)
    if inflated > rules.max_binary_bytes:
        reasons.append(f"{inflated} bytes of binary data, more than the {rules.max_binary_bytes} allowed")
    for file in files:
        reasons += _file_reasons(file)
    if not reasons:  # so that only paths of a sane length are set against each other
        reasons += _clashes(files)
    if reasons:
        raise PatchRejected(tuple(dict.fromkeys(reasons)))


def _file_reasons(file: FileDiff) -> Iterator[str]:
    for path in dict.fromkeys(path for path in (file.old_path, file.new_path) if path is not None):
        for problem in _path_problems(path):
            yield f"{show_path(path)}: {problem}"
    name = show_path(file.new_path or file.old_path or b"")
    for mode in dict.fromkeys((file.old_mode, file.new_mode)):
        if mode == "160000":
            yield f"{name}: a submodule"
        elif mode not in _FILE_MODES:
            yield f"{name}: unknown file mode {mode[:12]}"
    if file.new_mode == "120000" and file.change != "delete":
        link_problem = _link_problem(file)
        if link_problem:
            yield f"{name}: {link_problem}"


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
    """True for every spelling of `.git` that some file system takes for it (HFS+ ignorables, NTFS short names)."""
    folded = _HFS_IGNORED.sub("", part).casefold()
    folded = folded.split(":")[0].rstrip(" .")
    return folded == ".git" or re.fullmatch(r"git~\d", folded) is not None


def _link_problem(file: FileDiff) -> str | None:
    if file.binary:
        return "a symbolic link given as binary data"
    if not file.hunks:
        return None if file.change in ("rename", "copy") or file.old_mode == "120000" else "a symbolic link to nothing"
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


def _clashes(files: list[FileDiff]) -> Iterator[str]:
    """Names that meet on a file system that folds case, paths through links, and files changed twice."""
    made: dict[str, bytes] = {}
    links: dict[str, bytes] = {}
    gone: set[bytes] = set()
    for file in files:
        if file.new_path is None:
            if file.old_path in gone:
                yield f"{show_path(file.old_path or b'')}: deleted twice"
            gone.add(file.old_path or b"")
            continue
        key = _fold(file.new_path)
        if made.get(key) == file.new_path:
            yield f"{show_path(file.new_path)}: changed twice"
        elif key in made:
            yield f"{show_path(file.new_path)}: clashes with {show_path(made[key])} where case does not count"
        made[key] = file.new_path
        if file.new_mode == "120000":
            links[key] = file.new_path
    # A walk down a tree of names: joining every parent anew would take the square of a path's length.
    top: dict[str, Any] = {}
    for key, path in made.items():
        node = top
        for part in key.split("/"):
            node = node.setdefault(part, {})
        node[""] = path
    for key, path in made.items():
        node = top
        for part in key.split("/")[:-1]:
            node = node[part]
            if "" in node and _fold(node[""]) in links:
                yield f"{show_path(path)}: goes through the symbolic link {show_path(node[''])}"
            elif "" in node:
                yield f"{show_path(path)}: {show_path(node[''])} is a file, not a directory"


def _fold(path: bytes) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path.decode("utf-8", "replace")).casefold())


def show_path(path: bytes) -> str:
    """A path for a message: printable ASCII and letters stay, everything else is escaped, long ones are cut."""
    text = path.decode("utf-8", "backslashreplace")
    shown = "".join(
        char if char.isprintable() and char not in _BIDI else char.encode("unicode_escape").decode() for char in text
    )
    return shown if len(shown) <= 160 else shown[:150] + "..."


def patch_key(patch: Patch) -> str:
    """Identity of the change that a patch makes, for finding equal patches.

    Two patches with the same key make the same tree from the base commit. The key is made of paths, modes, removed
    and added lines and the *old* file's line numbers; `index` lines, section headings, the amount of context, line
    numbers of the new file, prose around the diff and the order of files do not count. White space counts, at line
    ends too: in a string literal or a Markdown file it is a change, and a false "equal" would lose a candidate.

    Returns:
        Hex digest; empty for an empty patch. A patch that cannot be parsed, and the description of a state, is equal
        to its own bytes only.
    """
    if not patch:
        return ""
    if patch.data.startswith(STATE_MARK.encode()):
        return "state-" + patch.sha256
    try:
        files = parse_diff(patch.data)
    except DiffSyntaxError:
        return "raw-" + patch.sha256
    digest = hashlib.sha256()
    for record in sorted(_normal_form(file) for file in files):
        digest.update(len(record).to_bytes(8, "big") + record)
    return digest.hexdigest()


def _normal_form(file: FileDiff) -> bytes:
    modes = (file.old_mode, file.new_mode) if file.old_mode != file.new_mode else ("", "")
    head = (file.old_path or b"", file.new_path or b"", file.change.encode(), *(mode.encode() for mode in modes))
    parts = [b"\0".join(head), file.binary]
    for hunk in file.hunks:
        # A hunk of an empty old side counts from the line before it, every other one from its first line.
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
