"""Whether a test may pass by chance: signs of randomness, time and concurrency in the code it runs."""

import ast
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, Protocol

from core.syntax import parse_python
from envs.bounded import Unparsable, bounded
from envs.conventions import is_javascript
from envs.javascript import chance as javascript

_RANDOM = re.compile(
    rb"\b(random|randint|randrange|shuffle|default_rng|secrets|urandom|getrandbits|getrandom|uuid[14]|faker)\b"
)
_OF_PROCESS = re.compile(rb"\bgetpid\b|\b(hash|id)\(")
"""What differs between processes and is the same for a test and its copies, as a random number of a module is."""
_SIGNS = re.compile(
    rb"\b(time_ns|perf_counter|monotonic|sleep|utcnow|threading|Thread|multiprocessing)\b"
    rb"|\btoday\(|\btime\.time\b|\bdatetime\.now\b"
)
_MOST_FILES = 25

Chance = Literal["", "timing", "random"]
"""What a test outcome may depend on; empty if there is no sign of chance."""


class SourceFiles(Protocol):
    """The files of a task's tree in a sandbox."""

    async def modules(self) -> Collection[str]:
        """Paths of the tree's files in Python and JavaScript, relative to the working directory."""
        ...

    async def read(self, path: str) -> bytes | None:
        """Contents of a file; None if it is missing or unreadable."""
        ...


async def by_chance(texts: Iterable[bytes], changed: Iterable[str], tests: Iterable[str], files: SourceFiles) -> Chance:
    """Which signs of chance tests show.

    Clocks and threads, hashes and addresses count only in a test itself or in a changed file. Randomness also counts in
    the test files and in what they import from the tree: of Python, code that a module runs when it is imported, and
    the definitions asked for; of JavaScript, all modules that are loaded.

    Args:
        texts: source of the test functions.
        changed: files that the patch changes.
        tests: files that contain the tests.
        files: the tree, for reading imported modules.
    """
    own = [*texts, *[data for path in changed if (data := await files.read(path)) is not None]]
    direct = {path: data for path in tests if (data := await files.read(path)) is not None}
    scripts = {path: data for path, data in direct.items() if is_javascript(path)}
    randomness = (_RANDOM, javascript.RANDOM) if scripts else (_RANDOM,)
    timing = (_SIGNS, javascript.TIMING) if scripts else (_SIGNS,)
    if any(sign.search(data) for data in (*own, *direct.values()) for sign in randomness):
        return "random"
    if not scripts and any(_OF_PROCESS.search(data) for data in own):
        return "random"
    modules = {path: data for path, data in direct.items() if path not in scripts}
    if (modules or scripts) and await _loads_randomness(modules, scripts, files):
        return "random"
    return "timing" if any(sign.search(data) for data in own for sign in timing) else ""


async def _loads_randomness(modules: Mapping[str, bytes], scripts: Mapping[str, bytes], files: SourceFiles) -> bool:
    """Whether test files load random numbers from the tree.

    Args:
        modules: contents of the test files in Python.
        scripts: contents of those in JavaScript.
        files: the tree.
    """
    known = await files.modules()
    wanted: dict[str, set[str]] = {}
    for path, data in modules.items():
        for module, names in imported(path, data).items():
            if module in known:
                wanted.setdefault(module, set()).update(names)
    for path, names in list(wanted.items())[:_MOST_FILES]:
        content = await files.read(path)
        try:
            if content is not None and await bounded(draws_random_numbers, content, names):
                return True
        except Unparsable:
            return True
    return await _scripts_load_randomness(scripts, known, files)


async def _scripts_load_randomness(scripts: Mapping[str, bytes], known: Collection[str], files: SourceFiles) -> bool:
    """Whether a file in JavaScript that test files load, directly or not, uses random numbers; True if too many do."""
    named = (javascript.loaded(path, data) for path, data in scripts.items())
    waiting = sorted(set[str]().union(*named).intersection(known))
    seen = set(scripts)
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        if len(seen) >= _MOST_FILES + len(scripts):
            return True
        seen.add(path)
        data = await files.read(path)
        if data is not None and javascript.RANDOM.search(data):
            return True
        waiting += sorted(javascript.loaded(path, data or b"").intersection(known))
    return False


def imported(path: str, data: bytes) -> dict[str, set[str]]:
    """Paths in the tree where the modules that a file imports may be, with the names taken from each (`*` for all)."""
    try:
        tree = parse_python(data)
    except SyntaxError:
        return {}
    package = path.split("/")[:-1]
    modules: list[tuple[list[str], str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules += [(name.name.split("."), "*") for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = [*above, *(node.module.split(".") if node.module else [])]
            for name in node.names:
                modules += [(base, name.name), ([*base, name.name], "*")]
    folders: tuple[list[str], ...] = ([], ["src"], package)
    found: dict[str, set[str]] = {}
    for parts, taken in modules:
        for folder in folders:
            for end in (".py", "/__init__.py"):
                found.setdefault("/".join([*folder, *parts]) + end, set()).add(taken)
    return found


def draws_random_numbers(data: bytes, names: Collection[str]) -> bool:
    """Whether a module uses random numbers when it is imported, or in the definitions that `names` need (`*`: in any).

    Uses are found by name, through functions and classes of the same module; comments and docstrings do not count. If
    the module does not visibly define or import one of `names`, all of it counts.
    """
    try:
        tree = parse_python(data)
    except SyntaxError:
        return bool(_RANDOM.search(data))
    drawn, bound, loaded, parts = set[str](), set[str](), set[str](), dict[str, set[str]]()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            source = getattr(node, "module", "") or ""
            drawing = [taken for taken in node.names if _RANDOM.search(f"{source}.{taken.name}".encode())]
            bound.update(taken.asname or taken.name.partition(".")[0] for taken in node.names)
            drawn.update(taken.asname or taken.name.partition(".")[0] for taken in drawing)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            parts.setdefault(node.name, set()).update(_names_in(node))
            loaded |= _names_when_defined(node)
        else:
            loaded |= _names_in(node)
    everything = parts.keys() | bound | loaded
    loaded |= set(names) if set(names) <= everything else set(parts)
    reached: set[str] = set()
    while fresh := loaded - reached:
        reached |= fresh
        loaded = set[str]().union(*(parts.get(name, ()) for name in fresh))
    return any(name in drawn or _RANDOM.fullmatch(name.encode()) for name in reached)


def _names_when_defined(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[str]:
    """Names that a definition uses at once: in decorators, defaults, base classes and the body of a class."""
    used: list[ast.AST] = list(node.decorator_list)
    if not isinstance(node, ast.ClassDef):
        return set[str]().union(*map(_names_in, [*used, node.args]))
    methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    used += [*node.bases, *node.keywords, *(part for part in node.body if part not in methods)]
    return set[str]().union(*map(_names_in, used), *map(_names_when_defined, methods))


def _names_in(node: ast.AST) -> set[str]:
    """Names, attributes and imports in a piece of code, and strings that may name something."""
    found: set[str] = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            found.add(one.id)
        elif isinstance(one, ast.Attribute):
            found.add(one.attr)
        elif isinstance(one, ast.Import | ast.ImportFrom):
            texts = [getattr(one, "module", "") or "", *(name.name for name in one.names)]
            found.update(part for text in texts for part in text.split("."))
        elif isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value.isidentifier():
            found.add(one.value)
    return found
