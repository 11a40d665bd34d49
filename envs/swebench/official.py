"""The official grader: the `swebench` package, versions 4.1 and 5, run as a program in a separate environment.

Its dependencies conflict with ours, and it reads and writes in its working directory. So every grade gets a separate
directory and run id, and a report left by an earlier run cannot be mistaken for the current one. It starts containers
itself, with its own flags: as root, with a network. Images must exist: anything it would pull is checked beforehand.
"""

import asyncio
import json
import os
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.base import Grade, Patch, Task, TestOutcome, TestReport
from envs.errors import TaskError
from envs.swebench.logs import BY_REPOSITORY
from envs.swebench.plan import make_eval_script
from envs.swebench.rows import IMAGE_KEYS, IMAGE_TEMPLATE, Instance, image_name
from envs.testing import OUTPUT_TAIL

_VERSION = "from importlib.metadata import version; print(version('swebench'))"
# Version 4.1 fetches requirement files from GitHub for the script that would build an image before it notices that the
# image exists and needs no script.
_WITHOUT_ENV_SCRIPTS = (
    "import runpy, swebench.harness.test_spec.test_spec as spec; spec.make_env_script_list = lambda *given: []; "
    "runpy.run_module('swebench.harness.run_evaluation', run_name='__main__', alter_sys=True)"
)
_REMOVE = (
    "import sys, docker; found = docker.from_env().containers.list(all=True, filters={'name': sys.argv[1]}); "
    "[one.remove(force=True) for one in found]"
)
_SPECIFIED = (
    "import json; from swebench.harness.constants import MAP_REPO_VERSION_TO_SPECS as known; "
    "print(json.dumps({repository: list(versions) for repository, versions in known.items()}))"
)
_START_S = 120.0
"""Seconds added to the tests' time limit, for starting the harness and the container, and for shutting down."""
_MODEL = "heats"
_HELP = "create an environment with `pip install swebench` and give its interpreter with --swebench-python"


@dataclass(frozen=True, slots=True)
class Harness:
    """An installed `swebench`: its interpreter and its major version."""

    python: Path
    major: int

    @property
    def entry(self) -> tuple[str, str]:
        """Arguments that start its evaluation."""
        return ("-m", "swebench.harness.run_evaluation") if self.major >= 5 else ("-c", _WITHOUT_ENV_SCRIPTS)


async def grade_officially(instance: Instance, task: Task, patch: Patch, python: Path | None) -> Grade:
    """Grade one patch with the official harness; `invalid` if the harness, or the infrastructure below it, failed.

    Args:
        instance: the whole row, answer included.
        task: the instance as agents know it, for its image and time limit.
        patch: the submission.
        python: interpreter of the environment with `swebench`.

    Raises:
        TaskError: no such environment, a version other than 4.1 or 5, or a row or image that it cannot use.
    """
    harness = await find_harness(python)
    if not patch:
        return Grade(task_id=instance.id, outcome="fail", reason="no patch")
    row, arguments = row_for(harness, instance, task.image, task.workdir)
    run_id = f"heats-{secrets.token_hex(8)}"
    prediction = {"instance_id": instance.id, "model_name_or_path": _MODEL}
    try:
        prediction["model_patch"] = patch.data.decode("utf-8")
    except UnicodeDecodeError:
        return Grade(task_id=instance.id, outcome="fail", reason="the patch is not UTF-8: the harness cannot read it")
    with tempfile.TemporaryDirectory(prefix="heats-official-") as name:
        folder = Path(name)
        try:
            (folder / "preds.json").write_text(json.dumps([prediction]), encoding="utf-8")
            (folder / "rows.json").write_text(json.dumps([row], default=str), encoding="utf-8")
        except UnicodeEncodeError:
            return Grade(
                task_id=instance.id, outcome="fail", reason="the patch is not UTF-8: the harness cannot read it"
            )
        command = [
            *(str(harness.python), *harness.entry, "--dataset_name", "rows.json"),
            *("--predictions_path", "preds.json", "--run_id", run_id, "--max_workers", "1"),
            *("--timeout", str(int(task.test_timeout_s)), *arguments),
        ]
        try:
            code, output = await _run(command, folder, task.test_timeout_s + _START_S)
        except asyncio.CancelledError:
            await asyncio.shield(_remove_container(harness, run_id))
            raise
        if code is None:
            await _remove_container(harness, run_id)
        logs = folder / "logs" / "run_evaluation" / run_id / _MODEL / instance.id
        return _read(instance, logs, code, output)


async def rows_without_specification(harness: Harness, instances: Sequence[Instance]) -> set[str]:
    """Ids of rows that version 4.1 has no specification for, since it grades by its own tables.

    Empty if the tables cannot be read; the harness then complains when it grades.
    """
    if harness.major >= 5 or not instances:
        return set()
    code, output = await _run([str(harness.python), "-c", _SPECIFIED], Path.cwd(), 120)
    try:
        known: Any = json.loads(output.strip().splitlines()[-1]) if code == 0 else None
    except (ValueError, IndexError):
        known = None
    if not isinstance(known, dict):
        return set()
    return {instance.id for instance in instances if instance.version not in known.get(instance.repo, ())}


async def _remove_container(harness: Harness, run_id: str) -> None:
    """Remove the container left by a killed harness; its name ends with the run id."""
    await _run([str(harness.python), "-c", _REMOVE, run_id], Path.cwd(), 60)


async def find_harness(python: Path | None) -> Harness:
    """Find the `swebench` of an environment.

    Raises:
        TaskError: no environment was given, it does not start, or its version is neither 4.1 nor 5.
    """
    if python is None:
        raise TaskError(f"the official grader needs the swebench package: {_HELP}")
    if not await asyncio.to_thread(python.is_file):
        raise TaskError(f"{python}: no such interpreter; {_HELP}")
    code, output = await _run([str(python), "-c", _VERSION], Path.cwd(), 60)
    version = output.strip().splitlines()[-1] if output.strip() else ""
    if code != 0:
        raise TaskError(f"{python} has no swebench package: {_HELP}")
    if not version.startswith(("4.1.", "5.")):
        raise TaskError(f"{python} has swebench {version}; 4.1 and 5 are known")
    return Harness(python, int(version.split(".")[0]))


def row_for(harness: Harness, instance: Instance, image: str, workdir: str) -> tuple[dict[str, Any], list[str]]:
    """Convert a row to what this version of the harness reads.

    Args:
        harness: the installed version.
        instance: the row.
        image: image of the instance.
        workdir: directory of the tree in the image.

    Returns:
        The row, and additional command-line arguments.

    Raises:
        TaskError: this version cannot grade the row.
    """
    if instance.program is not None:
        raise TaskError(f"{instance.id}: a program of its data set reads its results: use --grader own")
    if instance.harness and not (instance.eval_script or instance.test_command):
        raise TaskError(f"{instance.id}: {instance.harness}")
    row = dict(instance.row)
    for name in ("FAIL_TO_PASS", "PASS_TO_PASS"):
        row[name] = list(instance.fail_to_pass if name == "FAIL_TO_PASS" else instance.pass_to_pass)
    if harness.major >= 5:
        row["image"] = image
        row["eval_type"] = instance.eval_type
        parser = instance.log_parser or BY_REPOSITORY.get(instance.repo, "pytest")
        row["log_parser"] = f"parse_log_{parser}"
        if not (instance.eval_script or instance.test_command):
            raise TaskError(f"{instance.id}: swebench 5 needs the row's eval_script; swebench 4.1 grades rows without")
        row["eval_script"] = instance.eval_script or make_eval_script(instance, workdir)
        return row, []
    namespace, name = image.rpartition("/")[::2]
    tag = name.rpartition(":")[2] if ":" in name else "latest"
    wanted = image_name(instance.row, f"{namespace}/{IMAGE_TEMPLATE.partition('/')[2]}" if namespace else "-")
    if not namespace or wanted.rpartition(":")[0] != image.rpartition(":")[0]:
        example = image_name({**instance.row, **dict.fromkeys(IMAGE_KEYS)})
        raise TaskError(
            f"swebench 4.1 derives the image name from the instance id: tag {image} as {example}, or use swebench 5"
        )
    return row, ["--namespace", namespace, "--instance_image_tag", tag, "--cache_level", "instance"]


def _read(instance: Instance, logs: Path, code: int | None, output: str) -> Grade:
    """Read what the harness wrote about this instance."""
    log = _text(logs / "run_instance.log")
    try:
        report: Any = json.loads((logs / "report.json").read_text(encoding="utf-8"))[instance.id]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return _without_report(instance, log, code, output)
    tests = _outcomes(report.get("tests_status") or {})
    result = TestReport(
        command="swebench.harness.run_evaluation",
        status="passed" if report.get("resolved") else "failed",
        tests=tests,
        output=_text(logs / "test_output.txt")[-OUTPUT_TAIL:],
    )
    if report.get("infra_failure"):
        reason = f"the official grader says: {report.get('infra_failure_reason') or 'infrastructure failure'}"
        return Grade(task_id=instance.id, outcome="invalid", reason=reason, report=result)
    if report.get("resolved"):
        return Grade(task_id=instance.id, outcome="pass", reason="resolved", report=result)
    failing = [test for test, outcome in tests.items() if outcome != "passed"]
    reason = f"not resolved: {', '.join(failing[:3])}" if failing else "not resolved: no test results could be read"
    return Grade(task_id=instance.id, outcome="fail", reason=reason, report=result)


def _without_report(instance: Instance, log: str, code: int | None, output: str) -> Grade:
    """Grade an instance without a report. The harness calls this an error; two kinds are the patch's own fault."""
    if ">>>>> Patch Apply Failed" in log:
        return Grade(task_id=instance.id, outcome="fail", reason="the patch does not apply")
    if "Test timed out after" in log:
        return Grade(task_id=instance.id, outcome="fail", reason="the tests did not finish in time")
    lines = [line.strip() for line in f"{output}\n{log}".splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "nothing was printed")
    how = "did not end" if code is None else f"ended with exit code {code}"
    return Grade(task_id=instance.id, outcome="invalid", reason=f"the official grader {how}, no report: {said[:300]}")


def _outcomes(statuses: Mapping[str, Mapping[str, list[str]]]) -> dict[str, TestOutcome]:
    kinds = [statuses.get(name) or {} for name in ("FAIL_TO_PASS", "PASS_TO_PASS")]
    tests: dict[str, TestOutcome] = {test: "passed" for kind in kinds for test in kind.get("success", [])}
    return tests | {test: "failed" for kind in kinds for test in kind.get("failure", [])}


async def _run(command: list[str], folder: Path, timeout_s: float) -> tuple[int | None, str]:
    """Run a program and return its exit code (None if it timed out) and its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**environment, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await process.communicate()
    except TimeoutError:
        return None, ""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode("utf-8", "replace")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
