"""Measure selectors with simulated judges: who is chosen, how many votes it takes, and how long the schedule waits.

    python -m benchmarks.selection [quality | swiss | bias | early-stop | schedule | shares | places] ... [--seeds 300]

There are 16 candidates, of which 6 pass. A judge of accuracy a names the passing candidate of a mixed pair with
probability a in one vote. Votes are independent or, for a judge with `noise`, share part of their error.
"""

import argparse
import asyncio
import json
import math
import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.llm.base import Completion, Message, Reply, ResponseSchema
from agents.llm.ledger import Ledger, Usage
from benchmarks.selection_field import FIELD, IDS, PASSING, N, choose, gap_for, passing, settings
from benchmarks.selection_places import places
from benchmarks.selection_shares import shares
from benchmarks.selection_stops import bias, early_stop
from benchmarks.virtual_time import run as run_virtually
from tournament.base import Bracket, Candidate, Case, Judge, Selector, Vote
from tournament.baselines import RandomSelector
from tournament.bracket import plan_rounds
from tournament.fake import BiasedJudge
from tournament.journal import MemoryJournal
from tournament.rtv import AdaptiveSelector, RTVSelector
from tournament.scored import PointwiseSelector, VerifySelector
from tournament.slots import seeded_hash, seeded_order
from tournament.swiss import SwissSelector

ACCURACIES, BIASES = (0.5, 0.6, 0.7, 0.8, 0.9), (0.0, 1.0, 2.0)


@dataclass
class Scorer:
    """A chat model that looks at one candidate; a passing candidate outscores a failing one with this accuracy."""

    good: frozenset[str]
    accuracy: float
    rng: random.Random
    name: str = "scorer"
    calls: int = field(default=0)

    async def complete(
        self, messages: Sequence[Message], *, n: int = 1, response_schema: ResponseSchema | None = None, **_: Any
    ) -> Reply:
        """Scores around 4 and 6, further apart for better judges; verdicts that are right with the same accuracy.

        Args:
            messages: the request, which contains the candidate.
            n: number of completions.
            response_schema: tells whether a verdict or a score is wanted.
        """
        shown, _end = json.JSONDecoder().raw_decode(messages[1]["content"])
        passes = shown["candidates"][0]["summary"] in self.good
        verifies = response_schema is not None and "verdict" in response_schema.json_schema["properties"]
        told = [self._verdict(passes) if verifies else self._score(passes) for _ in range(n)]
        self.calls += n
        texts = [json.dumps({"reason": "", **one}) for one in told]
        completions = tuple(Completion(message={"role": "assistant", "content": text}, content=text) for text in texts)
        return Reply(completions=completions, usage=Usage(), model=self.name)

    def _score(self, passes: bool) -> dict[str, int]:
        distance = statistics.NormalDist().inv_cdf(self.accuracy) * math.sqrt(2)
        return {"score": min(10, max(0, round(self.rng.gauss(5 + (distance if passes else -distance), 2))))}

    def _verdict(self, passes: bool) -> dict[str, str]:
        right = self.rng.random() < self.accuracy
        return {"verdict": "accept" if passes == right else "reject"}

    async def preflight(self) -> Mapping[str, Any]:
        """Always succeed."""
        return {}

    async def close(self) -> None:
        """Nothing to close."""


Build = Callable[[Judge], Selector]


def pairwise() -> dict[str, Build]:
    """Selectors based on a pairwise judge."""
    return {
        "rtv V=8": lambda judge: RTVSelector(settings(early_stop="never"), judge),
        "rtv early stop": lambda judge: RTVSelector(settings(early_stop="balanced"), judge),
        "adaptive": lambda judge: AdaptiveSelector(settings(), judge),
        "swiss": lambda judge: SwissSelector(settings(), judge),
    }


async def measure(
    build: Build, seeds: int, accuracy: float, bias: float = 0.0, noise: float = 0.0
) -> tuple[float, float]:
    """Share of selections that pass, in per cent, and votes per selection.

    Args:
        build: makes the selector for a judge.
        seeds: number of selections.
        accuracy: the judge's accuracy on mixed pairs.
        bias: logits added to the candidate shown first.
        noise: standard deviation of each pair's shared error, in logits.
    """
    gap, wins, votes = gap_for(accuracy, noise), 0, 0
    for seed in range(seeds):
        good = passing(seed)
        judge = BiasedJudge({name: gap * (name in good) for name in IDS}, bias, noise, seed)
        wins += (await choose(build(judge), seed)).selected[0] in good
        votes += len(judge.asked)
    return 100 * wins / seeds, votes / seeds


async def quality(seeds: int) -> None:
    """Each selector's probability of returning a passing candidate, and its number of calls."""
    print(f"## quality: {PASSING} of {N} pass, {seeds} selections a cell, per cent passing (votes a selection)\n")
    print("| selector | bias | " + " | ".join(f"a={a}" for a in ACCURACIES) + " |")
    print("| --- | --- |" + " --- |" * len(ACCURACIES))
    chance = [(await choose(RandomSelector(), seed)).selected[0] in passing(seed) for seed in range(seeds)]
    print(f"| random | - | {100 * sum(chance) / seeds:.0f} (0) |" + " |" * (len(ACCURACIES) - 1))
    for name, build in pairwise().items():
        for logits in BIASES:
            cells = [await measure(build, seeds, accuracy, logits) for accuracy in ACCURACIES]
            shown = " | ".join(f"{won:.0f} ({votes:.0f})" for won, votes in cells)
            print(f"| {name} | {logits:g} | {shown} |", flush=True)
    for kind in (PointwiseSelector, VerifySelector):
        cells = [await _alone(kind, seeds, accuracy) for accuracy in ACCURACIES]
        print(f"| {kind.name} | - | " + " | ".join(cells) + " |", flush=True)
    print()


async def _alone(kind: type[PointwiseSelector | VerifySelector], seeds: int, accuracy: float) -> str:
    """A table cell for a selector that looks at one candidate at a time."""
    wins = calls = 0
    for seed in range(seeds):
        scorer = Scorer(passing(seed), accuracy, random.Random(seed))
        wins += (await choose(kind(settings(), scorer), seed)).selected[0] in scorer.good
        calls += scorer.calls
    return f"{100 * wins / seeds:.0f} ({calls / seeds:.0f})"


async def equal_votes(seeds: int) -> None:
    """Plain RTV against the uncertainty-guided selector at the same number of votes."""
    print(f"## swiss against plain RTV at equal votes, {seeds} selections a cell, per cent passing (votes)\n")
    print("| judge | rtv V=8 | swiss |\n| --- | --- | --- |")
    for accuracy in (0.6, 0.7, 0.8):
        for noise in (0.0, 1.0):
            cells = [await measure(pairwise()[name], seeds, accuracy, 0.0, noise) for name in ("rtv V=8", "swiss")]
            shown = " | ".join(f"{won:.1f} ({votes:.0f})" for won, votes in cells)
            print(f"| accuracy {accuracy}, noise {noise:g} | {shown} |", flush=True)
    print()


class SlowJudge(BiasedJudge):
    """Takes a lognormal time for each vote; a wave takes as long as its slowest vote."""

    def __init__(self, slots: int | None) -> None:
        super().__init__(dict.fromkeys(IDS, 0.0))
        self.slots = asyncio.Semaphore(slots) if slots else None
        self.durations: dict[int, float] = {}

    async def vote(
        self, problem: str, contestants: Sequence[Candidate], *, count: int, first: int, seed: int, ledger: Ledger
    ) -> list[Vote]:
        """Vote, after a delay.

        Args:
            problem: the task's statement.
            contestants: the match's candidates.
            count: number of votes.
            first: number of the first vote.
            seed: the match's seed.
            ledger: unused.
        """
        rng = random.Random(seeded_hash(seed, "latency", first))
        took = [10 * rng.lognormvariate(0, 1) for _ in range(count)]
        self.durations[seed] = self.durations.get(seed, 0.0) + max(took)
        await asyncio.gather(*map(self._call, took))
        return await super().vote(problem, contestants, count=count, first=first, seed=seed, ledger=ledger)

    async def _call(self, seconds: float) -> None:
        if self.slots is None:
            await asyncio.sleep(seconds)
        else:
            async with self.slots:
                await asyncio.sleep(seconds)


async def _comes(candidate: Candidate, seconds: float) -> Candidate | None:
    await asyncio.sleep(seconds)
    return candidate


def _paths(seed: int, arrive: Mapping[str, float], durations: Mapping[int, float]) -> tuple[float, float]:
    """Seconds of the critical path, and of a schedule that waits for whole rounds."""
    ready = [arrive[name] for name in seeded_order(arrive, seed)]
    barrier = max(ready)
    for number, groups in enumerate(plan_rounds(len(ready), 2, 1)):
        took = [durations.get(seeded_hash(seed, f"r{number}-m{index}"), 0.0) for index in range(len(groups))]
        ready = [max(ready[place] for place in group) + time for group, time in zip(groups, took, strict=True)]
        barrier += max(took)
    return ready[0], barrier


def schedule(seeds: int) -> None:
    """Virtual wall time compared with the critical path and with rounds."""
    print(f"## schedule: N = 16, G = 2, V = 8, call latency lognormal(sigma 1), median 10 s; {seeds} tournaments\n")
    print("| candidates | judge calls at once | stop | wall, s | wall / critical path | rounds / wall |")
    print("|" + " --- |" * 6)
    for spread, label in ((0.0, "all there"), (0.5, "600 s lognormal(0.5)")):
        for slots, stop in ((None, "never"), (None, "balanced"), (16, "never")):
            walls, ratios, gains = [], [], []
            for seed in range(seeds):
                rng = random.Random(seed)
                arrive = {name: 600 * rng.lognormvariate(0, spread) if spread else 0.0 for name in IDS}
                judge = SlowJudge(slots)
                _, wall = run_virtually(_tournament(judge, stop, seed, arrive))
                path, barrier = _paths(seed, arrive, judge.durations)
                walls.append(wall)
                ratios.append(wall / path)
                gains.append(barrier / wall)
            shown = f"{statistics.mean(ratios):.3f} (max {max(ratios):.3f}) | {statistics.mean(gains):.2f}"
            print(f"| {label} | {slots or 'any'} | {stop} | {statistics.mean(walls):.0f} | {shown} |", flush=True)
    print()


async def _tournament(judge: SlowJudge, stop: str, seed: int, arrive: Mapping[str, float]) -> Bracket:
    waiting = {one.id: _comes(one, arrive[one.id]) for one in FIELD}
    selector = RTVSelector(settings(early_stop=stop), judge)
    return await selector.select(waiting, 1, Case("", seed, Ledger("bench"), MemoryJournal()))


def main(arguments: Sequence[str]) -> None:
    """Print the selected tables, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "parts", nargs="*", help="quality, swiss, bias, early-stop, schedule, shares, places; all without any"
    )
    parser.add_argument("--seeds", type=int, default=300)
    asked = parser.parse_args(arguments)
    parts = asked.parts or ["quality", "swiss", "bias", "early-stop", "schedule", "shares", "places"]
    runs = {
        "quality": quality,
        "swiss": equal_votes,
        "bias": bias,
        "early-stop": early_stop,
        "shares": shares,
        "places": places,
    }
    for part in parts:
        if part == "schedule":
            schedule(asked.seeds)
        else:
            asyncio.run(runs[part](asked.seeds))


if __name__ == "__main__":
    main(sys.argv[1:])
