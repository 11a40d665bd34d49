"""The official grader as a program: its input, how its report is read, and that an old report is never used."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from swebench_shop import RUNNERS, make_row

from envs.base import Grade, Patch, Task
from envs.errors import TaskError
from envs.swebench.official import find_harness, grade_officially, rows_without_specification
from envs.swebench.rows import make_instance

IMAGE = "swebench/sweb.eval.x86_64.shop_1776_shop-1:latest"
TASK = Task(id="shop__shop-1", statement="x", image=IMAGE, test_timeout_s=30)
# Stand-in for the package: prints its version, then does what the test wants with its arguments and files.
HARNESS = """#!{python}
import json, os, pathlib, sys
if "version(" in sys.argv[2]:
    print("{version}")
    sys.exit({has})
if "MAP_REPO" in sys.argv[2]:
    print(json.dumps({{"shop/shop": ["1"], "other/other": ["2"]}}))
    sys.exit()
if "remove" in sys.argv[2]:
    pathlib.Path("{notes}.removed").write_text(sys.argv[3])
    sys.exit()
given = dict(zip(sys.argv[3::2], sys.argv[4::2]))
here = pathlib.Path("{notes}")
with here.open("a") as file:
    file.write(json.dumps([given, json.load(open("rows.json")), json.load(open("preds.json")), os.getcwd()]) + "\\n")
logs = pathlib.Path("logs/run_evaluation", given["--run_id"], "heats", "shop__shop-1")
assert not logs.exists()
logs.mkdir(parents=True)
{body}
"""
RESOLVED = {
    "resolved": True,
    "tests_status": {
        "FAIL_TO_PASS": {"success": ["tests/test_cart.py::test_total"], "failure": []},
        "PASS_TO_PASS": {"success": ["tests/test_cart.py::test_count"], "failure": []},
    },
}


class Fake:
    """A `swebench` environment whose behaviour the test defines."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.notes, self.python = folder, folder / "notes", folder / "python"
        self.row = make_row("c" * 40)

    def says(self, body: str, version: str = "5.0.2", has: int = 0) -> None:
        text = HARNESS.format(python=sys.executable, version=version, has=has, notes=self.notes, body=body)
        self.python.write_text(text)
        self.python.chmod(0o755)

    def reports(self, report: dict[str, Any], version: str = "5.0.2") -> None:
        line = f"(logs / 'report.json').write_text({json.dumps(json.dumps({'shop__shop-1': report}))})"
        self.says(line, version)

    async def grade(self, patch: bytes = b"diff --git a/x b/x\n", task: Task = TASK) -> Grade:
        return await grade_officially(make_instance(self.row), task, Patch(patch), self.python)

    def told(self) -> list[Any]:
        return [json.loads(line) for line in self.notes.read_text().splitlines()]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


async def test_a_report_becomes_a_grade_test_by_test(fake: Fake) -> None:
    fake.reports(RESOLVED)
    grade = await fake.grade()
    assert (grade.outcome, grade.reason) == ("pass", "resolved")
    assert grade.report is not None and set(grade.report.tests.values()) == {"passed"}
    failed = {"FAIL_TO_PASS": {"success": [], "failure": ["t1"]}}
    fake.reports({"resolved": False, "tests_status": failed})
    grade = await fake.grade()
    assert (grade.outcome, grade.reason) == ("fail", "not resolved: t1")


async def test_every_grade_has_a_run_id_and_a_directory_of_its_own(fake: Fake) -> None:
    fake.reports(RESOLVED)
    await fake.grade()
    await fake.grade()
    first, second = fake.told()
    assert first[0]["--run_id"] != second[0]["--run_id"]
    assert first[3] != second[3]
    assert not Path(first[3]).exists()


async def test_version_5_gets_image_script_and_parser_in_the_row(fake: Fake) -> None:
    fake.reports(RESOLVED)
    await fake.grade()
    [[arguments, [row], [prediction], _]] = fake.told()
    assert (row["image"], row["log_parser"], row["eval_type"]) == (IMAGE, "parse_log_pytest", "pass_and_fail")
    assert RUNNERS["pytest"][0] in row["eval_script"]
    assert row["FAIL_TO_PASS"] == RUNNERS["pytest"][3]
    assert "--namespace" not in arguments
    assert prediction["model_patch"] == "diff --git a/x b/x\n"


async def test_version_4_is_told_the_namespace_and_keeps_the_image(fake: Fake) -> None:
    fake.reports(RESOLVED, "4.1.0")
    await fake.grade()
    arguments = fake.told()[0][0]
    assert (arguments["--namespace"], arguments["--cache_level"]) == ("swebench", "instance")
    assert arguments["--instance_image_tag"] == "latest"


async def test_version_4_refuses_an_image_that_it_would_call_otherwise(fake: Fake) -> None:
    fake.reports(RESOLVED, "4.1.0")
    with pytest.raises(TaskError, match=r"tag mine:1 as swebench/sweb\.eval"):
        await fake.grade(task=TASK.model_copy(update={"image": "mine:1"}))


@pytest.mark.parametrize(
    ("body", "outcome", "reason"),
    [
        ("(logs / 'run_instance.log').write_text('>>>>> Patch Apply Failed')", "fail", "does not apply"),
        ("(logs / 'run_instance.log').write_text('Test timed out after 30 seconds.')", "fail", "in time"),
        ("print('docker.errors.DockerException: Error while fetching'); sys.exit(1)", "invalid", "DockerException"),
        ("(logs / 'report.json').write_text('{')", "invalid", "no report"),
        ("(logs / 'report.json').write_text('{\"another\": {}}')", "invalid", "no report"),
    ],
)
async def test_only_the_patchs_own_doing_is_a_failure(body: str, outcome: str, reason: str, fake: Fake) -> None:
    fake.says(body)
    grade = await fake.grade()
    assert grade.outcome == outcome
    assert reason in grade.reason


async def test_what_the_harness_calls_infrastructure_is_no_verdict(fake: Fake) -> None:
    fake.reports({"resolved": False, "infra_failure": True, "infra_failure_reason": "out_of_memory"})
    grade = await fake.grade()
    assert (grade.outcome, "out_of_memory" in grade.reason) == ("invalid", True)


async def test_no_patch_and_one_that_is_no_text_are_not_run(fake: Fake) -> None:
    fake.reports(RESOLVED)
    assert (await fake.grade(b"")).reason == "no patch"
    assert (await fake.grade(b"\xff")).outcome == "fail"
    assert not fake.notes.exists()


async def test_an_environment_that_cannot_grade_says_what_to_do(fake: Fake) -> None:
    with pytest.raises(TaskError, match="no such interpreter; create an environment"):
        await fake.grade()
    fake.says("", has=1)
    with pytest.raises(TaskError, match="has no swebench package"):
        await fake.grade()
    fake.says("", version="3.0.1")
    with pytest.raises(TaskError, match=r"has swebench 3\.0\.1; 4\.1 and 5 are known"):
        await fake.grade()
    with pytest.raises(TaskError, match="--swebench-python"):
        await grade_officially(make_instance(fake.row), TASK, Patch(b"x"), None)


async def test_the_container_of_a_harness_that_was_stopped_is_removed(fake: Fake, until: Any) -> None:
    """Wait for complete notes: a busy machine creates the file long before writing to it."""
    fake.says("import time; time.sleep(60)")
    grading = asyncio.ensure_future(fake.grade())
    await until(lambda: fake.notes.exists() and fake.notes.read_text().endswith("\n"))
    grading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await grading
    removed = Path(f"{fake.notes}.removed").read_text()
    assert removed == fake.told()[0][0]["--run_id"]


async def test_rows_that_version_4_has_no_tables_for_are_known_before_anything_is_spent(fake: Fake) -> None:
    fake.says("", version="4.1.0")
    harness = await find_harness(fake.python)
    known, unknown = (make_instance({**fake.row, "repo": "shop/shop", "version": one}) for one in ("1", "9"))
    unknown = replace(unknown, id="shop__shop-9")
    assert await rows_without_specification(harness, [known, unknown]) == {"shop__shop-9"}
    fake.says("", version="5.0.2")
    assert await rows_without_specification(await find_harness(fake.python), [unknown]) == set()
