"""A learned critic behind a real vLLM: a logistic regression on a small real model, served by `/classify`."""

import json
import subprocess
import sys

import pytest

from agents.llm.ledger import Ledger
from agents.llm.scorer import HttpScorer, ScorerConfig
from benchmarks.critic import NAME, train
from benchmarks.tiny_vllm import POOLING, served

pytestmark = [pytest.mark.vllm, pytest.mark.tool("smol"), pytest.mark.timeout(900)]

ISSUE = "total() forgets the last item of the list."


def patch(line):
    return (
        f"--- a/shop.py\n+++ b/shop.py\n@@ -1,2 +1,2 @@\n def total(items):\n-    return sum(items[:-1])\n+    {line}\n"
    )


RIGHT = ["return sum(items)", "return sum(one for one in items)", "return sum(items[:])", "return sum(list(items))"]
WRONG = ["pass", "raise NotImplementedError", "return 0", "return None"]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    rows = [
        {"query": f"{ISSUE} It is case {number}.", "answer": f"patch:\n{patch(line)}", "label": label}
        for number in range(4)
        for label, lines in ((True, RIGHT), (False, WRONG))
        for line in lines
    ]
    directory = tmp_path_factory.mktemp("critic")
    train(rows, directory)
    with served(directory / "model", NAME, extra=POOLING) as base_url:
        yield base_url.removesuffix("/v1")


async def test_a_classifier_behind_a_real_server_scores_and_is_charged(url):
    ledger = Ledger("test")
    scorer = HttpScorer(ScorerConfig(kind="classify", url=url, model=NAME, timeout_s=200))
    right, wrong = [
        await scorer.score(ISSUE, f"patch:\n{patch(line)}", ledger=ledger) for line in ("return sum(items)", "pass")
    ]
    await scorer.close()
    assert 0 <= wrong < 0.5 < right <= 1
    assert ledger.spent.calls == 2 and ledger.spent.prompt_tokens > 40


def test_it_selects_without_any_other_model(url, tmp_path):
    for name, line in (("a", "return None"), ("b", "return sum(items)"), ("c", "pass")):
        (tmp_path / f"{name}.diff").write_text(patch(line))
    (tmp_path / "issue.md").write_text(ISSUE)
    options = {"kind": "classify", "url": url, "model": NAME, "timeout_s": "200"}
    scorer = [part for key, value in options.items() for part in ("-c", f"tournament.options.scorer.{key}={value}")]
    heats = [sys.executable, "-c", "from heats.cli import main; main()", "select", "--selector", "critic", "--json"]
    files = [str(tmp_path / f"{name}.diff") for name in "abc"]
    place = ["--issue", str(tmp_path / "issue.md"), "--view", "patch", "--out", str(tmp_path / "run")]
    done = subprocess.run([*heats, *files, *place, *scorer], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    bracket = json.loads(next((tmp_path / "run").glob("tasks/*/heat-0/tournament.json")).read_text())
    assert len(bracket["scores"]) == 3
    assert (tmp_path / "run" / "patch.diff").read_text() == patch("return sum(items)")
