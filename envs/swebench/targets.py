"""Find the test functions behind an instance's test ids, to make sentinels from."""

import random
import re
from collections.abc import Iterable, Sequence

from envs.copying import Target
from envs.sentinel import MOST_TARGETS, function_name

_DOTTED = re.compile(r"(?P<name>\w+) \((?P<where>\w+(?:\.\w+)*)\)$")


def targets_for(ids: Iterable[str], files: Sequence[str], rng: random.Random) -> list[Target]:
    """The functions that ids stand for, as pytest, Django and SymPy write them.

    Args:
        ids: ids of the tests.
        files: test files of the instance to search for the functions.
        rng: source of randomness for sampling if there are too many.
    """
    functions: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for test in ids:
        functions.setdefault(_place(test, files), []).append(test)
    chosen = list(functions.items())
    if len(chosen) > MOST_TARGETS:
        chosen = rng.sample(chosen, MOST_TARGETS)
    return [Target(tuple(tests), paths, None, name) for (name, paths), tests in chosen]


def _place(test: str, files: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Name and candidate files of a test's function: the file that the id names, else all that may define it."""
    path, sign, _ = test.partition("::")
    if sign:
        return function_name(test), (path,)
    found = _DOTTED.match(test)
    if found is None:
        return test.strip(), tuple(files)
    parts = [part for part in found["where"].split(".") if part != found["name"]]
    name = f"{parts[-1]}.{found['name']}" if parts[-1][:1].isupper() else found["name"]
    module = "/".join(part for part in parts if not part[:1].isupper())
    near = [file for file in files if file.removesuffix(".py").endswith(module)]
    return name, (*near, *(file for file in files if file not in near))
