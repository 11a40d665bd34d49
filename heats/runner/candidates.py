"""Finished rollouts as candidates: what judges may see of them, which are equal, and their evidence class."""

from collections.abc import Sequence

from envs import brings_tests, change_key, patch_key
from envs.base import Patch
from envs.tampering import Sign, signs_of_tampering
from heats.config import HeatsConfig
from heats.runner.measured import measured
from heats.store.store import RolloutStore
from summarizer import render, render_trajectory
from tournament.base import Candidate
from tournament.view import FIELDS


def make_candidate(files: RolloutStore, config: HeatsConfig, *, needs_patch: bool = True) -> Candidate | None:
    """What judges may see of a finished rollout, with its summary if it exists; None before its end.

    Args:
        files: the rollout's store.
        config: the run's configuration.
        needs_patch: a rollout without a patch has nothing to submit and cannot be selected.
    """
    trajectory = files.trajectory()
    if trajectory is None:
        return None
    summary, patch, evidence = files.summary(), files.patch(), files.evidence()
    signs = signs_of_tampering(patch) if config.evidence else ()
    return Candidate(
        id=files.rollout,
        summary=render(summary, config.summarizer.max_chars) if summary else "",
        patch=patch.data.decode("utf-8", "replace"),
        trajectory=render_trajectory(trajectory) if "trajectory" in FIELDS[config.tournament.judge.view] else "",
        evidence=measured(evidence, signs),
        evidence_rank=evidence_class(evidence.rank if evidence and patch else 0, signs),
        patch_key=key_of(patch, config),
        brings_tests=brings_tests(patch),
        eligible=bool(patch) or not needs_patch,
    )


def key_of(patch: Patch, config: HeatsConfig) -> str:
    """The key that equal changes share, as far as the tournament merges them."""
    return change_key(patch) if config.tournament.merge == "source" else patch_key(patch)


def evidence_class(rank: int, signs: Sequence[Sign]) -> int:
    """The class that selection compares: signs of tampering rank below equal evidence, but veto nothing."""
    return 2 * rank - bool(signs)
