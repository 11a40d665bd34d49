"""Convert rows of data sets that follow SWE-bench under other field names.

Supported are SWE-rebench (1 and 2), SWE-bench-Live, SWE-bench Pro, SWE-PolyBench, R2E-Gym and Multi-SWE-bench;
SWE-Gym's rows are SWE-bench's. A row's image, working directory and tests are kept. A row that only the data set's own
harness can grade is marked with `_harness`, one that cannot be used at all with `_unusable`, and what an image holds of
the answer is listed in `_hidden`.
"""

import ast
import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from envs.swebench.printed import POLYBENCH

PRO_HARNESS = "SWE-bench Pro keeps each row's run script and output parser in its repository's run_scripts"
MULTI_HARNESS = "Multi-SWE-bench reads test output with parsers of its own harness"
_POLY_HARNESS = "SWE-PolyBench reads this project's output with a parser of its own harness"
_ELSEWHERE = "run it with -c grade=false and grade the predictions with that harness"
_PICTURES = "its issue relies on images (image_assets), which heats does not show to agents"
_WINDOWS = "its image is a Windows container, and heats runs Linux only"
_HUB_LIVE = "starryzhang/sweb.eval.x86_64"
_TIMING = re.compile(r"\s*[\[(]\s*\d+(?:\.\d+)?\s*m?s\s*[\])]\s*$", re.IGNORECASE)


def classic(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with SWE-bench's field names. Keys that begin with `_` are notes for `make_instance`.

    A row that already follows SWE-bench is returned unchanged.
    """
    found = dict(row)
    if isinstance(row.get("base"), Mapping) and "org" in row and "number" in row:
        found = _multi(row)
    elif "expected_output_json" in row and "docker_image" in row:
        found = _r2e(row)
    elif "F2P" in row and "P2P" in row:
        found = _poly(row)
    elif "fail_to_pass" in row or "dockerhub_tag" in row:
        found = _pro(row)
    elif "test_cmds" in row:
        found = _live(row)
    found = _rebench(found) if "install_config" in row else found
    if _has_pictures(row.get("image_assets")):
        found["_unusable"] = _PICTURES
    command = found.get("test_cmd")
    if command and not isinstance(command, str):
        found["test_cmd"] = _command(command)
    return found


def strings(value: object) -> tuple[str, ...] | None:
    """A list of strings, which some data sets store as JSON text or a Python literal; None for anything else."""
    if isinstance(value, str):
        value = _literal(value) if value.strip() else []
    elif value is None:
        value = []
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        return None
    found = tuple(value)
    return found if all(isinstance(one, str) for one in found) else None


def _literal(text: str) -> object:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def _mapping(value: object) -> Mapping[str, Any]:
    """An object, which some data sets store as JSON text; empty for anything else."""
    value = _literal(value) if isinstance(value, str) else value
    return value if isinstance(value, Mapping) else {}


def _has_pictures(assets: object) -> bool:
    """Whether SWE-bench Multimodal's list of pictures has any that belong to the statement."""
    return bool(_mapping(assets).get("problem_statement"))


def _multi(row: Mapping[str, Any]) -> dict[str, Any]:
    """Multi-SWE-bench: pull requests, with their issues and with tests by name. Its images hold the answer as files."""
    org, repo, number = str(row["org"]), str(row["repo"]), str(row["number"])
    issues = [one for one in row.get("resolved_issues") or () if isinstance(one, Mapping)]
    told = [f"{one.get('title') or ''}\n\n{one.get('body') or ''}".strip() for one in issues]
    return {
        "instance_id": row.get("instance_id") or f"{org}__{repo}-{number}",
        "repo": f"{org}/{repo}",
        "base_commit": row["base"].get("sha"),
        "problem_statement": "\n\n".join(one for one in told if one) or row.get("title"),
        "patch": row.get("fix_patch"),
        "test_patch": row.get("test_patch"),
        "FAIL_TO_PASS": _names(row.get("fixed_tests")),
        "PASS_TO_PASS": _names(row.get("p2p_tests")),
        "image": row.get("image") or f"mswebench/{org}_m_{repo}:pr-{number}".lower(),
        "test_cmd": row.get("test_cmd"),
        "log_parser": row.get("log_parser"),
        "_workdir": "/".join(("", "home", repo)),
        "_hidden": ("/home/fix.patch", "/home/test.patch"),
        "_harness": f"{MULTI_HARNESS}: {_ELSEWHERE}",
    }


def _names(tests: object) -> list[str]:
    """Names of tests. In tabular form every row has a column for every test; those of other rows are null."""
    return [str(name) for name, told in tests.items() if told is not None] if isinstance(tests, Mapping) else []


def _pro(row: Mapping[str, Any]) -> dict[str, Any]:
    """SWE-bench Pro: the interface that the change must provide is given beside the statement."""
    parts = [str(row.get("problem_statement") or "")]
    parts += [
        f"{title}:\n{row[name]}"
        for name, title in (("requirements", "Requirements"), ("interface", "New interfaces introduced"))
        if str(row.get(name) or "").strip()
    ]
    why = f"{PRO_HARNESS}: give a copy of that folder with -O scripts=DIR, or {_ELSEWHERE}"
    found = {**row, "problem_statement": "\n\n".join(parts), "_harness": why}
    for name in ("FAIL_TO_PASS", "PASS_TO_PASS"):
        found.setdefault(name, row.get(name.lower()))
    if row.get("dockerhub_tag"):
        found.setdefault("image", f"jefzda/sweap-images:{row['dockerhub_tag']}")
        found["_workdir"] = "/app"
    return found


def _live(row: Mapping[str, Any]) -> dict[str, Any]:
    """SWE-bench-Live: commands that rebuild, test, and print what the parser reads; all run, whatever their results."""
    rebuild, test, show = (_commands(row.get(f"{name}_cmds")) for name in ("rebuild", "test", "print"))
    found = {**row, "test_cmd": "\n".join(show or test), "_build": (*rebuild, *(test if show else ()))}
    image = next((str(row[key]) for key in ("docker_image", "image_name", "image") if row.get(key)), "")
    if "sweb.eval.win." in image or row.get("platform") == "windows":
        found["_unusable"] = _WINDOWS
    if not image and isinstance(row.get("instance_id"), str):
        found["image"] = f"{_HUB_LIVE}.{row['instance_id'].replace('__', '_1776_')}:latest".lower()
    return found


def _poly(row: Mapping[str, Any]) -> dict[str, Any]:
    """SWE-PolyBench: the Dockerfile tells where the tree is, and the repository how its output is read."""
    places = re.findall(r"^\s*WORKDIR\s+(/\S*)", str(row.get("Dockerfile") or ""), re.MULTILINE)
    python = str(row.get("language")).lower() == "python"
    parser = "polybench-python" if python else POLYBENCH.get(str(row.get("repo")), "")
    return {
        **{name: value for name, value in row.items() if name not in ("Dockerfile", "modified_nodes")},
        "FAIL_TO_PASS": row["F2P"],
        "PASS_TO_PASS": row["P2P"],
        "image": row.get("image")
        or f"ghcr.io/timesler/swe-polybench.eval.x86_64.{row.get('instance_id')}:v1.1".lower(),
        "test_cmd": row.get("test_command") if parser else "",
        "log_parser": parser,
        "_workdir": places[-1].rstrip("/") if places else "",
        "_harness": f"{_POLY_HARNESS}: {_ELSEWHERE}",
    }


def _r2e(row: Mapping[str, Any]) -> dict[str, Any]:
    """R2E-Gym: the hidden tests lie in the image, and the row tells how each ends with the reference."""
    commit = _mapping(row.get("parsed_commit_content"))
    statement = str(row.get("problem_statement") or "")
    issue = re.search(r"\[ISSUE\](.*)\[/ISSUE\]", statement, re.DOTALL)
    expected = _mapping(row["expected_output_json"])
    names = [_plain_name(str(name)) for name, end in expected.items() if end == "PASSED"]
    return {
        "instance_id": f"{row.get('repo_name')}__{row.get('commit_hash')}",
        "repo": str(row.get("repo_name") or ""),
        "base_commit": commit.get("old_commit_hash") or f"{row.get('commit_hash')}^",
        "problem_statement": issue[1].strip() if issue else statement,
        "FAIL_TO_PASS": names,
        "PASS_TO_PASS": [],
        "docker_image": row["docker_image"],
        "test_cmd": "ln -sfn /r2e_tests r2e_tests && bash run_tests.sh",
        "log_parser": "r2e",
        "_workdir": "/testbed",
        "_hidden": ("/r2e_tests", "/testbed/r2e_tests", "/testbed/run_tests.sh"),
    }


def _plain_name(name: str) -> str:
    return re.sub(r"\x1b\[\d+m", "", name).split(" - ")[0]


def _rebench(row: Mapping[str, Any]) -> dict[str, Any]:
    """SWE-rebench: `install_config` holds the test command and the parser; pytest needs the test files as arguments.

    Version 2 keeps the tree in a folder named after the project, names all test files itself, and its ids may end with
    a duration.
    """
    config = row["install_config"]
    config = _literal(config) if isinstance(config, str) else config
    if not isinstance(config, Mapping):
        return dict(row)
    command = _command(config.get("test_cmd") or "")
    found = {**row, "log_parser": row.get("log_parser") or config.get("log_parser")}
    second = "base_image_name" in config or "swerebenchv2/" in str(row.get("image_name"))
    if second:
        found["_workdir"] = f"/{str(row.get('repo')).rpartition('/')[2]}"
        for name in ("FAIL_TO_PASS", "PASS_TO_PASS"):
            names = strings(row.get(name))
            found[name] = row.get(name) if names is None else [_TIMING.sub("", one) for one in names]
    if not row.get("test_cmd"):
        found |= {"test_cmd": command, "_with_files": "pytest" in command and not second}
    return found


def _commands(value: object) -> tuple[str, ...]:
    """Commands in a list, or a single one."""
    found = strings(value)
    return found if found is not None else (str(value),)


def _command(command: Any) -> str:
    """One shell command; several are chained and stop at the first failure."""
    return command if isinstance(command, str) else " && ".join(map(str, command))


def with_files(command: str, files: tuple[str, ...]) -> str:
    """Append the files to run to a test command, unless it names some already."""
    python = [path for path in files if path.endswith(".py")]
    named = any(word.endswith(".py") or "::" in word for word in command.split())
    return command if named or not python else f"{command} {shlex.join(python)}"
