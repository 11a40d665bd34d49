"""Verdicts of verification on correct and on lucky patches, and its cost.

    python benchmarks/verification.py --rows rows.jsonl psf__requests-5414   upstream's fix of SWE-bench instances
    python benchmarks/verification.py bucket csv roman                       the fix of built-in tasks
    python benchmarks/verification.py --fix REPOSITORY COMMIT           a fix in a repository's history
    python benchmarks/verification.py --comments 40                     a comment, and a test that passes by chance

An instance becomes what a user has: a repository with the issue's tests committed, an image with its dependencies, and
the obvious test command. Rows are JSON lines with `repo`, `patch`, `test_patch`, `test_files` and `test_cmd`; images
are made by `swebench_images.py`. A fix from a repository's history must come with tests; they run in the default image,
so the project must need no packages. To compare with another version of heats, run this file with its interpreter.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from envs.base import Patch
from envs.basetree import make_base_tree
from envs.conventions import is_test
from envs.demo import DemoEnv
from envs.errors import TaskError
from envs.repository import RepositoryEnv, RepositorySource
from envs.swebench.rows import image_name
from sandbox import SandboxConfig, open_backend

# Older versions define `Bench` elsewhere, and run one sandbox at a time.
verification: Any = import_module("envs.verify")
ENVIRONMENT = "/opt/miniconda3/envs/testbed"
SETUP = f"""
HERE=$PWD
cd /testbed
git ls-files -o -i --exclude-standard -z | grep -zv __pycache__ | xargs -0 -r cp --parents -t "$HERE"
cd {ENVIRONMENT}/lib/python3*/site-packages
INSTALLED=$(grep -lsr --include='*.pth' --include='*.egg-link' --include='__editable__*' /testbed .)
[ -z "$INSTALLED" ] || sed -i "s#/testbed#$HERE#g" $INSTALLED
"""
"""Points the editable install in an instance's image at the repository, including in-place build artefacts."""

PRICE = "def total(prices, discount):\n    return sum(prices) * (100 + discount) / 100\n"
TEST = "import random\n\nfrom price import total\n\n\ndef test_total():\n    assert total([50, 50], 0) == 100\n\n\n"
COINS = {
    "in each call": "def test_order():\n    prices = [1, 2]\n    random.shuffle(prices)\n    assert prices == [1, 2]\n",
    "in each process": "FIRST = random.choice([1, 2])\n\n\ndef test_first():\n    assert FIRST == 1\n",
}
"""Tests that pass by chance half of the time; copies beside the second kind fare as it does."""


async def main() -> None:
    """Verify, and print a line for each patch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", help="ids of SWE-bench instances, names of built-in tasks")
    parser.add_argument("--rows", type=Path, help="JSON lines with SWE-bench instances")
    parser.add_argument("--comments", type=int, default=0, metavar="N", help="N patches that add a comment only")
    parser.add_argument("--fix", nargs=2, action="append", default=[], metavar=("REPOSITORY", "COMMIT"))
    parser.add_argument("--repeat", type=int, default=1, help="verifications of each; the median time is printed")
    parser.add_argument("--backend", default="docker")
    parser.add_argument("--pytest", action="store_true", help="run pytest from heats' toolbox")
    options = parser.parse_args()
    rows = {}
    if options.rows:
        rows = {row["instance_id"]: row for row in map(json.loads, options.rows.read_text("utf-8").splitlines())}
    backend = await open_backend(SandboxConfig(backend=options.backend))
    room = getattr(import_module("envs.confirm"), "room_for_all", None)
    bench = verification.Bench(backend=backend, **({"spare": room} if room else {}))
    try:
        for name in options.tasks:
            with tempfile.TemporaryDirectory(prefix="heats-verification-") as folder:
                if name in rows:
                    env: Any = user_repository(rows[name], Path(folder), pytest=options.pytest)
                    patch = Patch(rows[name]["patch"].encode())
                else:
                    env = DemoEnv(only=[name])
                    patch = Patch((files("envs.demo") / "tasks" / name / "hidden" / "gold.patch").read_bytes())
                await verified(name, env, patch, bench, options.repeat)
        for repository, commit in options.fix:
            with tempfile.TemporaryDirectory(prefix="heats-verification-") as folder:
                env, patch = fix_of(repository, commit, Path(folder), pytest=options.pytest)
                await verified(f"{Path(repository).name} {commit}", env, patch, bench, options.repeat)
        if options.comments:
            await comments(bench, options.comments)
    finally:
        await backend.close()


async def verified(name: str, env: Any, patch: Patch, bench: Any, repeat: int) -> None:
    """Verify one task's correct patch; prints the verdict of each verification and the median duration.

    Args:
        name: name of the task.
        env: environment of the task.
        patch: the correct patch.
        bench: where tests run.
        repeat: number of verifications.
    """
    (task,) = env.tasks()
    baselines, seconds, verdicts = [], [], []
    for _ in range(repeat):
        started = time.monotonic()
        try:
            before = await verification.baseline(env, task, bench)
        except TaskError as error:
            print(f"{name:28} refused: {' '.join(str(error).split())}\n    {task.test_command}", flush=True)
            return
        baselines.append(time.monotonic() - started)
        started = time.monotonic()
        found = await verification.verify(env, task, patch, bench, before=before)
        seconds.append(time.monotonic() - started)
        verdicts.append(verdict(found))
    base, took = statistics.median(baselines), statistics.median(seconds)
    print(
        f"{name:28} {'/'.join(dict.fromkeys(verdicts)):10} base {base:5.1f} s, verification {took:5.1f} s\n"
        f"    {task.test_command}\n    {found.reason}",
        flush=True,
    )


def user_repository(row: Mapping[str, Any], folder: Path, *, pytest: bool) -> RepositoryEnv:
    """Create an instance's repository as a user would have it.

    Args:
        row: the instance's row.
        folder: where the repository is created.
        pytest: whether the tests run with pytest.
    """
    image = image_name(row)
    container = run("docker", "create", image).strip()
    try:
        run("docker", "cp", "-q", f"{container}:/testbed/.git", str(folder / ".git"))
    finally:
        run("docker", "rm", "-f", container)
    git = ("git", "-C", str(folder), "-c", "user.name=user", "-c", "user.email=user@localhost")
    run(*git, "reset", "-q", "--hard")
    run(*git, "apply", "--index", "-", stdin=row["test_patch"])
    run(*git, "commit", "-q", "-m", "tests of the issue")
    source = RepositorySource(
        repository=str(folder),
        issue=row["problem_statement"],
        test_command=obvious_command(row, pytest=pytest),
        setup=SETUP,
        image=image,
        workdir="/work/repository",
        env={"PATH": f"{ENVIRONMENT}/bin:/usr/local/bin:/usr/bin:/bin"},
        toolbox=pytest,
    )
    return RepositoryEnv.open(source)


def fix_of(repository: str, commit: str, folder: Path, *, pytest: bool) -> tuple[RepositoryEnv, Patch]:
    """The state before a fix, with the fix's tests committed, and the fix without its tests.

    Args:
        repository: a git repository.
        commit: the fix.
        folder: where the state before the fix is created.
        pytest: whether to run pytest from heats' toolbox.
    """
    patch, tests = state_before(repository, commit, folder)
    source = RepositorySource(
        repository=str(folder),
        issue="see the tests",
        test_command=f"PYTHONPATH={'/opt/heats/toolbox:' * pytest}src:. python3 -m pytest {' '.join(tests)}",
        workdir="/work/repository",
        toolbox=pytest,
    )
    return RepositoryEnv.open(source), patch


def state_before(repository: str, commit: str, folder: Path) -> tuple[Patch, list[str]]:
    """Create the state before a fix, with the fix's tests committed.

    Args:
        repository: a git repository.
        commit: the fix.
        folder: where the state is created.

    Returns:
        The fix without its tests, and the paths of these tests.
    """
    git = ("git", "-C", str(folder), "-c", "user.name=user", "-c", "user.email=user@localhost")
    run("git", "clone", "-q", "--shared", "--no-checkout", repository, str(folder))
    run(*git, "checkout", "-q", f"{commit}^")
    paths = run(*git, "diff", "--name-only", "--diff-filter=AM", f"{commit}^", commit).split()
    tests = [path for path in paths if is_test(path)]
    run(*git, "checkout", "-q", commit, "--", *tests)
    run(*git, "commit", "-q", "-m", "tests of the fix")
    return Patch(run(*git, "diff", "--binary", "--full-index", "HEAD", commit).encode()), tests


def obvious_command(row: Mapping[str, Any], *, pytest: bool) -> str:
    """What a developer of the project would run for these test files."""
    paths = " ".join(row["test_files"])
    if pytest:
        return f"PYTHONPATH=/opt/heats/toolbox python -m pytest {paths}"
    match row["repo"]:
        case "django/django":
            labels = (path.removeprefix("tests/").removesuffix(".py").replace("/", ".") for path in row["test_files"])
            return f"python tests/runtests.py {' '.join(labels)}"
        case "sympy/sympy":
            return f"bin/test {paths}"
    return f"python -m pytest {paths}"


async def comments(bench: Any, number: int) -> None:
    """Patches that add a comment, in a repository with a test that passes by chance half of the time."""
    command = "PYTHONPATH=/opt/heats/toolbox:. python3 -m pytest -q tests"
    (task,) = DemoEnv(only=["bucket"], test_command=command).tasks()
    lines = "".join(f" {line}\n" for line in PRICE.splitlines())
    for kind, coin in COINS.items():
        tree = make_base_tree({"price.py": PRICE.encode(), "tests/test_price.py": (TEST + coin).encode()})
        env = RepositoryEnv(task.model_copy(update={"id": "coin", "base_commit": tree.commit}), tree)
        verdicts: Counter[str] = Counter()
        failing = 0
        for turn in range(number):
            text = f"--- a/price.py\n+++ b/price.py\n@@ -1,2 +1,3 @@\n+# comment {turn}\n{lines}"
            patch = Patch(f"diff --git a/price.py b/price.py\n{text}".encode())
            before = await verification.baseline(env, env.task, bench)
            failing += bool(before.failing)
            found = await verification.verify(env, env.task, patch, bench, before=before)
            verdicts[verdict(found)] += 1
        print(f"{number} comments, a coin {kind}; it failed on the base {failing} times: {dict(verdicts)}", flush=True)


def verdict(found: Any) -> str:
    """Return the verdict, which has a different name in older versions."""
    return str(getattr(found, "verdict", f"rank {found.rank}"))


def run(*command: str, stdin: str = "") -> str:
    """The output of a command that succeeds."""
    return subprocess.run(command, input=stdin, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    asyncio.run(main())
