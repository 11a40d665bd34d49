"""Plan the sentinels of one run, from the test files that a sandbox holds."""

import random
from collections.abc import Awaitable, Callable, Sequence
from itertools import count

from envs.bounded import Unparsable, bounded
from envs.chance import SourceFiles
from envs.copying import Target
from envs.sentinel import Layout, Planting, plant

Planner = Callable[[SourceFiles], Awaitable[Planting]]
"""Makes new sentinels on each call."""

_FEW_TARGETS, _MANY_TESTS = 3, 40


def copies(targets: Sequence[Target], rng: random.Random) -> Planner:
    """Plan unchanged copies beside the tests; they must have the same outcome as their originals."""
    return planner(targets, Layout(None, (False,) * copies_of_each(targets)), rng)


def copies_of_each(targets: Sequence[Target]) -> int:
    """How many copies each test gets: the fewer, the more tests there are."""
    return 1 if _heavy(targets) else 4 if len(targets) <= _FEW_TARGETS else 2


def _heavy(targets: Sequence[Target]) -> bool:
    return sum(len(target.ids) for target in targets) > _MANY_TESTS


def planner(targets: Sequence[Target], layout: Layout, rng: random.Random) -> Planner:
    """Plan sentinels in the test files as they are in a sandbox.

    Args:
        targets: the tests.
        layout: which sentinels each of them gets.
        rng: source of randomness for names and changed values.
    """
    turns = count(rng.randrange(100), layout.ways)

    async def plan(files: SourceFiles) -> Planting:
        paths = dict.fromkeys(path for target in targets for path in target.files)
        sources = {path: data for path in paths if (data := await files.read(path)) is not None}
        try:
            return await bounded(plant, sources, targets, layout, rng, next(turns))
        except Unparsable:
            return Planting(uncovered=tuple(test for target in targets for test in target.ids))

    return plan
