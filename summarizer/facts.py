"""What the harness itself knows about a rollout: how it ended, its length, what its patch touches."""

import hashlib

from agents.trajectory import Trajectory
from core.diff import diff_stats
from core.sanitize import for_model
from summarizer.schema import Facts


def facts(trajectory: Trajectory, patch: bytes) -> Facts:
    """Extract the facts from a trajectory and the bytes of its patch."""
    stats = diff_stats(patch)
    return Facts(
        exit=trajectory.exit.kind if trajectory.exit else "unfinished",
        steps=trajectory.agent_steps,
        files=tuple(map(for_model, stats.files)),
        lines_added=stats.added,
        lines_removed=stats.removed,
        patch_sha256=hashlib.sha256(patch).hexdigest() if patch else "",
    )
