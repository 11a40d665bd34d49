"""What a model call costs through the gateway, next to the same call made directly.

    .venv/bin/python benchmarks/gateway.py [--calls 200] [--rollouts 64] [--sandbox docker|bubblewrap]

A scripted server without latency runs as a process of its own. The client is Python's `http.client`, with a connection
kept open, as agents' SDKs do: on this machine straight to the server, and in a sandbox without network through
forwarder, socket, gateway and heats' client. With `--rollouts`, that many gateways are used at once, each by its own
client on this machine.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from agents.base import Assignment
from agents.gateway.asking import Asking
from agents.gateway.door import NAME, Door
from agents.gateway.line import open_line
from agents.llm import ModelConfig, open_model
from agents.llm.base import ChatModel
from agents.llm.ledger import Ledger
from sandbox import SandboxConfig, SandboxSpec, open_backend

CLIENT = """
import http.client, json, sys, time
host, port, key, calls, stream = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5] == "stream"
words = "a few words of a task " * 400
body = json.dumps({"model": "fake-model", "stream": stream, "messages": [{"role": "user", "content": words}]})
connection = http.client.HTTPConnection(host, port)
times = []
for _ in range(calls + 10):
    start = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", body,
                       {"Authorization": "Bearer " + key, "Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()
    times.append(time.perf_counter() - start)
print(json.dumps(times[10:]))
"""


def rollout(model: ChatModel) -> Asking:
    """A rollout without limits."""
    task = Assignment(rollout_id="r", task_id="t", instruction="i", workdir="/testbed", seed=1)
    return Asking(model, Ledger("rollout"), task, step_limit=10**9)


def told(name: str, seconds: list[float], direct: float = 0.0) -> float:
    """Print a row; returns the median in ms."""
    ms = sorted(1000 * one for one in seconds)
    middle = statistics.median(ms)
    more = f", {middle - direct:+.2f} ms" if direct else ""
    print(f"{name:44} median {middle:6.2f} ms, p95 {ms[int(0.95 * len(ms))]:6.2f} ms{more}", flush=True)
    return middle


async def on_host(port: int, calls: int) -> list[float]:
    """Calls straight to the server."""
    argv = [sys.executable, "-c", CLIENT, "127.0.0.1", str(port), "none", str(calls), "whole"]
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, check=True)
    times: list[float] = json.loads(done.stdout)
    return times


async def in_sandbox(model: ChatModel, kind: str, calls: int, how: str) -> list[float]:
    """Calls from a sandbox through its gateway."""
    backend = await open_backend(SandboxConfig(backend=kind))
    try:
        sandbox = await backend.start(SandboxSpec(image="", labels={"run": "benchmark"}))
        try:
            await sandbox.write_file("client.py", CLIENT.encode())
            async with open_line(rollout(model), sandbox, "/tmp/line") as line:
                port = line.base_url.rsplit(":", 1)[1].removesuffix("/v1")
                command = f"python3 client.py 127.0.0.1 {port} {line.token} {calls} {how}"
                result = await sandbox.exec(command, timeout=600)
                times: list[float] = json.loads(result.text())
                return times
        finally:
            await sandbox.close()
    finally:
        await backend.close()


async def at_once(model: ChatModel, rollouts: int, calls: int) -> tuple[list[float], float]:
    """Calls through many gateways at once; returns the time of each and of all."""
    body = {"model": "m", "messages": [{"role": "user", "content": "a few words of a task " * 400}]}

    async def one(folder: Path) -> list[float]:
        door = Door(rollout(model))
        os.mkdir(folder)
        await door.open(folder)
        times = []
        connector = aiohttp.UnixConnector(str(folder / NAME))
        async with aiohttp.ClientSession(connector=connector, headers={"x-api-key": door.token}) as http:
            for _ in range(calls):
                start = time.perf_counter()
                async with http.post("http://g/v1/chat/completions", json=body) as answer:
                    await answer.read()
                    assert answer.status == 200
                times.append(time.perf_counter() - start)
        await door.close()
        return times

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        found = await asyncio.gather(*(one(Path(folder, str(n))) for n in range(rollouts)))
    return [time_s for times in found for time_s in times], time.perf_counter() - start


async def straight_at_once(model: ChatModel, rollouts: int, calls: int) -> tuple[list[float], float]:
    """The same calls by heats' client without a gateway."""
    messages = [{"role": "user", "content": "a few words of a task " * 400}]

    async def one() -> list[float]:
        times = []
        for _ in range(calls):
            begin = time.perf_counter()
            await model.complete(messages, ledger=Ledger("rollout"))
            times.append(time.perf_counter() - begin)
        return times

    start = time.perf_counter()
    found = await asyncio.gather(*(one() for _ in range(rollouts)))
    return [time_s for times in found for time_s in times], time.perf_counter() - start


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rollouts", type=int, default=64)
    parser.add_argument("--sandbox", default="docker")
    asked = parser.parse_args()
    argv = [sys.executable, "-m", "agents.llm.fake_server"]
    server = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
    assert server.stdout is not None
    base_url = (await server.stdout.readline()).decode().strip()
    try:
        async with AsyncExitStack() as stack:
            config = ModelConfig(name="fake-model", base_url=base_url)
            model = open_model(config, workers=asked.rollouts)
            stack.push_async_callback(model.close)
            direct = told("direct", await on_host(int(base_url.rsplit(":", 1)[1][:-3]), asked.calls))
            for how in ("whole", "stream"):
                times = await in_sandbox(model, asked.sandbox, asked.calls, how)
                told(f"from a {asked.sandbox} sandbox, {how}", times, direct)
            for name, measure in (("heats' client alone", straight_at_once), ("gateways", at_once)):
                begun = time.process_time()
                times, all_s = await measure(model, asked.rollouts, max(5, asked.calls // 10))
                cpu_ms = 1000 * (time.process_time() - begun) / len(times)
                told(f"{name}, {asked.rollouts} at once", times)
                print(f"    {len(times) / all_s:.0f} calls/s, {cpu_ms:.2f} ms of CPU per call in this process")
    finally:
        server.terminate()
        await server.wait()


if __name__ == "__main__":
    asyncio.run(main())
