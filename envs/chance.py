"""Whether a test may pass by chance: signs of randomness, time and concurrency in the code it runs."""

import ast
import re
from collections.abc import Collection, Iterable
from typing import Literal, Protocol

from core.syntax import parse_python

_RANDOM = re.compile(
    rb"\b(random|randint|randrange|shuffle|default_rng|secrets|urandom|getrandbits|getrandom|uuid[14]|faker)\b"
)
_SIGNS = re.compile(
    rb"\b(time_ns|perf_counter|monotonic|sleep|utcnow|threading|Thread|multiprocessing|getpid)\b"
    rb"|\b(hash|id|today)\(|\btime\.time\b|\bdatetime\.now\b"
)
_MOST_FILES = 25

Chance = Literal["", "timing", "random"]
"""What a test outcome may depend on; empty if there is no sign of chance."""


class SourceFiles(Protocol):
    """The files of a task's tree in a sandbox."""

    async def modules(self) -> Collection[str]:
        """Paths of the tree's Python files, relative to the working directory."""
        ...

    async def read(self, path: str) -> bytes | None:
        """Contents of a file; None if it is missing or unreadable."""
        ...


async def by_chance(texts: Iterable[bytes], changed: Iterable[str], tests: Iterable[str], files: SourceFiles) -> Chance:
    """Which signs of chance tests show.

    Clocks and threads count only in a test itself or in a changed file; randomness also counts in the test files and in
    the modules of the tree that they import.

    Args:
        texts: source of the test functions.
        changed: files that the patch changes.
        tests: files that contain the tests.
        files: the tree, for reading imported modules.
    """
    own = [*texts, *[data for path in changed if (data := await files.read(path)) is not None]]
    timing: Chance = "timing" if any(_SIGNS.search(data) for data in own) else ""
    if any(_RANDOM.search(data) for data in own):
        return "random"
    direct = {path: data for path in tests if (data := await files.read(path)) is not None}
    if any(_RANDOM.search(data) for data in direct.values()):
        return "random"
    known = await files.modules()
    wanted = dict.fromkeys(one for path, data in direct.items() for one in imported(path, data) if one in known)
    for path in list(wanted)[:_MOST_FILES]:
        data = await files.read(path)
        if data is not None and _RANDOM.search(data):
            return "random"
    return timing


def imported(path: str, data: bytes) -> list[str]:
    """Paths in the tree where the modules that a file imports may be."""
    try:
        tree = parse_python(data)
    except SyntaxError:
        return []
    package = path.split("/")[:-1]
    modules: list[list[str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules += [name.name.split(".") for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = [*above, *(node.module.split(".") if node.module else [])]
            modules += [base, *([*base, name.name] for name in node.names)]
    folders: tuple[list[str], ...] = ([], ["src"], package)
    wholes = ["/".join([*folder, *parts]) for parts in modules for folder in folders]
    return [f"{whole}{end}" for whole in dict.fromkeys(wholes) for end in (".py", "/__init__.py")]
