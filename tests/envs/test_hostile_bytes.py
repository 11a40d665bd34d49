"""Output of attempts is parsed in linear time, off the event loop, and failures stay contained."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from envs.base import Patch
from envs.bounded import Unparsable, bounded, check_untrusted
from envs.errors import PatchRejected
from envs.patches import check_patch
from envs.swebench.logs import PARSERS
from envs.tampering import signs_of_tampering


@contextmanager
def seconds_of_cpu(most: float) -> Iterator[None]:
    """Processor time, so that a busy machine does not cause failures."""
    started = time.process_time()
    yield
    assert time.process_time() - started < most


def adding(path: str, line: str = "x") -> str:
    return f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{line}\n"


def test_deep_paths_are_checked_in_linear_time() -> None:
    """Every parent of every path was joined again: 9 MB of diff took minutes."""
    data = "".join(adding("a/" * 200 + f"f{number}") for number in range(1500)).encode()
    with seconds_of_cpu(10):
        check_patch(data)


@pytest.mark.parametrize("path", ["a/" * 300 + "x", "a/" * 500_000 + "x", "a" * 300])
def test_endless_paths_are_refused_at_once(path: str) -> None:
    with seconds_of_cpu(5), pytest.raises(PatchRejected, match=r"the name is too long|not a readable diff"):
        check_patch(adding(path).encode())


@pytest.mark.parametrize("text", ["::" * 100_000, "a::" + " " * 200_000 + "b", "PASSED " * 30_000, "[/" * 100_000])
@pytest.mark.parametrize("parser", sorted(set(PARSERS) & {"pytest", "pytest_options", "pytest_v2", "django", "sympy"}))
def test_logs_are_read_in_linear_time(parser: str, text: str) -> None:
    """A single line of 32 kB took seven seconds, one of a megabyte hours."""
    with seconds_of_cpu(3):
        PARSERS[parser](f"{text}\nPASSED {text}\n")


@pytest.mark.parametrize("line", ["open('" * 30_000, " " * 200_000, "def __eq__(" * 15_000, "eval(" * 30_000])
@pytest.mark.parametrize("ending", ["py", "js", "go", "rs", "cc"])
def test_the_lint_reads_long_lines_in_pieces(ending: str, line: str) -> None:
    with seconds_of_cpu(5):
        signs_of_tampering(Patch(adding(f"src/a.{ending}", line).encode()))


@pytest.mark.parametrize("error", [RecursionError("deep"), MemoryError(), SystemError("depth mismatch")])
async def test_a_parser_that_breaks_is_told_by_one_error(error: BaseException) -> None:
    def parse() -> None:
        raise error

    with pytest.raises(Unparsable, match=type(error).__name__):
        await bounded(parse)


async def test_a_parser_that_does_not_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.bounded.PARSE_S", 0.05)
    end = threading.Event()
    try:
        with pytest.raises(Unparsable, match="could not be read within"):
            await bounded(end.wait, 100)
    finally:
        end.set()


async def test_the_event_loop_goes_on_while_a_large_patch_is_checked() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    data = (
        "".join(adding(f"a/b/f{number}") for number in range(1900)).encode() + adding("big", "x" * (2 << 20)).encode()
    )
    await check_untrusted(data)
    counting.cancel()
    assert turns > 3
