"""Rows of data sets with other field names: how each is read, and what is known before anything is spent."""

import json
from pathlib import Path
from typing import Any

import pytest

from envs import open_env
from envs.errors import TaskError
from envs.swebench.plan import make_plan
from envs.swebench.rows import make_instance, read_rows

TEST_PATCH = "--- a/tests/test_a.py\n+++ b/tests/test_a.py\n@@ -1 +1 @@\n-a\n+b\n"
CLASSIC: dict[str, Any] = {
    "instance_id": "shop__shop-1",
    "repo": "shop/shop",
    "version": "1",
    "base_commit": "a" * 40,
    "problem_statement": "It fails.",
    "patch": "",
    "test_patch": TEST_PATCH,
    "FAIL_TO_PASS": '["tests/test_a.py::test_a"]',
    "PASS_TO_PASS": "[]",
}
REBENCH = CLASSIC | {
    "FAIL_TO_PASS": ["tests/test_a.py::test_a"],
    "PASS_TO_PASS": [],
    "docker_image": "swerebench/sweb.eval.x86_64.shop_1776_shop-1",
    "install_config": {"test_cmd": "pytest -rA --color=no", "log_parser": "parse_log_pytest", "python": "3.9"},
}
PRO = {name: value for name, value in CLASSIC.items() if not name.endswith("_TO_PASS")} | {
    "fail_to_pass": "['test/a.js | does it', \"it's\"]",
    "pass_to_pass": "[]",
    "requirements": "- It answers.",
    "interface": "def answer()",
    "dockerhub_tag": "shop.shop-1",
    "selected_test_files_to_run": "['test/a.js']",
}
MULTI = {
    "org": "Shop",
    "repo": "shop",
    "number": 1,
    "title": "Mend it",
    "base": {"label": "x", "ref": "main", "sha": "a" * 40},
    "resolved_issues": [{"number": 3, "title": "It fails", "body": "Always."}],
    "fix_patch": "diff",
    "test_patch": TEST_PATCH,
    "fixed_tests": {"TestA": {"run": "FAIL"}, "TestOther": None},
    "p2p_tests": {"TestB": {"run": "PASS"}},
}


def source(tmp_path: Path, *rows: dict[str, Any] | str) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def only(tmp_path: Path, row: dict[str, Any]) -> Any:
    return make_instance(read_rows(str(source(tmp_path, row))).rows[0])


async def why(tmp_path: Path, row: dict[str, Any], **options: Any) -> str:
    env: Any = open_env("swebench", {"source": str(source(tmp_path, row)), **options})
    return str((await env.unusable(grading=True)).get(env.listing()[0], ""))


def test_swe_rebench_names_its_test_command_and_parser_in_its_install_configuration(tmp_path: Path) -> None:
    plan = make_plan(only(tmp_path, REBENCH))
    assert plan.commands == ("pytest -rA --color=no tests/test_a.py",)
    kept_as_text = REBENCH | {"install_config": json.dumps(REBENCH["install_config"])}
    assert make_plan(only(tmp_path, kept_as_text)).commands == plan.commands
    (task,) = open_env("swebench", {"source": str(source(tmp_path, REBENCH))}).tasks()
    assert task.image == "swerebench/sweb.eval.x86_64.shop_1776_shop-1"


def test_a_failing_test_command_of_swe_bench_live_does_not_keep_the_next_from_running(tmp_path: Path) -> None:
    """They were joined by `&&`; its harness runs all of them."""
    live = CLASSIC | {"test_cmds": ["pytest -rA tests/test_a.py", "pytest -rA tests/test_b.py"], "log_parser": "pytest"}
    assert make_plan(only(tmp_path, live)).commands == ("pytest -rA tests/test_a.py\npytest -rA tests/test_b.py",)
    assert make_plan(only(tmp_path, live | {"test_cmds": "pytest -rA tests/test_a.py"})).commands == (
        "pytest -rA tests/test_a.py",
    )


async def test_swe_bench_pro_is_played_where_its_images_keep_the_tree_and_graded_elsewhere(tmp_path: Path) -> None:
    instance = only(tmp_path, PRO)
    assert instance.fail_to_pass == ("test/a.js | does it", "it's")
    assert (
        instance.problem_statement
        == "It fails.\n\nRequirements:\n- It answers.\n\nNew interfaces introduced:\ndef answer()"
    )
    (task,) = open_env("swebench", {"source": str(source(tmp_path, PRO))}).tasks()
    assert (task.image, task.workdir) == ("jefzda/sweap-images:shop.shop-1", "/app")
    assert task.env["BASH_ENV"].startswith("/app")
    assert "-c grade=false" in await why(tmp_path, PRO)


async def test_multi_swe_bench_is_a_task_for_each_pull_request(tmp_path: Path) -> None:
    instance = only(tmp_path, MULTI)
    assert (instance.id, instance.repo, instance.base_commit) == ("Shop__shop-1", "Shop/shop", "a" * 40)
    assert instance.problem_statement == "It fails\n\nAlways."
    assert (instance.fail_to_pass, instance.pass_to_pass) == (("TestA",), ("TestB",))
    (task,) = open_env("swebench", {"source": str(source(tmp_path, MULTI))}).tasks()
    assert (task.image, task.workdir) == ("mswebench/shop_m_shop:pr-1", str(Path("/home", "shop")))
    assert "its own harness" in await why(tmp_path, MULTI)


def test_swe_gym_images_are_named_by_a_template(tmp_path: Path) -> None:
    options = {
        "source": str(source(tmp_path, CLASSIC)),
        "image_template": "gym/sweb.eval.x86_64.{instance_id_s}:latest",
    }
    (task,) = open_env("swebench", options).tasks()
    assert task.image == "gym/sweb.eval.x86_64.shop_s_shop-1:latest"


def test_rows_are_read_from_csv_with_a_byte_order_mark(tmp_path: Path) -> None:
    names = [*PRO]
    values = ['"' + str(PRO[name]).replace('"', '""') + '"' for name in names]
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"{','.join(names)}\n{','.join(values)}\n".encode())
    (row,) = read_rows(str(path)).rows
    assert make_instance(row).fail_to_pass == ("test/a.js | does it", "it's")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, "neither eval_script nor test_cmd"),
        ({"test_cmd": "pytest", "log_parser": "parse_log_karma"}, "log parser karma is not supported"),
        ({"test_cmd": "pytest", "FAIL_TO_PASS": "[]"}, "names no tests"),
        ({"test_cmd": "pytest", "test_patch": "not a diff\n"}, "test patch cannot be read"),
        ({"test_cmd": "pytest", "FAIL_TO_PASS": '["test_a (test_x.X.test_a)"]'}, "cannot report a test named"),
        ({"test_cmd": "python3 -m unittest -v", "FAIL_TO_PASS": '["test_a"]'}, "cannot report a test named"),
        ({"test_cmd": "pytest -rA"}, ""),
        ({"test_cmd": "python3 -m unittest -v", "FAIL_TO_PASS": '["test_a (test_x.X.test_a)"]'}, ""),
    ],
)
async def test_a_row_that_can_never_be_graded_is_known_before_anything_is_spent(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    """A whole sweep's rollouts were paid for, and then every grade was refused."""
    found = await why(tmp_path, CLASSIC | change)
    assert reason in found if reason else found == ""


async def test_the_official_grader_is_asked_before_anything_is_spent(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="no such interpreter"):
        await why(tmp_path, CLASSIC, grader="official", swebench_python="/nowhere/python")


async def test_one_bad_row_does_not_void_the_data_set(tmp_path: Path) -> None:
    second, lacking = CLASSIC | {"instance_id": "shop__shop-2"}, CLASSIC | {"instance_id": "b", "base_commit": ""}
    rows = source(tmp_path, CLASSIC, lacking, '{"instance_id": ', second, CLASSIC)
    env: Any = open_env("swebench", {"source": str(rows)})
    assert [task.id for task in env.tasks()] == ["shop__shop-1", "shop__shop-2"]
    assert list(env.listing()) == ["shop__shop-1", "b", "row 3", "shop__shop-2", "shop__shop-1 (row 5)"]
    left_out = await env.unusable(grading=False)
    assert left_out["b"] == "it has no base_commit"
    assert "not JSON" in left_out["row 3"]
    assert "duplicate id" in left_out["shop__shop-1 (row 5)"]


async def test_a_damaged_folder_of_a_task_repository_does_not_void_the_others(tmp_path: Path) -> None:
    for name, text in (("a", "repo: x/y\nbase_commit: c\nimage: i\n"), ("b", "repo: [")):
        (tmp_path / "tasks" / name).mkdir(parents=True)
        (tmp_path / "tasks" / name / "task.yaml").write_text("\ufeff" + text)
        (tmp_path / "tasks" / name / "problem_statement.md").write_text("It fails.")
    env: Any = open_env("swebench", {"source": str(tmp_path)})
    assert [task.id for task in env.tasks()] == ["a"]
    assert [why.partition(":")[0] for why in (await env.unusable(grading=False)).values()] == ["b"]
