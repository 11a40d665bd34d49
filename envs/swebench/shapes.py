"""Convert rows of data sets that follow SWE-bench under other field names.

Supported are SWE-rebench, SWE-bench-Live, SWE-bench Pro and Multi-SWE-bench; SWE-Gym's rows are SWE-bench's. A row's
image, working directory and tests are kept; a row that only the data set's own harness can grade is marked.
"""

import ast
import json
import shlex
from collections.abc import Mapping
from typing import Any

PRO_HARNESS = "SWE-bench Pro keeps each row's run script and output parser in its own repository"
MULTI_HARNESS = "Multi-SWE-bench reads test output with parsers of its own harness"
_ELSEWHERE = "run it with -c grade=false and grade the predictions with that harness"


def classic(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with SWE-bench's field names. Keys that begin with `_` are notes for `make_instance`.

    A row that already follows SWE-bench is returned unchanged.
    """
    found = dict(row)
    if isinstance(row.get("base"), Mapping) and "org" in row and "number" in row:
        found = _multi(row)
    elif "fail_to_pass" in row or "dockerhub_tag" in row:
        found = _pro(row)
    found = _rebench(found) if "install_config" in row else found
    command = found.get("test_cmd") or found.get("test_cmds")
    if command and not isinstance(command, str):
        found["test_cmd"] = _command(command)
    elif command:
        found["test_cmd"] = command
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


def _multi(row: Mapping[str, Any]) -> dict[str, Any]:
    """Multi-SWE-bench: pull requests, with their issues and with tests by name."""
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
    found = {**row, "problem_statement": "\n\n".join(parts), "_harness": f"{PRO_HARNESS}: {_ELSEWHERE}"}
    for name in ("FAIL_TO_PASS", "PASS_TO_PASS"):
        found.setdefault(name, row.get(name.lower()))
    if row.get("dockerhub_tag"):
        found.setdefault("image", f"jefzda/sweap-images:{row['dockerhub_tag']}")
        found["_workdir"] = "/app"
    return found


def _rebench(row: Mapping[str, Any]) -> dict[str, Any]:
    """SWE-rebench: `install_config` holds the test command and the parser; pytest needs the test files as arguments."""
    config = row["install_config"]
    config = _literal(config) if isinstance(config, str) else config
    if not isinstance(config, Mapping):
        return dict(row)
    command = _command(config.get("test_cmd") or "")
    found = {**row, "log_parser": row.get("log_parser") or config.get("log_parser")}
    if not row.get("test_cmd"):
        found |= {"test_cmd": command, "_with_files": "pytest" in command}
    return found


def _command(command: Any) -> str:
    """One shell command; several are chained and stop at the first failure."""
    return command if isinstance(command, str) else " && ".join(map(str, command))


def with_files(command: str, files: tuple[str, ...]) -> str:
    """Append the files to run to a test command, unless it names some already."""
    python = [path for path in files if path.endswith(".py")]
    named = any(word.endswith(".py") or "::" in word for word in command.split())
    return command if named or not python else f"{command} {shlex.join(python)}"
