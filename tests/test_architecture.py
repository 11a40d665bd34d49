"""The rooms: who imports whom, what each README says, and what no file may do. Sizes are in test_sizes.py."""

import ast
import re
import subprocess
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {"heats": 6, "tournament": 5, "summarizer": 4, "envs": 3, "agents": 2, "sandbox": 1, "core": 0}
ROOMS = [*FLOORS, "configs"]
FORBIDDEN_BELOW = {
    "envs": {"agents"},
    "tournament": {"sandbox", "envs"},
    "summarizer": {"sandbox", "envs"},
}
# Libraries whose exceptions cross in one place, and the room that may import each.
OWNERS = {"docker": "sandbox", "aiohttp": "agents", "langgraph": "heats", "typer": "heats"}
CODE_LOADERS = {"pickle", "shelve", "marshal", "dill", "cloudpickle"}
HOST_SIDE_ARCHIVES = {"get_archive", "put_archive", "extractall"}


def sources(room: str) -> list[Path]:
    """Python files of a room, without the demo tasks, which are data."""
    return [path for path in sorted((ROOT / room).rglob("*.py")) if "envs/demo/tasks" not in path.as_posix()]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, at any depth; for `from a.b import c`, both a.b and a.b.c."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def where(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    for path in sources(room):
        for name in imports(path):
            other = name.partition(".")[0]
            if other not in FLOORS or other == room:
                continue
            assert FLOORS[other] < FLOORS.get(room, 0), f"{path.relative_to(ROOT)} imports {name}: that is upwards"
            assert other not in FORBIDDEN_BELOW.get(room, ()), f"{path.relative_to(ROOT)} must not know {other}/"


def test_each_outside_library_belongs_to_one_room() -> None:
    strays = {
        f"{path.relative_to(ROOT)} imports {name}, which belongs to {OWNERS[name.partition('.')[0]]}/"
        for room in ROOMS
        for path in sources(room)
        for name in imports(path)
        if OWNERS.get(name.partition(".")[0], room) != room
    }
    assert not strays, "\n".join(sorted(strays))


def test_modules_have_no_import_cycle() -> None:
    paths = {module_name(path): path for room in ROOMS for path in sources(room)}
    # A package's own __init__ gathers its modules; importing a sibling through it is not a cycle of ours.
    graph = {
        module: {name for name in imports(path) if name in paths and name != module and paths[name].stem != "__init__"}
        for module, path in paths.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("import cycle: " + " <- ".join(error.args[1]))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_readme_names_every_file(room: str) -> None:
    files = [path for path in sources(room) if path.name != "__init__.py"] + sorted((ROOT / room).rglob("*.yaml"))
    for path in files:
        if "envs/demo/tasks" in path.as_posix():
            continue
        readmes = [folder / "README.md" for folder in path.parents if folder.is_relative_to(ROOT / room)]
        texts = [readme.read_text(encoding="utf-8") for readme in readmes if readme.is_file()]
        assert texts, f"{room}/README.md is missing: one line a file, `file - purpose`"
        assert any(path.name in text for text in texts), f"{room}/README.md does not name {path.relative_to(ROOT)}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_readme_names_no_file_that_is_gone(room: str) -> None:
    for readme in (ROOT / room).rglob("README.md"):
        if "envs/demo/tasks" in readme.as_posix():
            continue
        for name in re.findall(r"`([\w/]+\.(?:py|yaml))`", readme.read_text(encoding="utf-8")):
            found = (ROOT / name).is_file() or any((ROOT / room).rglob(Path(name).name))
            assert found, f"{readme.relative_to(ROOT)} names {name}, which is not there"


def test_no_installed_distribution_ships_one_of_our_names() -> None:
    clashes = {
        f"{distribution.name} ships {name}"
        for distribution in distributions()
        if distribution.name != "heats"
        for file in distribution.files or []
        for name in [file.parts[0].removesuffix(".py")]
        if name in ROOMS
    }
    assert not clashes, f"an import of ours could find another project's code: {sorted(clashes)}"


def test_no_locked_distribution_is_known_to_ship_one_of_our_names() -> None:
    lock = (ROOT / "uv.lock").read_text(encoding="utf-8")
    assert 'name = "openai-agents"' not in lock, "openai-agents ships a top-level `agents`"


def test_the_lock_file_names_only_the_public_index() -> None:
    hosts = set(re.findall(r"https?://([^/\"]+)/", (ROOT / "uv.lock").read_text(encoding="utf-8")))
    assert hosts <= {"pypi.org", "files.pythonhosted.org"}


def test_nothing_loads_code_from_data() -> None:
    for room in ROOMS:
        for path in sources(room):
            loaders = {name for name in imports(path) if name.partition(".")[0] in CODE_LOADERS}
            assert not loaders, f"{path.relative_to(ROOT)} imports {loaders}: agents write the files that we read"


def test_no_archive_from_a_sandbox_is_unpacked_on_the_host() -> None:
    for room in ROOMS:
        for path in sources(room):
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.Attribute):
                    assert node.attr not in HOST_SIDE_ARCHIVES, f"{where(path, node)}: links in it may point anywhere"
                if isinstance(node, ast.List | ast.Tuple):
                    words = [word.value for word in node.elts if isinstance(word, ast.Constant)]
                    assert words[:2] != ["docker", "cp"], f"{where(path, node)}: files leave through the channel"


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "heats"])
def test_only_the_application_prints(room: str) -> None:
    for path in sources(room):
        for node in ast.walk(parsed(path)):
            printed = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            assert not printed, f"{where(path, node)}: standard output is the result of a command"


def test_no_tracked_file_names_a_place_on_a_developers_machine() -> None:
    private = re.compile(rf"{re.escape(str(ROOT))}\b|/home/[a-z]\w*/|/Users/\w+/")
    for path in tracked_files():
        if path == Path(__file__).resolve():
            continue
        found = private.search(path.read_bytes().decode("utf-8", "replace"))
        assert not found, f"{path.relative_to(ROOT)} mentions {found.group()}"
