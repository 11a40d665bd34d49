"""A critic trained on stored runs and served by a real vLLM: does it score attempts at other tasks rightly?

    heats demo --all --seed 1 --sandbox bubblewrap --out runs/demo-1      (other seeds likewise)
    scripts/tool-env vllm smol
    python -m benchmarks.critic runs/demo-1 runs/demo-2

The rows are those of `heats export RUN training`: issue, summary and patch of each attempt, with its outcome. A
logistic regression on the last hidden state of SmolLM2-135M-Instruct learns from some of the tasks; vLLM serves it on
the CPU, and heats' own client asks `/classify` about the attempts at the remaining tasks. Attempts with the same text
count once.
"""

import argparse
import asyncio
import json
import random
import subprocess
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agents.llm.ledger import Ledger
from agents.llm.scorer import HttpScorer, ScorerConfig
from benchmarks.tiny_vllm import POOLING, SMOL, TOOL, served
from core.text import cut
from heats.export.training import export_training
from heats.report.calibration import calibration
from heats.store.store import RunStore

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "tests" / "tools" / "smol_critic.py"
NAME = "critic"
QUERY, ANSWER = 400, 1000
"""Characters of issue and attempt, so that a CPU can train on a few hundred."""
Row = Mapping[str, Any]


def rows_of(runs: Sequence[Path]) -> list[Row]:
    """Different attempts of all runs: `task`, `query` (the issue), `answer` (summary and patch) and `label`."""
    found: dict[tuple[str, str], Row] = {}
    with TemporaryDirectory() as scratch:
        for run in runs:
            export_training(RunStore(run), Path(scratch))
            for line in (Path(scratch) / "training" / "critic.jsonl").read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                query, answer = cut(row["prompt"][0]["content"], QUERY), cut(row["completion"][0]["content"], ANSWER)
                own = {"task": row["task"], "query": query, "answer": answer, "label": row["label"]}
                found.setdefault((row["task"], answer), own)
    return list(found.values())


def train(rows: Sequence[Row], directory: Path) -> None:
    """Train the critic and write its model."""
    data = directory / "rows.jsonl"
    texts = [{"text": f"{row['query']}\n\n{row['answer']}", "label": row["label"]} for row in rows]
    data.write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")
    subprocess.run([TOOL / "bin" / "python", RECIPE, SMOL, data, directory / "model"], check=True)


async def ask(base_url: str, rows: Sequence[Row]) -> tuple[list[float], Ledger]:
    """Score each row; returns probabilities, and what was spent."""
    ledger = Ledger("benchmark")
    scorer = HttpScorer(ScorerConfig(kind="classify", url=base_url.removesuffix("/v1"), model=NAME, timeout_s=600))
    try:
        return [await scorer.score(row["query"], row["answer"], ledger=ledger) for row in rows], ledger
    finally:
        await scorer.close()


def report(rows: Sequence[Row], scores: Sequence[float]) -> str:
    """Print how right the scores are.

    Args:
        rows: attempts.
        scores: their scores, in the same order.
    """
    by_task: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for row, score in zip(rows, scores, strict=True):
        by_task[row["task"]].append((score, row["label"]))
    found = calibration(list(by_task.values()))
    assert found is not None
    good = sum(row["label"] for row in rows) / len(rows)
    right = sum((score > 0.5) == row["label"] for row, score in zip(rows, scores, strict=True)) / len(rows)
    lines = [
        f"{len(rows)} attempts at {len(by_task)} tasks, {100 * good:.1f} % successful",
        f"right at 0.5: {100 * right:.1f} %; always the more frequent answer: {100 * max(good, 1 - good):.1f} %",
        f"Brier score {found.brier:.3f}; always the mean: {good * (1 - good):.3f}",
        "a success above a failure of the same task: " + ("-" if found.order is None else f"{100 * found.order:.1f} %"),
        *(f"| {one.least:.1f} - {one.most:.1f} | {one.count} | {100 * one.share:.0f} % |" for one in found.bins),
    ]
    return "\n".join(lines)


def main() -> None:
    """Train, serve, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--held-out", type=float, default=1 / 3, help="share of the tasks that are scored")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split")
    asked = parser.parse_args()
    rows = rows_of(asked.runs)
    tasks = sorted({row["task"] for row in rows})
    kept = set(random.Random(asked.seed).sample(tasks, max(1, round(asked.held_out * len(tasks)))))
    known, unknown = ([row for row in rows if (row["task"] in kept) is held] for held in (False, True))
    with TemporaryDirectory() as scratch:
        started = time.perf_counter()
        train(known, Path(scratch))
        print(f"trained on {len(known)} attempts in {time.perf_counter() - started:.0f} s", flush=True)
        with served(Path(scratch) / "model", NAME, extra=POOLING) as base_url:
            started = time.perf_counter()
            scores, ledger = asyncio.run(ask(base_url, unknown))
            seconds = time.perf_counter() - started
    print(f"{ledger.spent.calls} requests, {ledger.spent.prompt_tokens} tokens, {seconds:.0f} s")
    print(report(unknown, scores))


if __name__ == "__main__":
    main()
