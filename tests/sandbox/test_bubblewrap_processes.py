"""Bubblewrap's sandboxes cannot use up the machine's processes, whether root or not."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.cgroup import ProcessGroup, remove_group

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.kinds("bubblewrap")]

Start = Callable[..., Awaitable[Sandbox]]
# Bash would wait longer and longer for a free process; merely counting does not.
MANY = "sh -c 'for i in $(seq 150); do sleep 60 & done' >/dev/null 2>&1; set -- /proc/[0-9]*; echo $#"


def why_no_group() -> str:
    probe = ProcessGroup.make("probe", 1) if os.getuid() == 0 else None
    remove_group("probe")
    return "" if probe or os.getuid() else "root may not make control groups here"


@pytest.mark.skipif(bool(why_no_group()), reason=why_no_group())
async def test_no_more_processes_than_the_spec_says(start: Start) -> None:
    sbx = await start(limits={"pids": 40})
    assert 10 < int((await sbx.exec(MANY, timeout=120)).stdout) <= 40
    await sbx.kill_all()
    assert (await sbx.exec("echo alive", timeout=120)).stdout == b"alive\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root needs control groups")
async def test_the_control_group_goes_with_the_sandbox(start: Start) -> None:
    sbx = await start()
    groups = list(Path("/sys/fs/cgroup").glob(f"**/heats-{sbx.machine.name}"))
    await sbx.close()
    assert not [path for path in groups if path.exists()]


async def test_where_no_group_can_be_made_there_is_none(tmp_path: Path) -> None:
    assert ProcessGroup.make("x", 5, [tmp_path / "missing", Path("/proc")]) is None
    (tmp_path / "root").mkdir()
    made = ProcessGroup.make("x", 5, [tmp_path / "root"])  # here pids.max is an ordinary file
    assert made is not None
    assert (tmp_path / "root" / "heats-x" / "pids.max").read_text() == "5\n"
    assert made.wrap(["a", "b c"])[-2:] == ["a", "b c"]
