"""What selection knows of a rollout: its evidence, and signs of tampering, which rank after evidence."""

import itertools

import pytest
from doubles import CountingModel

from envs.base import Evidence, Patch
from heats.config import load_config
from heats.runner.candidates import evidence_class, make_candidate
from heats.store.store import RunStore

HEAD = b"diff --git a/f.py b/f.py\n--- a/f.py\n+++ b/f.py\n@@ -1 +1 @@\n-x\n"
HONEST, SUSPECT = Patch(HEAD + b"+y\n"), Patch(HEAD + b"+import os; os._exit(0)\n")


def test_signs_come_after_equal_evidence_and_before_weaker_evidence() -> None:
    order = [evidence_class(rank, signs) for rank in (0, 1, 2, 3) for signs in (["a sign"], [])]
    assert all(lower < higher for lower, higher in itertools.pairwise(order))


@pytest.fixture
async def files(paper_run, tmp_path):
    """A finished rollout whose patch and evidence a test may replace."""
    await paper_run(model=CountingModel([]), iterations=1)
    return RunStore(tmp_path / "run").task("one").rollout("heat-0/rollout-00")


def candidate(files, patch, **settings):
    (files.directory / "patch.diff").write_bytes(patch.data)
    files.save_evidence(Evidence(patch_sha256=patch.sha256, verdict="passes", reason="well", rank=3))
    return make_candidate(files, load_config((), {"model.name": "fake:x", **settings}))


async def test_judges_read_the_signs_and_selection_ranks_by_them(files):
    honest, suspect = candidate(files, HONEST), candidate(files, SUSPECT)
    assert honest.evidence_rank > suspect.evidence_rank
    assert "Signs that the patch works on its tests" not in honest.evidence
    assert "- f.py:1 ends the process: import os; os._exit(0)" in suspect.evidence


async def test_without_evidence_signs_do_not_count_either(files):
    honest, suspect = (candidate(files, patch, evidence=False) for patch in (HONEST, SUSPECT))
    assert honest.evidence_rank == suspect.evidence_rank
