"""What the harness itself knows of a rollout: its end, its length, what its patch touches."""

import hashlib
import re

from agents.trajectory import Trajectory
from summarizer.schema import Facts
from summarizer.text import sanitise

_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_HEADER = re.compile(rb'diff --git (?:"?a/.*?"? "?b/(.*?)"?)$')


def facts(trajectory: Trajectory, patch: bytes) -> Facts:
    """Take the facts from a trajectory and the bytes of its patch."""
    files, added, removed = patch_stats(patch)
    return Facts(
        exit=trajectory.exit.kind if trajectory.exit else "unfinished",
        steps=trajectory.agent_steps,
        files=files,
        lines_added=added,
        lines_removed=removed,
        patch_sha256=hashlib.sha256(patch).hexdigest() if patch else "",
    )


def patch_stats(patch: bytes) -> tuple[tuple[str, ...], int, int]:
    """Files of a git diff in its order, and how many lines it adds and removes.

    Hunk headers say how many lines follow, so that content which looks like a header is counted as content.
    """
    files: dict[str, None] = {}
    added = removed = old = new = 0
    for line in patch.split(b"\n"):
        if old > 0 or new > 0:
            kind = line[:1]
            if kind == b"\\":
                continue
            added, removed = added + (kind == b"+"), removed + (kind == b"-")
            old, new = old - (kind != b"+"), new - (kind != b"-")
        elif hunk := _HUNK.match(line):
            old, new = int(hunk[1] or 1), int(hunk[2] or 1)
        elif header := _HEADER.match(line):
            files[sanitise(header[1].decode("utf-8", "replace"))] = None
    return tuple(files), added, removed
