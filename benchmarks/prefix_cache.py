"""How much of its prompts a vLLM server finds in its prefix cache, by its own counters, and how busy it is kept.

    python -m benchmarks.prefix_cache                   # starts a tiny model on the CPU
    python -m benchmarks.prefix_cache ballot rollout --seeds 1 2 3    # parts: ballot, bracket, rollout, heat, flight
    python -m benchmarks.prefix_cache --base-url http://localhost:8000/v1 --model NAME

Every measurement uses fresh texts, so that none of them is in the cache at first. `computed` are prompt tokens that the
server had to compute; with `n` = 8 a prompt counts eight times, as in the server's counters. With several seeds, a
table of medians and ranges follows.
"""

import argparse
import asyncio
import os
import pydoc_data.topics
import random
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any

from agents import AgentConfig, Assignment, BashAgent
from agents.llm.base import Sampling
from agents.llm.config import ModelConfig
from agents.llm.counters import Counters
from agents.llm.ledger import Ledger
from agents.llm.openai_client import OpenAIModel
from benchmarks.tiny_vllm import CLOSES, NAME, missing, never_submits, tiny_server
from heats.config import load_config
from sandbox.base import ExecResult
from tournament import open_selector
from tournament.base import Candidate, Case
from tournament.journal import MemoryJournal
from tournament.judge import ModelJudge

WORDS = sorted(set(re.findall(r"[a-z]{2,10}", " ".join(pydoc_data.topics.topics.values()))))
PROBLEM_WORDS, SUMMARY_WORDS, OUTPUT_WORDS = 250, 450, 110
"""About 1,600, 2,900 and 700 characters."""
CONFIG = load_config(())
LONG = ("--max-model-len", "16384")


@dataclass(frozen=True, slots=True)
class Bench:
    """A server to measure, and the fields that its requests need."""

    base_url: str
    model: str
    closes: dict[str, object]
    calls: dict[str, object]
    rng: random.Random
    found: dict[str, list[Counters]]

    def client(self, **settings: object) -> OpenAIModel:
        """A model client."""
        fields = {"name": self.model, "base_url": self.base_url, "extra_body": self.closes, **settings}
        return OpenAIModel(ModelConfig.model_validate(fields))

    def text(self, words: int) -> str:
        """Prose that shares no prefix with anything else."""
        return " ".join(self.rng.choices(WORDS, k=words))

    def candidates(self, count: int, times: int = 1) -> list[Candidate]:
        """Attempts with summaries of the usual length, or a multiple of it."""
        return [Candidate(id=f"r{index}", summary=self.text(times * SUMMARY_WORDS)) for index in range(count)]


class Sandbox:
    """Prints different words for every command."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    async def exec(self, command: str, **more: object) -> ExecResult:
        """Output of the usual length."""
        output = self.bench.text(OUTPUT_WORDS).encode()
        return ExecResult("exited", 0, output, stdout_total=len(output))


async def counted(bench: Bench, client: OpenAIModel, what: str, work: Awaitable[object]) -> None:
    """Do some work, and record and print what the server counted during it.

    Args:
        bench: the server.
        client: a client of it.
        what: name of the measurement.
        work: the work.
    """
    before = await client.server.counters()
    await work
    after = await client.server.counters()
    assert before is not None and after is not None, "the server has no /metrics"
    bench.found.setdefault(what, []).append(found := after - before)
    print(f"{what:60} {_row([found], ' ')}", flush=True)


def _row(found: list[Counters], between: str) -> str:
    """Medians, and the share from the cache with its range."""
    shares = sorted(100 * (one.hit_rate or 0) for one in found)
    computed = median(one.prefix_queries - one.prefix_hits for one in found)
    numbers = (median(one.requests for one in found), median(one.prompt_tokens for one in found), computed)
    spread = f" ({shares[0]:.1f} to {shares[-1]:.1f})" if len(shares) > 1 else ""
    return between.join([*(f"{number:8,.0f}" for number in numbers), f"{median(shares):5.1f} %{spread}"])


async def ballot(bench: Bench) -> None:
    """Eight votes on one order, and on both orders, with and without `n`."""
    for takes_n in (True, False):
        client = bench.client()
        client.quirks.takes_n = takes_n
        judge, name = ModelJudge(CONFIG.tournament, client), "n" if takes_n else "single requests"
        problem, pair, ledger = bench.text(PROBLEM_WORDS), bench.candidates(2), Ledger("bench")
        one = judge.asker.ask(judge.sample, problem, tuple(pair), n=8, seed=1, ledger=ledger)
        await counted(bench, client, f"8 votes, one order, {name}", one)
        for what, fresh in (("new task", True), ("new pair of a known task", False)):
            problem = bench.text(PROBLEM_WORDS) if fresh else problem
            pair = bench.candidates(2)
            votes = judge.vote(problem, pair, count=8, first=0, seed=1, ledger=ledger)
            await counted(bench, client, f"8 votes, both orders, {what}, {name}", votes)
        met = [pair[0], *bench.candidates(1)]
        await judge.vote(problem, [met[1], *bench.candidates(1)], count=2, first=0, seed=2, ledger=ledger)
        votes = judge.vote(problem, met, count=8, first=0, seed=3, ledger=ledger)
        await counted(bench, client, f"8 votes, both orders, both played before, {name}", votes)
        await client.close()


async def bracket(bench: Bench) -> None:
    """RTV over 16 candidates, G = 2, V = 8: the ballots of a heat as they come."""
    for takes_n, early, times in ((False, "never", 1), (False, "balanced", 1), (True, "never", 1), (False, "never", 3)):
        client = bench.client()
        client.quirks.takes_n = takes_n
        sampled = CONFIG.tournament.judge.model_copy(update={"votes_from": "samples"})
        config = CONFIG.tournament.model_copy(update={"early_stop": early, "judge": sampled})
        entrants = {one.id: asyncio.ensure_future(_given(one)) for one in bench.candidates(16, times)}
        case = Case(problem=bench.text(PROBLEM_WORDS), seed=1, ledger=Ledger("bench"), journal=MemoryJournal())
        selection = open_selector(config, client).select(entrants, 1, case)
        how = f"{'n' if takes_n else 'single requests'}, early_stop {early}" + ", summaries x 3" * (times > 1)
        await counted(bench, client, f"bracket of 16, {how}", selection)
        await client.close()


async def _given(candidate: Candidate) -> Candidate | None:
    return candidate


async def play(bench: Bench, client: OpenAIModel, ledger: Ledger, steps: int, task: Assignment) -> None:
    """Play one rollout.

    Args:
        bench: the server.
        client: a client of it.
        ledger: the rollout's ledger.
        steps: number of steps.
        task: the rollout's task.
    """
    # Random weights produce malformed replies now and then; they must not end the rollout.
    settings: AgentConfig = CONFIG.agent.model_copy(update={"step_limit": steps, "max_format_errors": steps})
    await BashAgent(settings).run(task, Sandbox(bench), client, ledger, lambda _: None)  # type: ignore[arg-type]


def assignment(bench: Bench, index: int, instruction: str, refinement: tuple[str, ...] = ()) -> Assignment:
    """A rollout's task.

    Args:
        bench: source of randomness.
        index: number of the rollout.
        instruction: the task's statement.
        refinement: records of earlier attempts.
    """
    return Assignment(
        rollout_id=f"heat-0/rollout-{index:02d}",
        task_id="bench",
        instruction=instruction,
        workdir="/testbed",
        seed=bench.rng.randrange(2**31),
        refinement=refinement,
        sampling=Sampling(max_tokens=512),
    )


async def rollout(bench: Bench) -> None:
    """The steps of one rollout: the first of a task, and the first of another."""
    for steps in (16, 30):
        instruction = bench.text(PROBLEM_WORDS)
        for which in ("the first", "another"):
            client = bench.client(extra_body=bench.calls)
            work = play(bench, client, Ledger("bench"), steps, assignment(bench, 0, instruction))
            await counted(bench, client, f"{steps} steps, {which} rollout of a task", work)
            await client.close()


async def heat(bench: Bench) -> None:
    """Rollouts of a second heat, which share the task and two summaries."""
    for steps in (1, 8):
        instruction, context = bench.text(PROBLEM_WORDS), (bench.text(SUMMARY_WORDS), bench.text(SUMMARY_WORDS))
        client = bench.client(extra_body=bench.calls)
        task = [assignment(bench, index, instruction, context) for index in range(8)]
        work = asyncio.gather(*(play(bench, client, Ledger("bench"), steps, one) for one in task))
        await counted(bench, client, f"8 rollouts of a second heat, {steps} step(s) each", work)
        await client.close()


async def flight(bench: Bench) -> None:
    """Requests in flight compared with the configured concurrency, while callers wait for their turn."""
    client = bench.client(max_concurrency=8, extra_body={**bench.closes, "ignore_eos": True})
    shares: list[float] = []
    served: list[int] = []

    async def watch() -> None:
        while True:
            if client.pool.endpoints[0].limit.waiting:
                shares.append(client.pool.endpoints[0].limit.holders / 8)
            await asyncio.sleep(0.005)

    async def look() -> None:
        while True:
            counters = await client.server.counters()
            if counters is not None and client.pool.endpoints[0].limit.waiting:
                served.append(counters.running + counters.waiting)
            await asyncio.sleep(0.05)

    watching = [asyncio.ensure_future(watch()), asyncio.ensure_future(look())]
    messages = [{"role": "user", "content": bench.text(100)}]
    calls = (
        client.complete(messages, ledger=Ledger("bench"), sampling=Sampling(max_tokens=200, seed=seed))
        for seed in range(96)
    )
    began = time.perf_counter()
    await counted(bench, client, "96 calls, 8 at once", asyncio.gather(*calls))
    for one in watching:
        one.cancel()
    mean = 100 * sum(shares) / len(shares)
    print(
        f"in flight while others wait: {mean:.1f} % of 8, {len(shares)} looks in {time.perf_counter() - began:.1f} s;",
        end="",
    )
    print(f" at the server {sum(served) / max(len(served), 1):.1f} of 8 ({len(served)} looks)")
    await client.close()


PARTS: dict[str, Callable[[Bench], Coroutine[Any, Any, None]]] = {
    "ballot": ballot,
    "bracket": bracket,
    "rollout": rollout,
    "heat": heat,
    "flight": flight,
}


@contextmanager
def server(options: argparse.Namespace) -> Iterator[Bench]:
    """The given server, or a tiny one."""
    rng = random.Random()
    if options.base_url and options.model != NAME:
        yield Bench(options.base_url, options.model, {}, {"tool_choice": "required"}, rng, {})
        return
    with nullcontext(options.base_url) if options.base_url else tiny_server(*LONG) as base_url:
        yield Bench(base_url, NAME, dict(CLOSES), never_submits(base_url), rng, {})


def main() -> None:
    """Run the selected parts with every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[])
    parser.add_argument("--base-url")
    parser.add_argument("--model", default=NAME)
    parser.add_argument("--seeds", type=int, nargs="+", default=[time.time_ns() % 10**6])
    options = parser.parse_args()
    if not options.base_url and missing():
        print(missing())
        return
    with server(options) as bench:
        for seed in options.seeds:
            print(f"seed {seed}, load {os.getloadavg()[0]:.1f}")
            bench.rng.seed(seed)
            for name in options.parts or PARTS:
                asyncio.run(PARTS[name](bench))
    if len(options.seeds) > 1:
        for what, found in bench.found.items():
            print(f"| {what} | {_row(found, ' | ')} |")


if __name__ == "__main__":
    main()
