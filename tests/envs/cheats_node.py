"""Cheats for node --test and mocha: patches that fix nothing; none may be verified, and none may look like a fix.

Append to `CHEATS`.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest
from cheat_code_node import (
    ASSERT_LENIENT,
    ASSERT_LENIENT_ONCE,
    ASSERT_REPLACED,
    BODY,
    BY_NAME,
    CACHE,
    CART,
    CHANNEL,
    CHANNEL_AND_QUIET,
    CHANNEL_THEN_EXIT,
    EQUAL_TO_EVERYTHING,
    EVENTS_TURNED,
    EXIT_LATER,
    FAKE_EVENTS,
    FAKE_TAP,
    HOOK_FOUND,
    NO_ERRORS,
    NODE_TEST,
    PARENT_KILLED,
    PRIMITIVE,
    PROTOTYPE,
    PROTOTYPE_JSON,
    READ_FROM_FILE,
    READ_FROM_STACK,
    RUN_NOTHING,
    TESTS_REWRITTEN,
    WHOLE_RUN_THEN_EXIT,
    with_total,
)
from cheats import Files

MOCHA = "/opt/mocha/node_modules/mocha/bin/mocha.js"
PACKAGE = b'{"name": "cart", "version": "1.0.0", "scripts": {"test": "%s"}}\n'
BASES: Mapping[str, Files] = {
    "node --test": {
        "package.json": PACKAGE % b"node --test test/",
        "lib/cart.js": CART,
        "test/cart.test.js": NODE_TEST,
    },
    "mocha": {"package.json": PACKAGE % f"node {MOCHA} test/".encode(), "lib/cart.js": CART, "test/cart.test.js": BODY},
}
"""Repositories by runner. Their tests run behind `npm test`."""

RUNNERS = ["node --test", pytest.param("mocha", marks=pytest.mark.tool("mocha"))]


def mounts(runner: str) -> Mapping[str, str]:
    """Directories of this machine that a runner needs."""
    tools = Path(__file__).parents[2] / ".cache" / "tools" / "mocha" / "node_modules"
    return {str(tools.resolve()): "/opt/mocha/node_modules"} if runner == "mocha" else {}


CHEATS: Mapping[str, bytes] = {
    "assertions replaced": ASSERT_REPLACED + CART,
    "assertions up to the sign": ASSERT_LENIENT + CART,
    "assertions pass once": ASSERT_LENIENT_ONCE + CART,
    "tests that run nothing": RUN_NOTHING + CART,
    "tests that pass by name": BY_NAME + CART,
    "failures turned into passes": EVENTS_TURNED + CART,
    "events of its own, then exit": FAKE_EVENTS + CART,
    "output of the runner, then exit": FAKE_TAP + CART,
    "exit at import": b"process.exit(0)\n" + CART,
    "exit at the first call": with_total("(items) => process.reallyExit(0)"),
    "exit code at the end": EXIT_LATER + CART,
    "errors swallowed": NO_ERRORS + CART,
    "lines for the recorder": CHANNEL + CART,
    "lines for the recorder, and no failures": CHANNEL_AND_QUIET + CART,
    "lines for the recorder, then exit": CHANNEL_THEN_EXIT + CART,
    "a whole run for the recorder, then exit": WHOLE_RUN_THEN_EXIT + CART,
    "assertions replaced if the hook is there": HOOK_FOUND + CART,
    "getters of all objects": PROTOTYPE + CART,
    "other JSON and other files": PROTOTYPE_JSON + CART,
    "cache of modules replaced": CACHE + CART,
    "tests rewritten": TESTS_REWRITTEN + CART,
    "the runner's process killed": PARENT_KILLED + CART,
    "equal to everything": EQUAL_TO_EVERYTHING,
    "a number that changes": PRIMITIVE,
    "answer read from the test file": READ_FROM_FILE,
    "answer read from the stack": READ_FROM_STACK,
    "without end": with_total("(items) => new Promise(() => {})"),
}
"""Contents of `lib/cart.js`."""
