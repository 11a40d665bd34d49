"""What a command costs: the channel compared with `docker exec` and a bare shell pipe, interleaved in one run.

    python -m benchmarks.sandbox_channel                    # everything, about two minutes
    python -m benchmarks.sandbox_channel round-trip output  # round-trip, processor, output, start, prepared, many

A bare pipe is one `docker exec -i C bash` that is sent `bash -c CMD </dev/null; echo MARK$?`: no timeout, no records,
no process control. Latencies are medians; ratios compare measurements of the same run. Processor time covers this
process and the containers' control groups, so other load on the machine does not count.
"""

import argparse
import asyncio
import itertools
import os
import resource
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from sandbox import Sandbox, SandboxBackend, SandboxConfig, SandboxLimits, SandboxSpec, open_backend
from sandbox.docker import DockerBackend
from sandbox.prepared import prepare_once

LABELS = {"run": "benchmark"}
MIB = 1 << 20
SET_UP = "mkdir -p /venv/lib; cd /venv/lib; for n in $(seq 2000); do head -c 5000 /dev/zero >$n; done"
"""Ten MB in 2000 files, as many as a small virtual environment has."""
CLOSING: list[asyncio.Task[None]] = []
Operation = Callable[[], Awaitable[None]]


def main() -> None:
    """Run the selected parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[])
    parser.add_argument("--image", default="heats-base:latest")
    parser.add_argument("--repeat", type=int, default=40, help="operations of each kind and sandbox")
    options = parser.parse_args()
    parts = {"round-trip": round_trip, "processor": processor, "output": output, "start": start_up}
    parts |= {"prepared": prepared, "many": many}
    for name in options.parts or parts:
        print(f"\n{name}")
        asyncio.run(parts[name](options.image, options.repeat))


class BarePipe:
    """A shell over pipes, and nothing else."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._in, self._out = process, process.stdin, process.stdout
        self._mark = f"@@{secrets.token_hex(8)}@@".encode()

    @classmethod
    async def open(cls, *argv: str) -> "BarePipe":
        """Start it."""
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, limit=1 << 18))

    async def run(self, command: str) -> int:
        """Run one command; returns how many bytes came back."""
        self._in.write(f"bash -c '{command}' </dev/null 2>&1; echo {self._mark.decode()}$?\n".encode())
        total, tail = 0, b""
        while self._mark not in tail or not tail.endswith(b"\n"):
            data = await self._out.read(1 << 18)
            total += len(data)
            tail = (tail + data)[-200:]
        return total

    async def close(self) -> None:
        """End it."""
        self._in.close()
        await self._process.wait()


async def round_trip(image: str, repeat: int) -> None:
    """`true`, with 1 and with 16 sandboxes at once."""
    for count in (1, 16):
        async with AsyncExitStack() as stack:
            sandboxes = await open_many(stack, image, count)
            pipes = [await open_pipe(stack, sandbox) for sandbox in sandboxes]
            rounds = repeat if count == 1 else max(5, repeat // 4)
            ways: dict[str, list[Operation]] = {
                "bare pipe": [lambda pipe=pipe: pipe.run("true") for pipe in pipes],
                "channel": [lambda sbx=sbx: checked(sbx, "true", True) for sbx in sandboxes],
                "channel, two streams": [lambda sbx=sbx: checked(sbx, "true", False) for sbx in sandboxes],
                "docker exec": [lambda sbx=sbx: docker_exec(sbx) for sbx in sandboxes],
            }
            report(f"{count} at once, `true`", await interleaved(ways, rounds), "bare pipe")


async def processor(image: str, repeat: int) -> None:
    """Processor time of small commands, with 1 and with 16 sandboxes at once."""
    commands = ("echo hello", "ls /", "cat /etc/os-release", "echo x >>/tmp/log")
    for count in (1, 16):
        async with AsyncExitStack() as stack:
            sandboxes = await open_many(stack, image, count)
            groups = [group for sandbox in sandboxes if (group := await control_group(sandbox)) is not None]
            if len(groups) < count:
                print("  the containers' control groups cannot be read here")
                return

            async def work(sandbox: Sandbox, rounds: int) -> None:
                for number in range(rounds):
                    await checked(sandbox, commands[number % len(commands)], True)

            await asyncio.gather(*(work(sandbox, 4) for sandbox in sandboxes))
            inside, own = sum(map(used_s, groups)), time.process_time()
            await asyncio.gather(*(work(sandbox, repeat) for sandbox in sandboxes))
            inside, own = sum(map(used_s, groups)) - inside, time.process_time() - own
            each = 1e3 / (count * repeat)
            print(f"  {count:2} at once: {inside * each:.2f} ms in the container, {own * each:.2f} ms in this process")


async def control_group(sandbox: Sandbox) -> Path | None:
    """The file with a container's processor time."""
    about = sandbox.machine.engine.api.inspect_container(container(sandbox))  # type: ignore[attr-defined]
    roots = ("cpuacct/docker", "cpu,cpuacct/docker", "docker", "system.slice")
    names = (about["Id"], f"docker-{about['Id']}.scope")
    files = ("cpuacct.usage", "cpu.stat")
    paths = (Path("/sys/fs/cgroup", *parts) for parts in itertools.product(roots, names, files))
    return next((path for path in paths if path.exists()), None)


def used_s(group: Path) -> float:
    """Processor time in seconds from such a file: nanoseconds in version 1, `usage_usec` in version 2."""
    text = group.read_text()
    return int(text) / 1e9 if group.name == "cpuacct.usage" else int(text.split()[1]) / 1e6


async def output(image: str, repeat: int) -> None:
    """10 MiB on standard output."""
    commands = {"from /dev/zero": "head -c 10485760 /dev/zero", "from a pipeline": "yes abcdefg | head -c 10485760"}
    async with AsyncExitStack() as stack:
        (sandbox,) = await open_many(stack, image, 1)
        pipe = await open_pipe(stack, sandbox)
        for name, command in commands.items():
            ways: dict[str, list[Operation]] = {
                "bare pipe": [lambda command=command: pipe.run(command)],
                "channel": [lambda command=command: checked(sandbox, command, True)],
            }
            report(f"10 MiB {name}", await interleaved(ways, max(5, repeat // 4)), "bare pipe")


async def start_up(image: str, repeat: int) -> None:
    """Starting a sandbox and running its first command, compared with the command-line client."""
    async with AsyncExitStack() as stack:
        backend = await open_one(stack)

        async def ours() -> None:
            sandbox = await backend.start(spec(image))
            await checked(sandbox, "true", True)
            closing.append(sandbox)

        async def theirs() -> None:
            name = f"heats-bench-{secrets.token_hex(6)}"
            flags = ("--network", "none", "--cap-drop", "ALL", "--label", "heats.run=benchmark", "--rm")
            await client("run", "-d", "--name", name, *flags, image, "sleep", "60")
            await client("exec", name, "true")
            named.append(name)

        closing: list[Sandbox] = []
        named: list[str] = []
        times = await interleaved({"docker run -d + exec": [theirs], "start + command": [ours]}, max(5, repeat // 8))
        for sandbox in closing:
            await sandbox.close()
        await client("rm", "-f", *named)
        report("start and first command", times, "docker run -d + exec")


async def prepared(image: str, repeat: int) -> None:
    """Start and first command on an environment that was set up once, on each backend; then 64 starts at once."""
    async with AsyncExitStack() as stack:
        store = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heats-prepared-")))
        ways: dict[str, list[Operation]] = {}
        bursts: dict[str, Callable[[], Awaitable[float]]] = {}
        for backend, on in (("docker", image), ("bubblewrap", image), ("bubblewrap", "host")):
            opened = await open_backend(SandboxConfig(backend=backend, prepared_dir=store))
            stack.push_async_callback(opened.close)
            wanted = replace(spec(on), prepared="benchmark", workdir="/work")
            await prepare_once(opened, wanted, lambda sandbox: checked(sandbox, SET_UP, True), "none")
            name = f"{backend}, {on}"
            ways[name] = [partial(one_start, opened, wanted)]
            bursts[name] = partial(burst, opened, wanted, 64)
            if isinstance(opened, DockerBackend):
                kept = await opened.prepared_name(wanted)
                stack.push_async_callback(client, "rmi", "-f", kept)
                flags = ("--rm", "--network", "none", "--cap-drop", "ALL", "--label", "heats.run=benchmark")
                ways["docker run"] = [partial(client, "run", *flags, "--entrypoint", "true", kept)]
        report("start and first command, prepared", await interleaved(ways, max(5, repeat // 2)), "docker run")
        for name, started in bursts.items():
            print(f"    {name:28} 64 at once: {await started():.2f} s")


async def one_start(backend: SandboxBackend, wanted: SandboxSpec) -> None:
    """Start a sandbox and run a command; it is closed later, as closing is not what is measured."""
    sandbox = await backend.start(wanted)
    await checked(sandbox, "true", True)
    CLOSING.append(asyncio.create_task(sandbox.close()))


async def burst(backend: SandboxBackend, wanted: SandboxSpec, count: int) -> float:
    """Seconds until many sandboxes that start at once have run a command.

    Args:
        backend: where they start.
        wanted: their spec.
        count: how many.
    """
    await asyncio.gather(*CLOSING)
    began = time.perf_counter()
    await asyncio.gather(*(one_start(backend, wanted) for _ in range(count)))
    took = time.perf_counter() - began
    await asyncio.gather(*CLOSING)
    CLOSING.clear()
    return took


async def many(image: str, repeat: int) -> None:
    """64 containers at once, ten commands each."""
    failures, peak_fds, peak_threads = 0, 0, 0
    async with AsyncExitStack() as stack:
        began = time.perf_counter()
        sandboxes = await open_many(stack, image, 64)
        started = time.perf_counter() - began

        async def work(sandbox: Sandbox) -> None:
            nonlocal failures, peak_fds, peak_threads
            for number in range(10):
                result = await sandbox.exec(f"echo {number}", timeout=60, merge_stderr=True)
                failures += result.stdout != b"%d\n" % number
                peak_fds = max(peak_fds, len(os.listdir("/proc/self/fd")))
                peak_threads = max(peak_threads, threading.active_count())

        began = time.perf_counter()
        await asyncio.gather(*(work(sandbox) for sandbox in sandboxes))
        worked = time.perf_counter() - began
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  start {started:.1f} s, 640 commands {worked:.1f} s ({640 / worked:.0f}/s), failures {failures}")
    print(f"  orchestrator: peak RSS {rss:.0f} MB, descriptors {peak_fds}, threads {peak_threads}")


async def interleaved(ways: dict[str, list[Operation]], rounds: int) -> dict[str, list[float]]:
    """Seconds for every operation; the ways take turns, so that all of them see the same machine load."""
    times: dict[str, list[float]] = {name: [] for name in ways}

    async def timed(name: str, operation: Operation) -> None:
        began = time.perf_counter()
        await operation()
        times[name].append(time.perf_counter() - began)

    for number in range(rounds + 1):
        for name, operations in ways.items():
            await asyncio.gather(*(timed(name, operation) for operation in operations))
            if number == 0:
                times[name].clear()
    return times


def report(title: str, times: dict[str, list[float]], base: str) -> None:
    """Print one line per way: median, 90th percentile, ratio to the base's median.

    Args:
        title: heading.
        times: seconds by way.
        base: the way that the others are compared with.
    """
    print(f"  {title}")
    against = statistics.median(times[base])
    for name, values in times.items():
        middle, high = statistics.median(values), sorted(values)[int(len(values) * 0.9)]
        print(f"    {name:22} {middle * 1e3:8.2f} ms   p90 {high * 1e3:8.2f} ms   {middle / against:5.2f} x {base}")


async def open_one(stack: AsyncExitStack) -> SandboxBackend:
    """A Docker backend that is closed with the stack."""
    backend = await open_backend(SandboxConfig(backend="docker"))
    stack.push_async_callback(backend.close)
    return backend


async def open_many(stack: AsyncExitStack, image: str, count: int) -> list[Sandbox]:
    """Open sandboxes that are closed with the stack.

    Args:
        stack: closes them.
        image: their image.
        count: how many.
    """
    backend = await open_one(stack)
    sandboxes = await asyncio.gather(*(backend.start(spec(image)) for _ in range(count)))

    async def close() -> None:
        await asyncio.gather(*(sandbox.close() for sandbox in sandboxes))

    stack.push_async_callback(close)
    return list(sandboxes)


def spec(image: str) -> SandboxSpec:
    """Small, so that 64 of them fit."""
    limits = SandboxLimits(memory_mb=256, tmp_mb=64, cpus=2, max_life_s=900)
    return SandboxSpec(image=image, workdir="/tmp", limits=limits, labels=LABELS)


async def open_pipe(stack: AsyncExitStack, sandbox: Sandbox) -> BarePipe:
    """A bare pipe into the same container."""
    pipe = await BarePipe.open("docker", "exec", "-i", container(sandbox), "bash")
    stack.push_async_callback(pipe.close)
    return pipe


async def checked(sandbox: Sandbox, command: str, merge: bool) -> None:
    """Run a command that must succeed.

    Args:
        sandbox: where to run it.
        command: the command.
        merge: merge standard error into standard output.
    """
    result = await sandbox.exec(command, timeout=60, merge_stderr=merge)
    if not result.ok:
        sys.exit(f"{command!r} ended with {result.status} {result.exit_code}")


async def docker_exec(sandbox: Sandbox) -> None:
    """Run a command with the command-line client."""
    await client("exec", container(sandbox), "bash", "-c", "true")


def container(sandbox: Sandbox) -> str:
    """The container's name."""
    return str(sandbox.machine.name)  # type: ignore[attr-defined]


async def client(*arguments: str) -> None:
    """Run the docker command line client."""
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec("docker", *arguments, stdout=quiet)
    if await process.wait() != 0:
        sys.exit(f"docker {arguments[0]} failed")


if __name__ == "__main__":
    main()
