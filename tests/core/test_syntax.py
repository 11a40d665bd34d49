"""Python source parsed in several threads, and source that no parser should see."""

import gc
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from core.syntax import parse_python

LONG = "def f(x):\n" + "".join(f"    y{n} = [x + {n}, (x, {{'a': x}}), lambda z: z + {n}]\n" for n in range(200))


@pytest.fixture
def restless() -> Iterator[None]:
    """Make threads switch as often as possible, as they occasionally do in a long run."""

    def pause(phase: str, info: object) -> None:
        time.sleep(0)

    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(10, 2, 2)
    gc.callbacks.append(pause)
    yield
    gc.callbacks.remove(pause)
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)


def test_threads_that_parse_at_once_do_not_disturb_each_other(restless: None) -> None:
    """CPython 3.11: `SystemError: AST constructor recursion depth mismatch`."""
    errors: list[BaseException] = []

    def parse() -> None:
        try:
            for _ in range(3):
                parse_python(LONG)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=parse) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


@pytest.mark.parametrize(
    "source", ["(" * 50_000, "x = " + "-" * 200_000 + "1", "a\0b", b"\xff\xfe", "def", "x\n" * (3 << 20)]
)
def test_what_cannot_be_parsed_is_a_syntax_error(source: str | bytes) -> None:
    with pytest.raises(SyntaxError):
        parse_python(source)
