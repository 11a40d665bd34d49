"""Code that a judge runs on candidates: a script on one patched tree, or several patched trees side by side.

Sandboxes are fresh and have no network. Nothing of what happens in them is collected: verification and grading start
from the pristine image and know only the bytes of a patch.
"""

import posixpath
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from envs.base import Env, Patch, Task
from envs.bench import Bench
from envs.gitscripts import describe, scratch_path
from envs.machine import prepared, spec_for
from envs.worktree import apply_patch
from sandbox.base import ExecResult, Sandbox, SandboxSpec
from sandbox.errors import SandboxError

BASE = "base"
_RUNNER = """#!/bin/sh
# Runs a command in one of the trees, so that its Python code is imported and not that of an installed copy.
if [ $# -lt 2 ] || [ ! -d "{folder}/$1" ]; then echo "usage: {folder}/on TREE COMMAND..." >&2; exit 2; fi
HERE="{folder}/$1"; shift
cd "$HERE{below}" || exit 2
for ONE in lib src .; do
  if [ -d "$HERE/$ONE" ]; then PYTHONPATH="$HERE/$ONE${{PYTHONPATH:+:$PYTHONPATH}}"; fi
done
export PYTHONPATH PYTHONDONTWRITEBYTECODE=1
if [ $# = 1 ]; then exec bash -c "$1"; fi
exec "$@"
"""
_COPY = 'mkdir -p "$1" && shift && for ONE; do cp -a . "$ONE" || exit 1; done'


@dataclass(frozen=True, slots=True)
class Trees:
    """Patched trees in one sandbox.

    Attributes:
        sandbox: the sandbox; the task's own directory holds the base.
        folder: folder with one tree per name, and the script `on`, which runs a command in one of them.
        missing: names of the trees whose patch does not apply, with the reason.
    """

    sandbox: Sandbox
    folder: str
    missing: Mapping[str, str]


async def run_script(
    env: Env, task: Task, patch: Patch, bench: Bench, script: str, *, timeout_s: float
) -> tuple[ExecResult | None, str]:
    """Run a shell script on a patched tree in a fresh sandbox without network.

    Args:
        env: environment of the task.
        task: the task.
        patch: the patch to apply; empty for the base.
        bench: where it runs.
        script: the script; it starts where the task's agents start.
        timeout_s: time limit in seconds.

    Returns:
        The result; None and the reason if the patch does not apply.

    Raises:
        SetupFailed, SandboxError
    """
    async with prepared(env, task, bench.backend, _spec(task, bench)) as sandbox:
        if patch and (problem := await apply_patch(sandbox, task.workdir, patch)):
            return None, f"the patch does not apply: {problem}"
        path = scratch_path(".sh")
        await sandbox.write_file(path, script.encode("utf-8", "surrogateescape"))
        result = await sandbox.exec(f"bash {path}", timeout=timeout_s, cwd=task.runs_in, merge_stderr=True)
        await sandbox.kill_all()
        return result, ""


@asynccontextmanager
async def trees_of(env: Env, task: Task, patches: Mapping[str, Patch], bench: Bench) -> AsyncIterator[Trees]:
    """Open a sandbox without network that holds the base and one tree for each patch; close it at the end.

    Args:
        env: environment of the task.
        task: the task.
        patches: patches by the name of their tree.
        bench: where the sandbox runs.

    Raises:
        SetupFailed, SandboxError
    """
    async with prepared(env, task, bench.backend, _spec(task, bench)) as sandbox:
        folder = posixpath.join(await _home(sandbox, task.workdir), "candidates")
        places = [f"{folder}/{name}" for name in (BASE, *patches)]
        words = " ".join(shlex.quote(word) for word in (folder, *places))
        copied = await sandbox.exec(
            f"sh -c {shlex.quote(_COPY)} sh {words}", timeout=600, cwd=task.workdir, merge_stderr=True
        )
        if not copied.ok:
            raise SandboxError(f"the trees could not be copied: {describe(copied)}")
        below = f"/{task.folder}" if task.folder else ""
        script = _RUNNER.format(folder=folder, below=below).encode()
        await sandbox.write_file(f"{folder}/on", script, mode=0o755)
        problems = {name: await apply_patch(sandbox, f"{folder}/{name}", patch) for name, patch in patches.items()}
        yield Trees(sandbox, folder, {name: problem for name, problem in problems.items() if problem})


async def _home(sandbox: Sandbox, workdir: str) -> str:
    """Return a folder on disk that is outside the working directory."""
    home = (await sandbox.exec("cd ~ 2>/dev/null && pwd", timeout=60)).text().strip()
    inside = f"{home}/".startswith(f"{workdir.rstrip('/')}/") or f"{workdir}/".startswith(f"{home.rstrip('/')}/")
    return home if home.startswith("/") and home != "/" and not inside else "/tmp"  # noqa: S108 - in the sandbox


def _spec(task: Task, bench: Bench) -> SandboxSpec:
    return replace(spec_for(task, bench.labels, bench.limits), network="none")
