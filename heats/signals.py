"""Ctrl-C and SIGTERM: the first signal requests an orderly shutdown, the second ends the process at once."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


class Interrupted(BaseException):
    """The run was stopped by a signal; finished work is stored.

    Attributes:
        exit_code: 128 + the signal's number.
    """

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        super().__init__(signal.Signals(number).name)


def run_interruptibly(main: Coroutine[None, None, Result]) -> Result:
    """`asyncio.run` with an orderly shutdown on SIGINT, SIGTERM and SIGHUP.

    The first signal cancels the work, which closes its sandboxes. A second one ends the process at once; left-overs are
    removed by the next start or `heats gc`.

    Raises:
        Interrupted: a signal arrived.
    """
    received: list[int] = []

    async def supervise() -> Result:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(main)

        def stop(number: int) -> None:
            if received:
                _leave(number)
            received.append(number)
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop, number)
        return await task

    try:
        return asyncio.run(supervise())
    except asyncio.CancelledError:
        if received:
            raise Interrupted(received[0]) from None
        raise


def _leave(number: int) -> None:
    """Exit at once. A live display has hidden the terminal's cursor and can no longer restore it."""
    cursor = b"\x1b[?25h\n" if sys.stderr.isatty() else b""
    name = signal.Signals(number).name
    line = f"heats: killed by {name}; run the same command to resume, and `heats gc` to remove leftovers\n"
    with suppress(OSError):
        os.write(sys.stderr.fileno(), cursor + line.encode())
    os._exit(128 + number)
