"""What a small real model does with heats' prompts: how rollouts end, how often a turn repeats the one before, and how
many votes and summaries can be read.

    scripts/tool-env smol                      # SmolLM2-135M-Instruct; it repairs nothing
    python -m benchmarks.small_model --rollouts 16

Each row changes one thing. `tools` offers tools as for a model whose chat template supports them, which this one's does
not; `text` asks for fenced blocks; `guided` asks for them with constrained decoding, as `heats` decides by itself.
`one seed` sends the rollout's seed with every turn.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from agents import Assignment, BashAgent
from agents.errors import ModelError
from agents.llm.base import Message, Reply, Sampling
from agents.llm.config import ModelConfig
from agents.llm.ledger import Ledger
from agents.llm.openai_client import OpenAIModel
from agents.trajectory import Trajectory
from benchmarks.tiny_vllm import smol_server
from heats.config import load_config
from sandbox.base import ExecResult
from sandbox.fake import FakeSandbox
from summarizer import summarize
from tournament.base import Candidate
from tournament.judge import ModelJudge

CONFIG = load_config(())
STATEMENT = "add() in calc.py returns the difference of its arguments instead of the sum. Fix it."
ROWS = {
    "tools": {"guided": False, "text": False},
    "text, one seed": {"guided": False, "text": True},
    "text": {"guided": False, "text": True},
    "guided": {"guided": True, "text": True},
}


class OneSeed(Sampling):
    """Sampling that sends the conversation's seed with every turn and retry."""

    def request_seed(self, retry: int = 0) -> int | None:
        """Return the conversation's seed."""
        return self.seed


class OneSeedModel(OpenAIModel):
    """A model whose requests all have their conversation's seed."""

    async def complete(
        self, messages: Sequence[Message], *, ledger: Ledger, sampling: Sampling | None = None, **wanted: Any
    ) -> Reply:
        """Request completions; see `OpenAIModel.complete`."""
        fixed = OneSeed.model_validate(dict(sampling)) if sampling else None
        return await super().complete(messages, ledger=ledger, sampling=fixed, **wanted)


def sandbox() -> FakeSandbox:
    """A sandbox in which every command prints a line."""
    return FakeSandbox(respond=lambda call: ExecResult("exited", 0, b"calc.py\n"))


async def rollouts(model: OpenAIModel, count: int) -> Sequence[Trajectory]:
    """Play rollouts of at most 12 steps at the same time."""

    async def play(number: int) -> Trajectory:
        agent = BashAgent(CONFIG.agent.model_copy(update={"step_limit": 12}))
        plan = Assignment(
            rollout_id=f"heat-0/rollout-{number:02}",
            task_id="t",
            instruction=STATEMENT,
            workdir="/testbed",
            seed=number * 7919,
        )
        return await agent.run(plan, sandbox(), model, Ledger(str(number)), lambda trajectory: None)

    return await asyncio.gather(*(play(number) for number in range(count)))


async def votes_read(model: OpenAIModel, count: int) -> tuple[int, int]:
    """Votes that could be read, and votes asked for."""
    pair = [Candidate(id=name, summary=f"attempt {name} changed line {at} of calc.py") for at, name in enumerate("ab")]
    judge = ModelJudge(CONFIG.tournament, model)
    found = await judge.vote(STATEMENT, pair, count=count, first=0, seed=1, ledger=Ledger("votes"))
    return sum(vote.choice is not None for vote in found), len(found)


async def summaries_read(model: OpenAIModel, trajectories: Sequence[Trajectory]) -> tuple[int, int]:
    """Summaries that the model wrote, and summaries asked for."""

    async def one(trajectory: Trajectory) -> bool:
        try:
            written = await summarize(
                trajectory,
                statement=STATEMENT,
                patch=b"",
                model=model,
                ledger=Ledger(trajectory.id),
                config=CONFIG.summarizer.model_copy(update={"max_tokens": 1024}),
                seed=1,
            )
        except ModelError:
            return False
        return written.source == "model"

    found = await asyncio.gather(*map(one, trajectories))
    return sum(found), len(found)


def share(part: int, whole: int) -> str:
    """`5 of 8`, or a dash where nothing was counted."""
    return f"{part} of {whole}" if whole else "-"


async def row(name: str, url: str, count: int) -> str:
    """Measure one way of speaking to the model; returns a row of the table."""
    settings = {"name": "smol", "base_url": url, "request_timeout_s": 600, "call_deadline_s": 1200, "max_tokens": 256}
    kind = OneSeedModel if name.endswith("one seed") else OpenAIModel
    model = kind(ModelConfig.model_validate({**settings, "temperature": 0.8}))
    await model.preflight()
    model.text_protocol, model.drops_tools = ROWS[name]["text"], ROWS[name]["guided"]
    played = await rollouts(model, count)
    turns = [[step for step in one.steps if step.source == "agent"] for one in played]
    pairs = [one.content == two.content for said in turns for one, two in pairwise(said)]
    ended = Counter(one.exit.kind if one.exit else "lost" for one in played)
    called = sum(bool(step.tool_calls) for said in turns for step in said)
    votes, summaries = await votes_read(model, count), await summaries_read(model, played[:8])
    await model.close()
    cells = [
        name,
        ", ".join(f"{kind} {number}" for kind, number in ended.most_common()),
        share(called, sum(map(len, turns))),
        share(sum(pairs), len(pairs)),
        share(*votes),
        share(*summaries),
    ]
    return f"| {' | '.join(cells)} |"


async def measure(url: str, names: Sequence[str], count: int) -> None:
    """Measure all rows at the same time: a step of the server takes about as long for many requests as for one."""
    print("| turns | rollouts ended by | turns with a call | equal to the turn before | votes read | summaries read |")
    print("| --- | --- | --: | --: | --: | --: |")
    for line in await asyncio.gather(*(row(name, url, count) for name in names)):
        print(line)


def main() -> None:
    """Start the model and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=16)
    parser.add_argument("--rows", nargs="+", choices=tuple(ROWS), default=list(ROWS))
    options = parser.parse_args()
    with smol_server("--enable-auto-tool-choice", "--tool-call-parser", "hermes") as url:
        asyncio.run(measure(url, options.rows, options.rollouts))


if __name__ == "__main__":
    main()
