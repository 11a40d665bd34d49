"""Files, functions and parameter lists stay short; a public class name means one thing in its room."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = [
    "heats",
    "tournament",
    "summarizer",
    "envs",
    "agents",
    "sandbox",
    "core",
    "configs",
    "benchmarks",
    "scripts",
    "tests",
]
MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 8

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "envs/demo/tasks" not in path.as_posix():
                yield path


def functions() -> Iterator[tuple[str, Function]]:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, Function):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def parameters(function: Function) -> int:
    given = function.args
    names = [arg.arg for arg in [*given.posonlyargs, *given.args, *given.kwonlyargs]]
    return len([name for name in names if name not in {"self", "cls"}])


def is_command(function: Function) -> bool:
    """True for a function whose parameters are command-line flags: typer needs one parameter each."""
    return any("command" in ast.unparse(decorator) for decorator in function.decorator_list)


def test_files_stay_short() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    long = [f"{path.relative_to(ROOT)}: {count} lines" for path, count in lines.items() if count > MAX_FILE_LINES]
    assert not long, f"split by purpose, not by size (limit {MAX_FILE_LINES}):\n" + "\n".join(long)


def test_functions_stay_short() -> None:
    lengths = [(name, (node.end_lineno or 0) - node.lineno + 1) for name, node in functions()]
    long = [f"{name}: {length} lines" for name, length in lengths if length > MAX_FUNCTION_LINES]
    assert not long, f"give each step a name (limit {MAX_FUNCTION_LINES}):\n" + "\n".join(long)


def test_parameter_lists_stay_short() -> None:
    counts = [(name, parameters(node)) for name, node in functions() if not is_command(node)]
    long = [f"{name}: {count} parameters" for name, count in counts if count > MAX_PARAMETERS]
    assert not long, f"what travels together is one value (limit {MAX_PARAMETERS}):\n" + "\n".join(long)


def test_no_public_class_name_is_used_twice_in_a_room() -> None:
    places = defaultdict[tuple[str, str], list[str]](list)
    for path in sources():
        room = path.relative_to(ROOT).parts[0]
        if room in {"benchmarks", "scripts", "tests"}:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[room, node.name].append(str(path.relative_to(ROOT)))
    repeated = [f"{name}: {', '.join(paths)}" for (_, name), paths in places.items() if len(paths) > 1]
    assert not repeated, "\n".join(repeated)
