"""Step choosers at equal model calls and at equal cost, with scripted models of known rates in heats' agent loop.

    python -m benchmarks.choosers propose --tasks 200
    python -m benchmarks.choosers speculate --tasks 200

A rollout looks around, makes three edits and submits; it passes if all three edits are right. The scripted model makes
a right edit with probability p and otherwise one of three wrong ones; asked to judge or score proposals, it is correct
with probability q. The agent is heats' own `bash` agent with the chooser in question, on a sandbox that only records
commands; the tournament is heats' own `rtv`, with a judge that is right about a passing and a failing candidate with
probability q in each vote. A model call is one completion: three proposals are three, whether they share a request or
not. `any` is the share of tasks where at least one rollout passes, which is what tests can choose; `chosen` is what
votes choose. The models are scripts: the figures compare the arithmetic of the choosers, not language models.
"""

import argparse
import asyncio
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from agents import BashAgent
from agents.base import Assignment
from agents.config import AgentConfig
from agents.llm.base import Completion, Message, Reply, ResponseSchema, Sampling
from agents.llm.fake import bash, submit, text
from agents.llm.ledger import Ledger, Usage
from heats.config import load_config
from sandbox.fake import FakeSandbox
from tournament.base import Candidate, Case
from tournament.fake import AccuracyJudge
from tournament.journal import MemoryJournal
from tournament.rtv import RTVSelector

EDITS, WRONG_WAYS = 3, 3
SMALL_COST = 0.1
"""Cost of a turn of the small model; a turn of the large one costs 1."""
CACHED_SCORE = 0.2
"""Cost of a score where the conversation is in the large model's prefix cache; without a cache it is 1."""
_RIGHT = re.compile(r"right-\d")


class Scripted:
    """A model that edits, judges and scores with known rates.

    Args:
        name: its name.
        right: probability that an edit is right.
        sure: probability that a judgement or a score is right.
    """

    def __init__(self, name: str, right: float, sure: float) -> None:
        self.name, self.right, self.sure = name, right, sure
        self.turns = self.questions = 0

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        ledger: Ledger,
        n: int = 1,
        response_schema: ResponseSchema | None = None,
        sampling: Sampling | None = None,
        **_: Any,
    ) -> Reply:
        """Reply to a turn or a question; see `ChatModel.complete`."""
        ledger.charge(Usage(calls=1))
        kind = response_schema.name if response_schema is not None else ""
        turn = sum(message["role"] == "assistant" for message in messages)
        seed = sampling.request_seed() if sampling is not None else 0
        rng = random.Random(f"{self.name}/{seed}/{turn}/{kind}")
        if kind:
            self.questions += 1
            asked = str(messages[-1]["content"])
            replies = [text(json.dumps(self._choice(asked, rng) if kind == "proposal" else self._score(asked, rng)))]
        else:
            self.turns += n
            replies = [self._turn(turn, rng) for _ in range(n)]
        return Reply(completions=tuple(replies), usage=Usage(calls=1), model=self.name)

    def _turn(self, turn: int, rng: random.Random) -> Completion:
        if turn == 0:
            return bash("cat notes")
        if turn > EDITS:
            return submit()
        what = f"right-{turn}" if rng.random() < self.right else f"wrong-{turn}-{rng.randrange(WRONG_WAYS)}"
        return bash(f"echo {what} >> notes")

    def _choice(self, asked: str, rng: random.Random) -> dict[str, Any]:
        shown = re.findall(r"^## ([A-Z])\n(.*?)(?=^## |^end )", asked, re.MULTILINE | re.DOTALL)
        good = [label for label, proposal in shown if _RIGHT.search(proposal)]
        bad = [label for label, proposal in shown if not _RIGHT.search(proposal)]
        chosen = good if good and (not bad or rng.random() < self.sure) else bad
        return {"reason": "", "choice": rng.choice(chosen)}

    def _score(self, asked: str, rng: random.Random) -> dict[str, Any]:
        good = bool(re.search(r"right-\d|cat notes|^submit", asked, re.MULTILINE))
        return {"score": 9 if good == (rng.random() < self.sure) else 2}

    async def preflight(self) -> Mapping[str, Any]:
        """Always succeeds."""
        return {}

    async def close(self) -> None:
        """Do nothing."""


@dataclass
class Found:
    """What one way of playing tasks achieved; lists have a value per task."""

    single: list[float] = field(default_factory=list)
    some: list[bool] = field(default_factory=list)
    chosen: list[bool] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    votes: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Way:
    """How the rollouts of each task are played.

    Attributes:
        chooser: name of the step chooser; `small` is the chooser `one` with the small model.
        right: probability that an edit of the large model is right; `small_right`: of the small one.
        sure: probability that a judgement, a score or a vote is right.
    """

    chooser: str
    rollouts: int
    right: float
    sure: float
    small_right: float = 0.0


@dataclass(frozen=True, slots=True)
class Played:
    """One rollout: whether it passes, its change, and its completions; scores are questions of `speculate`."""

    passes: bool
    change: str
    large: int
    small: int
    questions: int


def agent_with(chooser: str) -> BashAgent:
    """The bash agent with a step chooser."""
    name = "one" if chooser == "small" else chooser
    config: AgentConfig = load_config((), {"agent.chooser.name": name, "draft_model.name": "fake:draft"}).agent
    return BashAgent(config)


async def rollout(agent: BashAgent, way: Way, seed: int) -> Played:
    """Play one rollout."""
    large, small = Scripted("large", way.right, way.sure), Scripted("small", way.small_right, way.sure)
    sandbox = FakeSandbox([""] * (EDITS + 1))
    task = Assignment(
        rollout_id="heat-0/rollout-00",
        task_id="t",
        instruction="Fix it.",
        workdir="/w",
        seed=seed,
        drafter=small,
        sampling=Sampling(seed=seed),
    )
    await agent.run(task, sandbox, small if way.chooser == "small" else large, Ledger("rollout"), lambda _: None)
    edits = [one for one in sandbox.commands if one.startswith("echo")]
    passes = all(_RIGHT.search(one) for one in edits)
    return Played(passes, "\n".join(edits), large.turns, small.turns, large.questions)


async def play(way: Way, tasks: int, seed: int) -> Found:
    """Play tasks one way and let votes choose."""
    found, agent, config = Found(), agent_with(way.chooser), load_config(()).tournament
    for task in range(tasks):
        seeds = [random.Random(f"{seed}/{task}/{index}").randrange(2**31) for index in range(way.rollouts)]
        played = [await rollout(agent, way, one) for one in seeds]
        field = [
            Candidate(id=f"heat-0/rollout-{index:02}", summary=one.change, patch=one.change, patch_key=one.change)
            for index, one in enumerate(played)
        ]
        passing = [candidate.id for candidate, one in zip(field, played, strict=True) if one.passes]
        judge = AccuracyJudge(passing, [one.id for one in field], way.sure)
        case = Case("", seed + task, Ledger("votes"), MemoryJournal())
        bracket = await RTVSelector(config, judge).select({one.id: _at_once(one) for one in field}, 1, case)
        found.single.append(len(passing) / len(field))
        found.some.append(bool(passing))
        found.chosen.append(bracket.selected[0] in passing)
        found.calls.append(sum(one.large + one.small + one.questions for one in played))
        found.cost.append(sum(one.large + SMALL_COST * one.small for one in played))
        found.scores.append(sum(one.questions for one in played))
        found.votes.append(sum(len(match.votes) for match in bracket.matches))
    return found


async def _at_once(candidate: Candidate) -> Candidate:
    return candidate


def share(values: Sequence[float]) -> str:
    """A mean over tasks in percent, with the half-width of its 95 % interval."""
    mean = fmean(values)
    error = (sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1) / len(values)) ** 0.5
    return f"{100 * mean:.1f} ± {196 * error:.1f}"


def on_propose(tasks: int, seed: int) -> None:
    """Print `one` and `propose` side by side, with model calls."""
    for right, sure in ((0.8, 0.9), (0.8, 0.7), (0.6, 0.9), (0.6, 0.7), (0.6, 0.5)):
        print(f"\n### an edit is right with p = {right}, a judgement with q = {sure}\n")
        print("| chooser | rollouts | calls | votes | one rollout passes % | any % | chosen % |")
        print("| --- | --: | --: | --: | --: | --: | --: |")
        for chooser, rollouts in (("one", 3), ("propose", 1), ("one", 6), ("propose", 2), ("one", 12), ("propose", 4)):
            found = asyncio.run(play(Way(chooser, rollouts, right, sure), tasks, seed))
            cells = f"{fmean(found.calls):.1f} | {fmean(found.votes):.1f} | {share(found.single)}"
            print(f"| {chooser} | {rollouts} | {cells} | {share(found.some)} | {share(found.chosen)} |", flush=True)


def on_speculate(tasks: int, seed: int) -> None:
    """Print the large model alone, the small one alone, and `speculate`, with costs in turns of the large one."""
    for small, sure in ((0.7, 0.9), (0.5, 0.9), (0.5, 0.7)):
        print(f"\n### large model p = 0.8, small model p = {small} at a tenth of the price, scores q = {sure}\n")
        print(
            f"| chooser | rollouts | cost | with scores at {CACHED_SCORE} | one rollout passes % | any % | chosen % |"
        )
        print("| --- | --: | --: | --: | --: | --: | --: |")
        for chooser, rollouts in (("one", 4), ("small", 40), ("speculate", 3), ("speculate", 6)):
            found = asyncio.run(play(Way(chooser, rollouts, 0.8, sure, small), tasks, seed))
            cost, scores = fmean(found.cost), fmean(found.scores)
            cells = f"{cost + scores:.1f} | {cost + CACHED_SCORE * scores:.1f} | {share(found.single)}"
            print(f"| {chooser} | {rollouts} | {cells} | {share(found.some)} | {share(found.chosen)} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["propose", "speculate"])
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    (on_propose if asked.what == "propose" else on_speculate)(asked.tasks, asked.seed)


if __name__ == "__main__":
    main()
