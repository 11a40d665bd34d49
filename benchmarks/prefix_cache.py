"""How much of its prompts a vLLM server has in its prefix cache, by its own count, and whether it is kept busy.

    python -m benchmarks.prefix_cache                   # starts a tiny model on the CPU; about two minutes
    python -m benchmarks.prefix_cache ballot rollout    # parts: ballot, tournament, rollout, heat, flight
    python -m benchmarks.prefix_cache --base-url http://localhost:8000/v1 --model NAME

Every part uses texts of its own, so that it starts with a cold cache. `computed` are prompt tokens that the server
had to compute; an `n` of 8 counts its prompt eight times, as the server does.
"""

import argparse
import asyncio
import pydoc_data.topics
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Bench:
    """A server to measure, and the fields that its requests need."""

    base_url: str
    model: str
    closes: dict[str, object]
    calls: dict[str, object]
    rng: random.Random

    def client(self, **settings: object) -> OpenAIModel:
        """A model client."""
        fields = {"name": self.model, "base_url": self.base_url, "extra_body": self.closes, **settings}
        return OpenAIModel(ModelConfig.model_validate(fields))

    def text(self, words: int) -> str:
        """Prose that nothing else shares."""
        return " ".join(self.rng.choices(WORDS, k=words))

    def candidates(self, count: int) -> list[Candidate]:
        """Attempts with summaries of usual length."""
        return [Candidate(id=f"r{index}", summary=self.text(SUMMARY_WORDS)) for index in range(count)]


class Sandbox:
    """Prints other words for every command."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    async def exec(self, command: str, **more: object) -> ExecResult:
        """A usual output."""
        output = self.bench.text(OUTPUT_WORDS).encode()
        return ExecResult("exited", 0, output, stdout_total=len(output))


async def counted(client: OpenAIModel, what: str, work: Awaitable[object]) -> Counters:
    """Do some work and say what the server counted meanwhile."""
    before = await client.counters()
    await work
    after = await client.counters()
    assert before is not None and after is not None, "the server has no /metrics"
    found = after - before
    computed = found.prefix_queries - found.prefix_hits
    share = 100 * (found.hit_rate or 0)
    print(
        f"{what:58} {found.requests:4} requests {found.prompt_tokens:8,} prompt {computed:7,} computed {share:5.1f} %"
    )
    return found


async def ballot(bench: Bench) -> None:
    """Eight votes of one order, and of both orders, with `n` and without."""
    for takes_n in (True, False):
        client = bench.client()
        client.quirks.takes_n = takes_n
        judge, name = ModelJudge(CONFIG.tournament, client), "n" if takes_n else "single requests"
        problem, pair = bench.text(PROBLEM_WORDS), bench.candidates(2)
        ledger = Ledger("bench")
        shown, ask = tuple(pair), judge.asker.ask
        one = ask(judge.question, problem, shown, n=8, seed=1, ledger=ledger)
        await counted(client, f"8 votes of one order, {name}", one)
        pair = bench.candidates(2)
        votes = judge.vote(problem, pair, count=8, first=0, seed=1, ledger=ledger)
        await counted(client, f"8 votes, both orders, new candidates, {name}", votes)
        other = [pair[0], *bench.candidates(1)]
        votes = judge.vote(problem, other, count=8, first=0, seed=2, ledger=ledger)
        await counted(client, f"8 votes, both orders, one candidate played before, {name}", votes)
        await client.close()


async def tournament(bench: Bench) -> None:
    """RTV over 8 candidates, G = 2, V = 8, without `n`."""
    client = bench.client()
    client.quirks.takes_n = False
    config = CONFIG.tournament.model_copy(update={"early_stop": "never"})
    entrants = {one.id: asyncio.ensure_future(_given(one)) for one in bench.candidates(8)}
    case = Case(problem=bench.text(PROBLEM_WORDS), seed=1, ledger=Ledger("bench"), journal=MemoryJournal())
    selection = open_selector(config, client).select(entrants, 1, case)
    await counted(client, "a tournament of 8, 56 votes, single requests", selection)
    await client.close()


async def _given(candidate: Candidate) -> Candidate | None:
    return candidate


async def play(bench: Bench, client: OpenAIModel, ledger: Ledger, steps: int, task: Assignment) -> None:
    """One rollout."""
    settings: AgentConfig = CONFIG.agent.model_copy(update={"step_limit": steps})
    await BashAgent(settings).run(task, Sandbox(bench), client, ledger, lambda _: None)  # type: ignore[arg-type]


def assignment(bench: Bench, index: int, instruction: str, refinement: tuple[str, ...] = ()) -> Assignment:
    """A rollout's task."""
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
    """The steps of one rollout."""
    client = bench.client(extra_body=bench.calls)
    task = assignment(bench, 0, bench.text(PROBLEM_WORDS))
    await counted(client, "16 steps of one rollout", play(bench, client, Ledger("bench"), 16, task))
    await client.close()


async def heat(bench: Bench) -> None:
    """Rollouts of a second heat, which share the task and two summaries."""
    instruction, context = bench.text(PROBLEM_WORDS), (bench.text(SUMMARY_WORDS), bench.text(SUMMARY_WORDS))
    for steps in (1, 8):
        client = bench.client(extra_body=bench.calls)
        task = [assignment(bench, index, instruction, context) for index in range(8)]
        work = asyncio.gather(*(play(bench, client, Ledger("bench"), steps, one) for one in task))
        await counted(client, f"8 rollouts of a second heat, {steps} step(s) each", work)
        instruction, context = bench.text(PROBLEM_WORDS), (bench.text(SUMMARY_WORDS), bench.text(SUMMARY_WORDS))
        await client.close()


async def flight(bench: Bench) -> None:
    """Requests in flight against the configured concurrency, while callers wait for their turn."""
    client = bench.client(max_concurrency=8, extra_body={**bench.closes, "ignore_eos": True})
    shares: list[float] = []
    served: list[int] = []

    async def watch() -> None:
        while True:
            if client.limit.waiting:
                shares.append(client.limit.in_flight / 8)
            await asyncio.sleep(0.005)

    async def look() -> None:
        while True:
            counters = await client.counters()
            if counters is not None and client.limit.waiting:
                served.append(counters.running + counters.waiting)
            await asyncio.sleep(0.05)

    watching = [asyncio.ensure_future(watch()), asyncio.ensure_future(look())]
    messages = [{"role": "user", "content": bench.text(100)}]
    calls = (
        client.complete(messages, ledger=Ledger("bench"), sampling=Sampling(max_tokens=200, seed=seed))
        for seed in range(96)
    )
    began = time.perf_counter()
    await counted(client, "96 calls, 8 at once", asyncio.gather(*calls))
    for one in watching:
        one.cancel()
    mean = 100 * sum(shares) / len(shares)
    print(
        f"in flight while others wait: {mean:.1f} % of 8, {len(shares)} looks in {time.perf_counter() - began:.1f} s;",
        end="",
    )
    print(f" at the server {sum(served) / max(len(served), 1):.1f} of 8 ({len(served)} looks)")
    await client.close()


PARTS: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "ballot": ballot,
    "tournament": tournament,
    "rollout": rollout,
    "heat": heat,
    "flight": flight,
}


@contextmanager
def server(options: argparse.Namespace) -> Iterator[Bench]:
    """The server named, or a tiny one."""
    rng = random.Random(options.seed)
    if options.base_url and options.model != NAME:
        yield Bench(options.base_url, options.model, {}, {"tool_choice": "required"}, rng)
        return
    with nullcontext(options.base_url) if options.base_url else tiny_server() as base_url:
        yield Bench(base_url, NAME, dict(CLOSES), never_submits(base_url), rng)


def main() -> None:
    """Run the wanted parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[])
    parser.add_argument("--base-url")
    parser.add_argument("--model", default=NAME)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    options = parser.parse_args()
    if not options.base_url and missing():
        print(missing())
        return
    print(f"seed {options.seed}")
    with server(options) as bench:
        for name in options.parts or PARTS:
            asyncio.run(PARTS[name](bench))


if __name__ == "__main__":
    main()
