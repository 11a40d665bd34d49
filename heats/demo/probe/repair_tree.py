"""Lays edits over the repository's files and takes them away again.

The repair policy sends this file to the sandbox. Python 3.8 or later, standard library only.
"""

from __future__ import annotations

import itertools
import os
import warnings
from typing import Any


class Tree:
    """The repository's files, with edits laid over the content they had when first touched."""

    def __init__(self, folder: str) -> None:
        self.base = os.path.join(folder, "base")
        self.bumps = itertools.count(2)

    def original(self, path: str) -> str:
        """Content before any edit."""
        kept = os.path.join(self.base, path)
        if not os.path.exists(kept):
            os.makedirs(os.path.dirname(kept), exist_ok=True)
            with open(path, "rb") as source, open(kept, "wb") as copy:
                copy.write(source.read())
        with open(kept, encoding="utf-8", newline="") as stream:
            return stream.read()

    def write(self, edits: list[dict[str, Any]], paths: set[str]) -> str:
        """Bring the files to original + edits; returns what is wrong with the edits, or an empty string."""
        for path in sorted(paths | {edit["path"] for edit in edits}):
            text, problem = edited(self.original(path), [edit for edit in edits if edit["path"] == path])
            if problem:
                return problem
            before = os.stat(path).st_mtime
            with open(path, encoding="utf-8", newline="") as stream:
                if stream.read() == text:
                    continue
            with open(path, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
            # Compiled files are trusted when whole seconds and size agree, so every version gets a second of its own.
            os.utime(path, (before + next(self.bumps),) * 2)
        return ""


def edited(source: str, edits: list[dict[str, Any]]) -> tuple[str, str]:
    """Apply edits (all in coordinates of `source`) and check that the result parses; returns (text, problem)."""
    starts = [0]
    for line in source.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    text, limit = source, len(source) + 1
    for edit in sorted(edits, key=lambda edit: (-edit["line"], -edit["col"])):
        if edit["line"] >= len(starts):
            return source, "did not apply"
        at = starts[edit["line"] - 1] + edit["col"] - 1
        old = edit["old"]
        if "\r\n" in source:
            old = old.replace("\n", "\r\n")
        if source[at : at + len(old)] != old or at + len(old) > limit:
            return source, "did not apply"
        text, limit = text[:at] + edit["new"] + text[at + len(old) :], at
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<edited>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return source, "does not parse"
    return text, ""
