"""Another distribution that ships one of heats' names is reported in one line at start-up, with the remedy."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from heats.packages import PACKAGES, replaced

ROOT = Path(__file__).resolve().parents[2]


def test_the_names_are_those_of_the_wheel():
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {"heats", *PACKAGES} == set(told["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert replaced() is None


def start(path: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(path)}
    command = [sys.executable, "-c", "from heats.__main__ import main; main()", "--version"]
    return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)


def test_a_folder_in_front_of_a_package_is_named(tmp_path):
    """It ended in a traceback about a module that is not in agents/."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("")
    done = start(tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (6, "", 1)
    assert f"`agents` is hidden by {tmp_path / 'agents'}" in done.stderr


def installed(site: Path) -> None:
    """heats as installed from a wheel in a site directory."""
    for name in ("heats", *PACKAGES):
        shutil.copytree(ROOT / name, site / name, ignore=shutil.ignore_patterns("__pycache__", "tasks"))
    (site / "openai_agents-1.dist-info").mkdir()
    (site / "openai_agents-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: openai-agents\nVersion: 1\n"
    )
    (site / "openai_agents-1.dist-info" / "RECORD").write_text("agents/__init__.py,,\n")
    (site / "heats-0.dist-info").mkdir()
    (site / "heats-0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: heats\nVersion: 0\n")
    from heats.packages import _hash

    lines = [f"{name}/__init__.py,sha256={_hash(site / name / '__init__.py')},1" for name in PACKAGES]
    (site / "heats-0.dist-info" / "RECORD").write_text("\n".join(lines) + "\n")


def test_a_distribution_that_replaced_a_package_is_named_with_the_way_out(tmp_path):
    installed(tmp_path)
    assert start(tmp_path).stdout == "heats 0\n"
    (tmp_path / "agents" / "__init__.py").write_text("class Agent: ...\n")
    done = start(tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (6, 1)
    assert "another distribution, openai-agents, has replaced heats' package `agents`" in done.stderr
    assert "uv tool install heats" in done.stderr
    (tmp_path / "agents" / "__init__.py").unlink()
    assert "`agents`" in start(tmp_path).stderr
