"""Parsers of untrusted bytes run here: off the event loop, for a limited time, and without taking anything down."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from envs.base import Patch
from envs.errors import PatchRejected
from envs.patches import PatchRules, check_patch, read_patch

PARSE_S = 60.0
"""Seconds that one parser may take; all of them are linear, and what they are given is capped."""

P = ParamSpec("P")
R = TypeVar("R")


class Unparsable(ValueError):
    """A parser did not come to an end: it took too long, nested too deep, or met what it was not made for."""


async def bounded(parse: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a parser in a thread.

    Raises:
        Unparsable: with the reason in one line. What the parser raises on purpose (`ValueError`, `EnvError`) passes.
    """
    try:
        async with asyncio.timeout(PARSE_S):
            return await asyncio.to_thread(parse, *args, **kwargs)
    except TimeoutError:
        raise Unparsable(f"it could not be read within {PARSE_S:g} s") from None
    except (RecursionError, MemoryError, SystemError) as error:
        raise Unparsable(f"it cannot be read: {type(error).__name__}") from None


async def check_untrusted(data: bytes, rules: PatchRules | None = None) -> None:
    """`check_patch`, for a patch that anybody may have written.

    Raises:
        PatchRejected
    """
    await _or_rejected(check_patch, data, rules)


async def read_untrusted(data: bytes, rules: PatchRules | None = None) -> Patch:
    """`read_patch`, for a diff that anybody may have written.

    Raises:
        PatchRejected
    """
    return await _or_rejected(read_patch, data, rules)


async def _or_rejected(read: Callable[[bytes, PatchRules | None], R], data: bytes, rules: PatchRules | None) -> R:
    try:
        return await bounded(read, data, rules)
    except Unparsable as error:
        raise PatchRejected((str(error),)) from None
