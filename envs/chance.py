"""Whether a test may pass by chance: signs of randomness, time and concurrency in what it is made of."""

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
"""What a test's outcome may hang on; nothing where there is no sign of that."""


class SourceFiles(Protocol):
    """The files of a task's tree in a sandbox."""

    async def modules(self) -> Collection[str]:
        """Paths of its Python files, relative to the working directory."""
        ...

    async def read(self, path: str) -> bytes | None:
        """A file; None for one that is not there or cannot be read."""
        ...


async def by_chance(texts: Iterable[bytes], changed: Iterable[str], tests: Iterable[str], files: SourceFiles) -> Chance:
    """Which of such signs tests show.

    Clocks and threads count where a test or a changed file has them itself; randomness also in the tests' files and in
    what these import from the tree.

    Args:
        texts: the tests' own functions.
        changed: files that a patch changes.
        tests: files that the tests are in.
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
    """Where the modules that a file imports may lie in the tree."""
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
