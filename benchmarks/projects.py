"""From nothing to a verified fix: `heats check` on real projects, then upstream's fix by what it wrote.

    python -m benchmarks.projects --mirror '/git/{owner}/{name}' --sandbox bubblewrap --network bridge [NAME...]

Each project of `projects.yaml` is put into the state before a fix, with the fix's tests committed. A project is a git
repository with the commit of the fix, or an npm package with two versions, of which the later one has the fix; its
published files must contain the tests. `heats check` finds
out how its tests run, without any hint, and writes `heats.yaml`; upstream's change is then verified as a rollout's
would be. Prints a row for each project: what is special, seconds of the set-up and of one test run, tests that pass and
fail before the fix, seconds of the verification, the verdict. `--env` passes variables to the set-up (`PIP_CERT`).
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.verification import run, state_before, verdict
from envs import Bench, Patch, RepositoryEnv, RepositorySource
from envs.baseline import baseline
from envs.errors import EnvsError
from envs.verify import verify
from heats.config import load_config
from heats.environment.project_file import read_project_file
from sandbox import open_backend
from sandbox.errors import SandboxError

ROOT = Path(__file__).resolve().parent.parent


def check(folder: Path, asked: argparse.Namespace, settings: Sequence[str]) -> dict[str, Any]:
    """What `heats check` finds, or `problem` if it finds nothing that works.

    Args:
        folder: the repository.
        asked: command-line options.
        settings: further settings, as for `-c`.
    """
    command = [sys.executable, "-m", "heats", "check", str(folder), "--json", "--sandbox", asked.sandbox]
    command += ["--setup-network", asked.network]
    command += [word for name in asked.env for word in ("--setup-env", name)]
    command += [word for one in settings for word in ("-c", one)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    found: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
    if done.returncode:
        found["problem"] = found.get("problem") or done.stderr.strip().splitlines()[-1]
    return found


async def verified(folder: Path, patch: Patch, asked: argparse.Namespace, settings: Sequence[str]) -> str:
    """The verdict on a patch, with what `heats.yaml` says.

    Args:
        folder: the repository.
        patch: the patch.
        asked: command-line options.
        settings: further settings, as for `-c`.
    """
    config, project = load_config(settings, {"sandbox.backend": asked.sandbox}), read_project_file(folder)
    assert project is not None
    source = RepositorySource(
        repository=str(folder),
        issue="see the tests",
        test_command=project.test,
        setup=project.setup,
        setup_network=project.setup_network,
        setup_env=tuple(asked.env),
        image=project.image or "",
    )
    backend = await open_backend(config.sandbox)
    try:
        env = await asyncio.to_thread(RepositoryEnv.open, source)
        bench = Bench(backend=backend, limits=config.sandbox.limits, labels={"run": "benchmark"}, rules=config.verify)
        before = await baseline(env, env.task, bench)
        found = await verify(env, env.task, patch, bench, before=before)
        name = verdict(found)
        return name if name == "verified" else f"{name} by {found.strength}: {found.reason}"
    except (EnvsError, SandboxError) as error:
        return f"refused: {error}"
    finally:
        await backend.close()


def published(package: str, versions: Sequence[str], folder: Path) -> None:
    """Create a git repository in which each published version of an npm package is a commit, tagged with its number.

    Args:
        package: name of the package.
        versions: the versions, oldest first.
        folder: where the repository is created.
    """
    git = ("git", "-C", str(folder), "-c", "user.name=user", "-c", "user.email=user@localhost")
    run("git", "init", "-q", str(folder))
    for version in versions:
        if tracked := run(*git, "ls-files", "-z").split("\0")[:-1]:
            run(*git, "rm", "-q", "--", *tracked)
        with tempfile.TemporaryDirectory(prefix="heats-package-") as place:
            archive = run("npm", "pack", "--silent", "--pack-destination", place, f"{package}@{version}").strip()
            run("tar", "-xzf", str(Path(place, archive)), "--strip-components=1", "-C", str(folder))
        run(*git, "add", "--all", "--force")
        run(*git, "commit", "-q", "-m", version)
        run(*git, "tag", version)


def project_name(about: dict[str, Any]) -> str:
    """Return the name of an entry in `projects.yaml`."""
    return str(about.get("package") or about["repository"].split("/")[1])


def row(about: dict[str, Any], asked: argparse.Namespace) -> dict[str, Any]:
    """Check one project and verify its fix.

    Args:
        about: its entry in `projects.yaml`.
        asked: command-line options.
    """
    name, settings = project_name(about), about.get("settings", [])
    with tempfile.TemporaryDirectory(prefix="heats-projects-") as place:
        folder = Path(place, "before", name)
        if "package" in about:
            source, fix = str(Path(place, "published")), about["versions"][-1]
            published(name, about["versions"], Path(source))
        else:
            source, fix = asked.mirror.format(owner=about["repository"].split("/")[0], name=name), about["fix"]
        patch, _ = state_before(source, fix, folder)
        found = check(folder, asked, settings)
        line = {"project": f"{name} {fix}", "special": about["special"], "test": found.get("test")}
        line |= {"setup": found.get("setup"), "setup_s": found.get("prepare_s"), "tests_s": found.get("test_s")}
        line |= {"tests": found.get("tests"), "problem": found.get("problem")}
        if not found.get("problem"):
            started = time.monotonic()
            line["verdict"] = asyncio.run(verified(folder, patch, asked, settings))
            line["verified_s"] = round(time.monotonic() - started, 1)
    return line


def main() -> None:
    """Check the projects, and print a line of JSON for each and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="default: all")
    parser.add_argument("--mirror", default="https://github.com/{owner}/{name}", help="where repositories are")
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--network", default="bridge", help="network of the set-up")
    parser.add_argument("--env", action="append", default=[], metavar="NAME")
    asked = parser.parse_args()
    listed = yaml.safe_load((ROOT / "benchmarks" / "projects.yaml").read_text(encoding="utf-8"))
    rows = []
    for about in listed:
        if not asked.names or project_name(about) in asked.names:
            rows.append(row(about, asked))
            print(json.dumps(rows[-1]), flush=True)
    print("\n| project | what is special | set-up | tests | before the fix | upstream's fix |")
    print("| --- | --- | --- | --- | --- | --- |")
    for one in rows:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in (one["tests"] or {}).items() if count)
        seconds = ", ".join(f"{value:g} s" for value in one["tests_s"] or ())
        ended = f"{one['verdict']}, {one['verified_s']:g} s" if "verdict" in one else one["problem"]
        set_up = f"{one['setup_s']:g} s" if one["setup_s"] is not None else "-"
        print(f"| {one['project']} | {one['special']} | {set_up} | {seconds} | {counts} | {ended} |")


if __name__ == "__main__":
    main()
