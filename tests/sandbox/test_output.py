"""Any output, of any size, in bounded memory."""

import asyncio
import resource
from collections.abc import Awaitable, Callable

import pytest

from sandbox import Sandbox

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.contract]

Start = Callable[..., Awaitable[Sandbox]]
MIB = 1 << 20


def peak_rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def test_a_short_output_is_exact_whatever_its_bytes(sbx: Sandbox) -> None:
    for octal, raw in {"\\303\\050": b"\xc3\x28", "\\000a\\000": b"\0a\0", "\\036\\036 X": b"\x1e\x1e X"}.items():
        result = await sbx.exec(f"printf '{octal}'; printf '{octal}' >&2", timeout=120)
        assert (result.stdout, result.stderr) == (raw, raw)
    assert "�" in (await sbx.exec("printf '\\303\\050'", timeout=120)).text()


async def test_a_long_output_keeps_head_and_tail_and_says_what_is_cut(sbx: Sandbox) -> None:
    result = await sbx.exec("echo first; head -c 10485760 /dev/zero; echo last", timeout=60)
    assert result.stdout_total == 10 * MIB + 11
    assert result.stdout.startswith(b"first\n\0")
    assert result.stdout.endswith(b"\0last\n")
    assert f"[... {9 * MIB + 11} bytes cut ...]".encode() in result.stdout
    assert len(result.stdout) < MIB + 100


async def test_the_cap_is_the_specs(start: Start) -> None:
    sbx = await start(limits={"output_bytes": 10})
    result = await sbx.exec("printf 0123456789abcdef; printf 0123456789abcdef >&2", timeout=120)
    assert result.stdout == result.stderr == b"01234\n[... 6 bytes cut ...]\nbcdef"


async def test_one_line_of_fifty_megabytes_does_not_stay_in_memory(sbx: Sandbox) -> None:
    before = peak_rss()
    result = await sbx.exec("head -c 52428800 /dev/zero | tr '\\0' x", timeout=120)
    assert result.stdout_total == 50 * MIB
    assert peak_rss() - before < 32 * MIB


@pytest.mark.slow
@pytest.mark.kinds("bubblewrap")
async def test_a_gigabyte_is_counted_and_not_kept(sbx: Sandbox) -> None:
    before = peak_rss()
    result = await sbx.exec("yes | head -c 1073741824", timeout=120, merge_stderr=True)
    assert (result.status, result.stdout_total) == ("exited", 1 << 30)
    assert peak_rss() - before < 32 * MIB


async def test_a_flood_without_end_ends_with_its_timeout(sbx: Sandbox) -> None:
    result = await sbx.exec("yes", timeout=1)
    assert result.status == "timeout"
    assert result.stdout_total > MIB
    assert (await sbx.exec("echo alive", timeout=120)).stdout == b"alive\n"


@pytest.mark.slow
@pytest.mark.kinds("docker")
async def test_sixteen_long_outputs_at_once_are_complete(start: Start) -> None:
    before = peak_rss()
    sandboxes = await asyncio.gather(*(start(limits={"memory_mb": 256, "tmp_mb": 64}) for _ in range(16)))
    results = await asyncio.gather(*(sbx.exec("head -c 10485760 /dev/zero", timeout=60) for sbx in sandboxes))
    assert {result.stdout_total for result in results} == {10 * MIB}
    assert peak_rss() - before < 96 * MIB
