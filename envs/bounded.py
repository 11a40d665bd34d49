"""Run parsers of untrusted bytes safely: off the event loop, time-limited, and with every failure contained."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from envs.base import Patch
from envs.errors import PatchRejected
from envs.patches import PatchRules, check_patch, read_patch

PARSE_S = 60.0
"""Time limit for one parser, in seconds; all parsers are linear and their input is capped."""

P = ParamSpec("P")
R = TypeVar("R")


class Unparsable(ValueError):
    """A parser did not finish: it took too long, nested too deep, or hit input it was not made for."""


async def bounded(parse: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a parser in a thread.

    Raises:
        Unparsable: with the reason in one line. Exceptions that the parser raises on purpose (`ValueError`, `EnvError`)
            pass through.
    """
    try:
        async with asyncio.timeout(PARSE_S):
            return await asyncio.to_thread(parse, *args, **kwargs)
    except TimeoutError:
        raise Unparsable(f"it could not be read within {PARSE_S:g} s") from None
    except (RecursionError, MemoryError, SystemError) as error:
        raise Unparsable(f"it cannot be read: {type(error).__name__}") from None


async def check_untrusted(data: bytes, rules: PatchRules | None = None) -> None:
    """Run `check_patch` on a patch from an untrusted source.

    Raises:
        PatchRejected
    """
    await _or_rejected(check_patch, data, rules)


async def read_untrusted(data: bytes, rules: PatchRules | None = None) -> Patch:
    """Run `read_patch` on a diff from an untrusted source.

    Raises:
        PatchRejected
    """
    return await _or_rejected(read_patch, data, rules)


async def _or_rejected(read: Callable[[bytes, PatchRules | None], R], data: bytes, rules: PatchRules | None) -> R:
    try:
        return await bounded(read, data, rules)
    except Unparsable as error:
        raise PatchRejected((str(error),)) from None
