"""Grade known patches of SWE-bench instances with our grader and the official ones, and compare test by test.

    python benchmarks/swebench_agreement.py --rows rows.jsonl --python .cache/tools/swebench5/bin/python [INSTANCE...]

For each instance with an existing image: the gold patch, a patch without any effect, and cheating patches. Prints one
line per patch and grader, then a table. `--out` keeps every grade as JSON lines, and a later call resumes from it.
"""

import argparse
import asyncio
import json
import runpy
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from core.diff import diff_stats  # noqa: E402
from envs.base import Grade, Patch, Task  # noqa: E402
from envs.machine import prepared, spec_for  # noqa: E402
from envs.swebench import SweBenchEnv, SweBenchSource  # noqa: E402
from sandbox import SandboxConfig, open_backend  # noqa: E402
from sandbox.base import Sandbox, SandboxBackend  # noqa: E402
from sandbox.errors import FileAccessError, ImageMissing  # noqa: E402

KINDS = ("gold", "no-op")
CHEATS = ("report hook in a conftest", "runner patched by the source", "exit in the source", "sitecustomize")


async def main() -> None:
    """Grade what is not in `--out` yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instances", nargs="*")
    parser.add_argument("--rows", required=True)
    parser.add_argument("--python", type=Path, action="append", default=[], help="environments with swebench")
    parser.add_argument("--cheats", nargs="*", default=CHEATS, help="names of tests/envs/test_cheats.py, or all")
    parser.add_argument("--official-cheats", action="store_true", help="show cheats to the official graders too")
    parser.add_argument("--out", type=Path, default=Path("swebench-agreement.jsonl"))
    options = parser.parse_args()
    graders = {"own": SweBenchEnv.open(SweBenchSource(source=options.rows, only=tuple(options.instances)))}
    for python in options.python:
        source = SweBenchSource(
            source=options.rows, only=tuple(options.instances), grader="official", swebench_python=python.absolute()
        )
        graders[python.parent.parent.name] = SweBenchEnv.open(source)
    done = read(options.out)
    backend = await open_backend(SandboxConfig(backend="docker"))
    try:
        for task in graders["own"].tasks():
            try:
                await backend.preflight([task.image])
            except ImageMissing:
                print(f"{task.id:32} no image {task.image}")
                continue
            await grade_task(graders, task, backend, options, done)
    finally:
        await backend.close()
    print(table(read(options.out), list(graders)))


async def grade_task(
    graders: Mapping[str, SweBenchEnv],
    task: Task,
    backend: SandboxBackend,
    options: argparse.Namespace,
    done: Mapping[tuple[str, str, str], Mapping[str, Any]],
) -> None:
    """Grade one task's patches with all graders; each grade is stored at once.

    Args:
        graders: envs by name of their grader.
        task: the task.
        backend: starts sandboxes.
        options: command-line options.
        done: existing grades, by task, kind of patch and grader.
    """
    own = graders["own"]
    cheats = list(all_cheats()["CHEATS"]) if list(options.cheats) == ["all"] else options.cheats
    for kind in (*KINDS, *cheats):
        names = [
            name
            for name in graders
            if (task.id, kind, name) not in done and (name == "own" or kind in KINDS or options.official_cheats)
        ]
        if not names:
            continue
        patch = await make_patch(own, task, kind, backend)
        for name in names:
            started = time.monotonic()
            grade = await graders[name].grade(task, patch, backend)
            assert grade is not None
            record(options.out, task, kind, name, grade, time.monotonic() - started)


async def make_patch(env: SweBenchEnv, task: Task, kind: str, backend: SandboxBackend) -> Patch:
    """A patch of the given kind, made like an attempt's: files are changed in a sandbox, and the env diffs it.

    Args:
        env: env of the task.
        task: the task.
        kind: `gold`, `no-op` or the name of a cheat.
        backend: starts the sandbox.
    """
    if kind == "gold":
        return env.reference(task.id)
    changed = diff_stats(env.reference(task.id).data).files
    module = next(path for path in changed if path.endswith(".py"))
    async with prepared(env, task, backend, spec_for(task)) as box:
        for path, data in files_of(kind, module, await read_source(box, task, module)).items():
            if data is None:
                await box.exec(f"rm -f {path}", timeout=30, cwd=task.workdir)
            else:
                await box.write_file(f"{task.workdir}/{path}", data)
        return await env.collect(task, box)


def files_of(kind: str, module: str, source: bytes) -> dict[str, bytes | None]:
    """The files of one kind of patch: a cheat's, applied to the module that the fix changes.

    Args:
        kind: `no-op` or the name of a cheat.
        module: path of the module that the fix changes.
        source: its contents.
    """
    if kind == "no-op":
        return {"heats_note.txt": b"nothing\n"}
    cheats = all_cheats()
    code = cheats["CODE"]
    files: dict[str, bytes | None] = {}
    for path, data in cheats["CHEATS"][kind].items():
        in_module = path == "shop/cart.py"
        future = b"from __future__ import annotations\n"
        if in_module and data is not None:
            before, _, after = data.partition(code)
            head = future if source.startswith(future) else b""
            data = head + before + source.removeprefix(head) + b"\n" + after
        files[module if in_module else path] = data
    return files


def all_cheats() -> dict[str, Any]:
    """The cheating patches of our own tests, except those that create links."""
    folder = str(ROOT / "tests" / "envs")
    sys.path.insert(0, folder)
    try:
        known = runpy.run_path(f"{folder}/cheats.py")
    finally:
        sys.path.remove(folder)
    link = known["Link"]
    plain = {
        name: files
        for name, files in known["CHEATS"].items()
        if not any(isinstance(one, link) for one in files.values())
    }
    return {**known, "CHEATS": plain}


async def read_source(box: Sandbox, task: Task, path: str) -> bytes:
    """A file of the tree; empty if it does not exist.

    Args:
        box: the sandbox.
        task: the task.
        path: path in the tree.
    """
    try:
        return await box.read_file(f"{task.workdir}/{path}")
    except FileAccessError:
        return b""


def record(out: Path, task: Task, kind: str, grader: str, grade: Grade, seconds: float) -> None:
    """Store and print one grade.

    Args:
        out: file of grades.
        task: the task.
        kind: kind of patch.
        grader: name of the grader.
        grade: its grade.
        seconds: how long it took.
    """
    tests = dict(grade.report.tests) if grade.report else {}
    line = {"task": task.id, "patch": kind, "grader": grader, "outcome": grade.outcome, "reason": grade.reason}
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**line, "tests": tests, "seconds": round(seconds, 1)}) + "\n")
    print(f"{task.id:32} {kind:32} {grader:10} {grade.outcome:8} {seconds:6.1f} s  {grade.reason[:90]}", flush=True)


def read(out: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The existing grades, except invalid ones."""
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []
    return {(line["task"], line["patch"], line["grader"]): line for line in lines if line["outcome"] != "invalid"}


def table(grades: Mapping[tuple[str, str, str], Mapping[str, Any]], graders: list[str]) -> str:
    """One row per instance: each grader's result for gold and no-op, tests that differ, and cheats that pass."""
    rows = [
        ["instance", *(f"{kind} {name}" for kind in KINDS for name in graders), "tests differing", "cheats passing"]
    ]
    for task in sorted({key[0] for key in grades}):
        said = [grades.get((task, kind, name), {}).get("outcome", "-") for kind in KINDS for name in graders]
        compared, differing = 0, 0
        for kind in KINDS:
            own = grades.get((task, kind, "own"))
            for name in graders[1:]:
                other = grades.get((task, kind, name))
                if own and other:
                    tests = other["tests"]
                    compared += len(tests)
                    differing += sum(
                        (own["tests"].get(test) in ("passed", "skipped")) != (outcome == "passed")
                        for test, outcome in tests.items()
                    )
        own_cheats = [
            line for key, line in grades.items() if key[0] == task and key[1] not in KINDS and key[2] == "own"
        ]
        passing = sum(line["outcome"] == "pass" for line in own_cheats)
        rows.append([task, *said, f"{differing} of {compared}", f"{passing} of {len(own_cheats)}"])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


if __name__ == "__main__":
    asyncio.run(main())
