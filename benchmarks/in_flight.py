"""How much of the ideal throughput many rollouts reach with a server of a known latency, with default settings.

    python -m benchmarks.in_flight                  # 256 rollouts of 12 turns, 1 s a reply
    python -m benchmarks.in_flight --most 100       # the server answers 429 above 100 requests at once

The client is the real one, the server a process of its own that answers after the latency. The ideal is rollouts (or
what the server takes at once) divided by the latency. Rollouts begin spread over one latency, as those that wait for
their sandboxes do. What is counted begins after that, and ends when fewer rollouts are left than the server takes.
Prints replies a second, the share of the ideal, how many requests were refused, and the memory and processor time of
this process.
"""

import argparse
import asyncio
import resource
import subprocess
import sys
import time
from contextlib import contextmanager

from agents.llm.base import History, Sampling, Session
from agents.llm.config import ModelConfig
from agents.llm.ledger import Ledger
from agents.llm.openai_client import OpenAIModel
from agents.llm.session import in_session, session_id

TEXT = "x" * 200


@contextmanager
def model_server(latency_s: float, most: int | None):
    """The fake server as a process of its own; yields its base URL."""
    command = [sys.executable, "-m", "agents.llm.fake_server", "--latency", str(latency_s)]
    command += ["--max-in-flight", str(most)] if most else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


async def rollout(model: OpenAIModel, number: int, turns: int, ledger: Ledger, answered: list[float]) -> None:
    """One conversation of so many turns; adds the time of each reply."""
    session, history = Session(id=session_id("bench", number)), History()
    async with in_session(model, session):
        for turn in range(turns):
            history.append({"role": "user", "content": f"{number} {turn} {TEXT}"})
            reply = await model.complete(
                history, ledger=ledger, sampling=Sampling(seed=number, turn=turn, session=session)
            )
            answered.append(time.perf_counter())
            history.append(reply.first.message)


async def play(base_url: str, options: argparse.Namespace, ledger: Ledger) -> float:
    """Play all rollouts; returns the replies a second while there was enough to do."""
    workers = options.rollouts
    model = OpenAIModel(ModelConfig(name="fake-model", base_url=base_url), workers=workers)
    answered: list[float] = []
    ends: list[float] = []

    async def later(number: int) -> None:
        await asyncio.sleep(number / workers * options.latency)
        await rollout(model, number, options.turns, ledger, answered)
        ends.append(time.perf_counter())

    began = time.perf_counter() + 2 * options.latency
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(later(number))
    finally:
        await model.close()
    until = ends[max(0, workers - (options.most or workers))]
    return sum(began <= at < until for at in answered) / (until - began)


def main() -> None:
    """Run it once and print a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=256)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--latency", type=float, default=1.0, help="seconds a reply")
    parser.add_argument("--most", type=int, default=None, help="requests at once above which the server answers 429")
    options = parser.parse_args()
    with model_server(options.latency, options.most) as base_url:
        ledger = Ledger("bench")
        rate = asyncio.run(play(base_url, options, ledger))
    requests, used = options.rollouts * options.turns, resource.getrusage(resource.RUSAGE_SELF)
    ideal = min(options.rollouts, options.most or options.rollouts) / options.latency
    print(
        f"{options.rollouts} rollouts of {options.turns} turns: {rate:.1f} replies/s, {rate / ideal:.1%} of the ideal "
        f"{ideal:g}; {ledger.spent.calls - requests} of {ledger.spent.calls} requests refused; "
        f"{used.ru_maxrss >> 10} MiB, {1000 * (used.ru_utime + used.ru_stime) / requests:.2f} ms of processor time each"
    )


if __name__ == "__main__":
    main()
