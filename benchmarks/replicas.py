"""Benefit of session identity with several servers, simulated with paged prefix caches in virtual time.

    python -m benchmarks.replicas                         # 1 to 8 servers, 8 tasks each, every way of routing
    python -m benchmarks.replicas --servers 8 --tasks 64  # one size
    python -m benchmarks.replicas --holds 0.5             # caches that hold half of the sessions at work

The workload is that of heats: N rollouts of T heats per task, which share a prefix and alternate between turns and
commands, followed by a summary each and a bracket of votes. A server prefills uncached tokens one prompt at a time and
samples replies concurrently, more slowly with more replies and during a prefill. Blocks of running requests cannot be
evicted, and a prompt waits until there is room. Routing and admission use heats' own code (`agents.llm.pool`).

Routing: `infinite` is one server with a cache that never evicts; `round-robin` knows no sessions; `hash` sends a
session to a server by its id; `sticky` is heats; `sticky, all` is heats without admission control. Prints for each the
fraction of prompt tokens found in a cache, the same relative to `infinite`, sampled tokens per second, and the time to
first token (median and 95th percentile).
"""

import argparse
import asyncio
import random
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles

from agents.llm.base import Session
from agents.llm.counters import Counters
from agents.llm.pool import Endpoint, Pool
from agents.llm.session import session_id
from benchmarks.virtual_time import run as run_virtually

BLOCK = 16
PREFILL = 12_000.0
"""Prefill speed of a server, in prompt tokens per second."""
TOKEN_S, CROWD = 0.02, 48.0
"""Seconds per sampled token, and the number of concurrent replies that doubles it."""
STALL = 0.8
"""Fraction of sampling speed lost during a prefill, since each step also processes a chunk of the prompt."""
SESSION = 16_000
"""Tokens of a rollout's conversation, about the mean over its turns at the end."""
WORKERS = 16
"""Concurrent rollouts per server."""
ROUTING = ("infinite", "round-robin", "hash", "sticky, all", "sticky")

Chain = tuple[str, ...]


@dataclass
class CacheServer:
    """One server: a block-based prefix cache, one prefill at a time, concurrent replies.

    A chain is a text that may be a prefix of others; it is evicted from its end, least recently used chain first.
    """

    place: str
    capacity: float
    cached: "OrderedDict[Chain, int]" = field(default_factory=OrderedDict)
    users: dict[Chain, int] = field(default_factory=dict)
    counts: Counters = field(default_factory=Counters)
    prompts: asyncio.Lock = field(default_factory=asyncio.Lock)
    freed: asyncio.Condition = field(default_factory=asyncio.Condition)
    running: int = 0
    held: int = 0
    computed: float = 0.0
    computing_since: float | None = None

    async def ask(self, chains: list[tuple[Chain, int]], reply: int) -> float:
        """Serve one request.

        Args:
            chains: what its prompt is made of, in order, with tokens; the reply becomes part of the last one.
            reply: tokens to sample.

        Returns:
            Seconds until the first token.
        """
        began = asyncio.get_running_loop().time()
        size = sum(tokens for _, tokens in chains) + reply
        async with self.freed:
            await self.freed.wait_for(lambda: self.held + size <= self.capacity or not self.running)
            self.running, self.held = self.running + 1, self.held + size
        for chain, _ in chains:
            self.users[chain] = self.users.get(chain, 0) + 1
        try:
            async with self.prompts:
                self.computing_since = asyncio.get_running_loop().time()
                await asyncio.sleep(self._look_up(chains) / PREFILL)
                self.computed, self.computing_since = self._computed(), None
            first_token = asyncio.get_running_loop().time() - began
            self._keep(*chains[-1], more=reply)
            await self._sample(reply * TOKEN_S * (1 + self.running / CROWD))
        finally:
            for chain, _ in chains:
                self.users[chain] -= 1
            async with self.freed:
                self.running, self.held = self.running - 1, self.held - size
                self.freed.notify_all()
        return first_token

    async def _sample(self, seconds: float) -> None:
        """Sample a reply, slowed down by concurrent prefills."""
        while seconds > 1e-3:
            before = self._computed()
            await asyncio.sleep(seconds)
            seconds = STALL * (self._computed() - before)

    def _computed(self) -> float:
        """Return the total prefill time so far in seconds."""
        since = self.computing_since
        return self.computed + (asyncio.get_running_loop().time() - since if since is not None else 0.0)

    def _look_up(self, chains: list[tuple[Chain, int]]) -> int:
        """Return the prompt tokens that need prefill, and add them to the cache."""
        total, found, unbroken = sum(tokens for _, tokens in chains), 0, True
        for chain, tokens in chains:
            if unbroken:
                found += min(self.cached.get(chain, 0), tokens) // BLOCK * BLOCK
                unbroken = self.cached.get(chain, 0) >= tokens // BLOCK * BLOCK
            self._keep(chain, tokens)
        self.counts += Counters(requests=1, prompt_tokens=total, prefix_queries=total, prefix_hits=found)
        return total - found

    def _keep(self, chain: Chain, tokens: int, more: int = 0) -> None:
        self.cached[chain] = max(self.cached.get(chain, 0), tokens + more)
        self.cached.move_to_end(chain)
        over = sum(self.cached.values()) - self.capacity if self.capacity < 1e12 else 0
        for old in list(self.cached) if over > 0 else ():
            if over <= 0:
                break
            if self.users.get(old):
                continue
            gone = min(over, self.cached[old])
            self.cached[old] -= int(gone)
            over -= gone
            if self.cached[old] <= 0:
                del self.cached[old]

    async def counters(self) -> Counters:
        """Return counters like those of vLLM's `/metrics` page."""
        return self.counts.model_copy(update={"running": self.running, "kv_use": min(1.0, self.held / self.capacity)})

    async def answers(self) -> bool:
        """It never dies."""
        return True

    async def finish(self, session: str) -> None:
        """There is nothing to release."""


class Field:
    """Servers, a way of routing, and what was measured."""

    def __init__(self, routing: str, servers: int, capacity: float) -> None:
        self.routing = routing
        count, capacity = (1, 1e15) if routing == "infinite" else (servers, capacity)
        self.servers = [CacheServer(f"server {number}", capacity) for number in range(count)]
        self.endpoints = [Endpoint(server, 1 << 20, 20.0) for server in self.servers]  # type: ignore[arg-type]
        self.pool = Pool(self.endpoints, [])
        self.waits: list[float] = []
        self.sampled, self.asked = 0, 0
        if routing == "sticky, all":
            for one in self.endpoints:
                one.watch.counts = False

    @asynccontextmanager
    async def session(self, *scope: str | int, order: int = 0) -> AsyncIterator[Session]:
        """A session for the block."""
        one = Session(id=session_id(*scope), order=order)
        sticky = self.routing.startswith("sticky")
        if sticky:
            await self.pool.begin(one)
        try:
            yield one
        finally:
            if sticky:
                self.pool.end(one)

    async def ask(self, session: Session, chains: list[tuple[Chain, int]], reply: int) -> None:
        """One request of a session."""
        self.asked += 1
        if self.routing.startswith("sticky"):
            await self.pool.admit(session)
            async with self.pool.turn(session, capped=False) as endpoint:
                wait = await endpoint.server.ask(chains, reply)  # type: ignore[attr-defined]
        else:
            number = int(session.id, 16) if self.routing == "hash" else self.asked
            wait = await self.servers[number % len(self.servers)].ask(chains, reply)
        self.waits.append(wait)
        self.sampled += reply


async def play(where: Field, tasks: int, rollouts: int, heats: int) -> None:
    """Play every task on a fixed number of workers, the oldest task first."""
    slots = asyncio.Semaphore(WORKERS * (1 if where.routing == "infinite" else len(where.servers)))
    async with asyncio.TaskGroup() as group:
        for task in range(tasks):
            group.create_task(one_task(where, slots, task, rollouts, heats))
    await where.pool.close()


async def one_task(where: Field, slots: asyncio.Semaphore, task: int, rollouts: int, heats: int) -> None:
    """All heats of a task: rollouts, summaries, a bracket."""
    for heat in range(heats):
        await asyncio.gather(*(one_rollout(where, slots, task, heat, number) for number in range(rollouts)))
        summaries = (one_request(where, ("summaries", task), ("summary", task, heat, n)) for n in range(rollouts))
        await asyncio.gather(*summaries)
        field_ = rollouts
        while field_ > 1:
            field_ //= 2
            await asyncio.gather(*(one_match(where, task, heat, field_, n) for n in range(field_)))


async def one_rollout(where: Field, slots: asyncio.Semaphore, task: int, heat: int, number: int) -> None:
    """Turns that grow one conversation, with a command after each."""
    rng = random.Random(f"{task}/{heat}/{number}")
    shared: Chain = ("task", str(task), str(heat))
    own: Chain = ("rollout", str(task), str(heat), str(number))
    async with slots, where.session(*own, order=task) as session:
        told, grown = 3000 + 5000 * heat, 0
        for _ in range(rng.randint(15, 35)):
            reply = rng.randint(80, 300)
            await where.ask(session, [(shared, told), (own, grown)], reply)
            grown += reply + min(2500, int(rng.lognormvariate(6.0, 0.8)))
            await asyncio.sleep(rng.expovariate(1 / 3.0))


async def one_request(where: Field, scope: tuple[str | int, ...], own: tuple[str | int, ...]) -> None:
    """A summary: the task's session, a prompt of its own."""
    async with where.session(*scope) as session:
        await where.ask(session, [(("summaries", str(scope[1])), 1500), (tuple(map(str, own)), 8000)], 500)


async def one_match(where: Field, task: int, heat: int, field_: int, number: int) -> None:
    """Eight votes: four requests for each of two orders."""
    scope = ("match", task, heat, field_, number)
    async with where.session(*scope) as session:
        for vote in range(8):
            order = tuple(map(str, (*scope, vote % 2)))
            await where.ask(session, [(("judge", str(task)), 1500), (order, 5000)], 150)


def measured(routing: str, servers: int, tasks: int, options: argparse.Namespace) -> tuple[float, float, list[float]]:
    """Hit rate, sampled tokens a second and times to the first token of one way of routing."""
    capacity = options.holds * WORKERS * SESSION
    made: list[Field] = []

    async def main() -> None:
        made.append(Field(routing, servers, capacity))
        await play(made[0], tasks, options.rollouts, options.heats)

    _, seconds = run_virtually(main())
    counts = sum((server.counts for server in made[0].servers), Counters())
    return counts.hit_rate or 0.0, made[0].sampled / seconds, made[0].waits


def main() -> None:
    """Compare all ways of routing for each number of servers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--tasks", type=int, default=None, help="tasks in all; 8 for each server if not given")
    parser.add_argument("--rollouts", type=int, default=16)
    parser.add_argument("--heats", type=int, default=2)
    parser.add_argument("--holds", type=float, default=1.5, help="sessions at work that a cache holds, as a share")
    parser.add_argument("--routing", nargs="+", choices=ROUTING, default=list(ROUTING))
    options = parser.parse_args()
    print("servers  tasks  routing       hits  of best  tokens/s  first token: median    95 %")
    for servers in options.servers:
        tasks, best = options.tasks or 8 * servers, 0.0
        for routing in options.routing:
            hits, rate, waits = measured(routing, servers, tasks, options)
            best = hits if routing == "infinite" else best
            share = f"{hits / best:8.1%}" if best else f"{'':8}"
            print(
                f"{servers:7}  {tasks:5}  {routing:11} {hits:6.1%} {share}  {rate:8.0f}  {median(waits):18.2f} s "
                f"{quantiles(waits, n=20)[-1]:6.2f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
