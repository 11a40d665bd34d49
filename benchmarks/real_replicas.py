"""Prefix-cache hits of two real vLLM servers on the CPU, with sessions and without, from their own `/metrics`.

    python -m benchmarks.real_replicas            # needs scripts/tool-env vllm

`heats serve --replicas 2` serves a tiny model of random weights. Conversations of several turns share a beginning and
grow; each turn is one request of the real client. Without sessions, each request goes to a random server, as behind a
router without session support.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from agents.llm.base import History, Sampling, Session
from agents.llm.config import ModelConfig
from agents.llm.counters import Counters
from agents.llm.ledger import Ledger
from agents.llm.openai_client import OpenAIModel
from agents.llm.session import in_session, session_id
from benchmarks.tiny_vllm import _ENVIRONMENT, _EXTRA, NAME, TOOL, tiny_model

WORDS = [f"word{number}" for number in range(400)]


@contextmanager
def two_servers(port: int) -> Iterator[list[str]]:
    """Two servers by `heats serve --replicas 2`; yields their base URLs."""
    command = [sys.executable, "-m", "heats", "serve", str(tiny_model()), "--name", NAME, "--tool-parser", "hermes"]
    command += ["--vllm", str(TOOL / "bin" / "vllm"), "--replicas", "2", "--no-router", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--", *_EXTRA],
        env={**os.environ, **_ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        ready = [line.split()[1].rstrip(",") for line in (process.stdout.readline() for _ in range(2)) if line]
        if len(ready) < 2:
            raise RuntimeError(f"the servers did not start: exit code {process.wait()}")
        yield ready
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)


async def play(urls: list[str], options: argparse.Namespace, name: str, *, sessions: bool) -> Counters:
    """Run all conversations; returns the servers' counters for that time."""
    groups = [tuple(urls)] if sessions else [(url,) for url in urls]
    models = [OpenAIModel(ModelConfig(name=NAME, base_url=group)) for group in groups]
    servers, ledger = [server for model in models for server in model.servers], Ledger("bench")
    shared = random.Random(name).choices(WORDS, k=150)

    async def rollout(number: int) -> None:
        rng, history = random.Random(f"{name}/{number}"), History()
        session = Session(id=session_id(name, number))
        async with in_session(models[0], session):
            for turn in range(options.turns):
                told = [*(shared if not turn else ()), *rng.choices(WORDS, k=60)]
                history.append({"role": "user", "content": " ".join(told)})
                sampling = Sampling(seed=number, turn=turn, max_tokens=16, session=session)
                reply = await rng.choice(models).complete(history, ledger=ledger, sampling=sampling)
                history.append(reply.first.message)
                await asyncio.sleep(rng.random())

    try:
        before = [await server.counters() for server in servers]
        await asyncio.gather(*map(rollout, range(options.rollouts)))
        after = [await server.counters() for server in servers]
    finally:
        for model in models:
            await model.close()
    pairs = zip(after, before, strict=True)
    return sum((end - start for end, start in pairs if end and start), Counters())


def main() -> None:
    """Play the same work twice and print the hits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=8)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--port", type=int, default=8431)
    options = parser.parse_args()
    with two_servers(options.port) as urls:
        for sessions in (False, True):
            counts = asyncio.run(play(urls, options, f"sessions {sessions}", sessions=sessions))
            print(
                f"{'with' if sessions else 'without'} sessions: {counts.prefix_hits:,} of {counts.prefix_queries:,} "
                f"prompt tokens from the cache, {counts.hit_rate or 0:.1%}; {counts.requests} requests",
                flush=True,
            )


if __name__ == "__main__":
    main()
