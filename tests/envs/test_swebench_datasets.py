"""A row of every published data set: accepted and graded for real, or refused in one line before anything is spent."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import swebench_rows as rows
from swebench_shop import Shop

from envs import open_env
from envs.base import Patch
from envs.errors import TaskError
from envs.swebench import SweBenchEnv, SweBenchSource
from envs.swebench.datasets import ALIASES
from envs.swebench.plan import make_plan
from envs.swebench.rows import make_instance

C = "c" * 40
T = "/testbed"
IDLE = Patch(b"diff --git a/notes b/notes\nnew file mode 100644\n--- /dev/null\n+++ b/notes\n@@ -0,0 +1 @@\n+nothing\n")
GRADED: Mapping[str, Callable[[str, str], dict[str, Any]]] = {
    "version 5": rows.version_5,
    "Multilingual": rows.multilingual,
    "Live": lambda commit, workdir: rows.live(commit),
    "Live MultiLang": lambda commit, workdir: rows.live_multi(commit),
    "SWE-rebench": lambda commit, workdir: rows.rebench(commit),
    "SWE-rebench 2": lambda commit, workdir: rows.rebench_2(commit),
    "SWE-PolyBench": lambda commit, workdir: rows.poly(commit),
}
"""Data sets whose rows tell how they are graded."""


@pytest.fixture
def shop(tmp_path: Path, git: Any) -> Shop:
    return Shop(tmp_path, git)


@pytest.mark.slow
@pytest.mark.parametrize("name", GRADED)
async def test_a_row_in_its_real_form_is_graded(name: str, shop: Shop) -> None:
    shop.open(GRADED[name](shop.commit, shop.task.workdir))
    assert await shop.env.unusable(grading=True) == {}
    gold = await shop.grade(shop.env.reference(shop.task.id))
    assert (gold.outcome, gold.reason.startswith("all 2 expected tests pass")) == ("pass", True), gold
    idle = await shop.grade(IDLE)
    assert (idle.outcome, idle.reason.startswith("1 of 2 expected tests do not pass")) == ("fail", True), idle


def opened(tmp_path: Path, row: dict[str, Any], **options: Any) -> Any:
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    return open_env("swebench", {"source": str(tmp_path / "rows.json"), **options})


@pytest.mark.parametrize(
    ("row", "image", "workdir"),
    [
        (rows.version_5(C, T), "swebench/sweb.eval.x86_64.shop_1776_shop-1:latest", T),
        (rows.multilingual(C, T), "swebench/sweb.eval.x86_64.shop_1776_shop-1:latest", T),
        (rows.live(C), "starryzhang/sweb.eval.x86_64.shop_1776_shop-1:latest", T),
        (rows.live_multi(C), "starryzhang/sweb.eval.x86_64.shop_1776_shop-1", T),
        (rows.rebench(C), "swerebench/sweb.eval.x86_64.shop_1776_shop-1", T),
        (rows.rebench_2(C), "docker.io/swerebenchv2/shop-shop:1-0a1b2c3", "/shop"),
        (rows.poly(C), "ghcr.io/timesler/swe-polybench.eval.x86_64.shop__shop-1:v1.1", "/app"),
        (rows.pro(C), f"jefzda/sweap-images:shop.shop-shop__shop-{C}", "/app"),
        (rows.multi(C), "mswebench/shop_m_shop:pr-1", str(Path("/home", "shop"))),
        (rows.r2e(C), f"namanjain12/shop_final:{'f' * 40}", T),
    ],
)
def test_images_and_trees_are_where_the_data_set_publishes_them(
    row: dict[str, Any], image: str, workdir: str, tmp_path: Path
) -> None:
    (task,) = opened(tmp_path, row).tasks()
    assert (task.image, task.workdir) == (image, workdir)
    assert "total is negative" in task.statement and "ISSUE" not in task.statement
    assert not re.search(r"test_total|TestTotal|adds up|r2e_tests|cart\.t", task.model_dump_json())


def test_swe_gym_images_are_named_by_the_name_of_the_data_set() -> None:
    """The template was looked up and then not used, so SWE-bench's images were asked for."""
    source = SweBenchSource(source="gym")
    (task,) = SweBenchEnv(source, [make_instance(rows.gym(C))]).tasks()
    assert task.image == "xingyaoww/sweb.eval.x86_64.shop_s_shop-1:latest"


@pytest.mark.parametrize(
    ("row", "reason", "playable"),
    [
        (rows.classic(C), "neither eval_script nor test_cmd: use --grader official", True),
        (rows.gym(C), "neither eval_script nor test_cmd: use --grader official", True),
        (rows.pro(C), "give a copy of that folder with -O scripts=DIR", True),
        (rows.multi(C), "parsers of its own harness: run it with -c grade=false", True),
        (rows.poly(C) | {"language": "TypeScript", "repo": "angular/angular"}, "a parser of its own harness", True),
        (rows.multilingual(C, T) | {"log_parser": "parse_log_karma"}, "log parser karma is not supported", True),
        (rows.rebench_2(C) | {"install_config": {"test_cmd": "lein test", "log_parser": "parse_log_lein"}},
         "log parser lein is not supported", True),
        (rows.live(C) | {"docker_image": "starryzhang/sweb.eval.win.shop_1776_shop-1"}, "Windows container", False),
    ],
)  # fmt: skip
async def test_what_cannot_be_graded_is_known_in_one_line(
    row: dict[str, Any], reason: str, playable: bool, tmp_path: Path
) -> None:
    spare = rows.classic(C, instance_id="spare__spare-1", test_cmd="pytest -rA")
    (tmp_path / "rows.json").write_text(json.dumps([row, spare]))
    env = SweBenchEnv.open(SweBenchSource(source=str(tmp_path / "rows.json")))
    refused, left_out = await env.unusable(grading=True), await env.unusable(grading=False)
    (why,) = refused.values()
    assert reason in why and "\n" not in why
    assert (left_out == {}) is playable


def test_an_issue_told_in_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"relies on images \(image_assets\)"):
        opened(tmp_path, rows.multimodal(C, T))
    without = rows.multimodal(C, T) | {"image_assets": '{"problem_statement": [], "patch": [], "test_patch": []}'}
    assert len(opened(tmp_path, without).tasks()) == 1


async def test_swe_bench_pro_says_what_its_folder_of_scripts_lacks(tmp_path: Path) -> None:
    env = opened(tmp_path, rows.pro(C), scripts=str(tmp_path))
    (why,) = (await env.unusable(grading=True)).values()
    assert why == f"{tmp_path} has no run_script.sh and parser.py for it"


def test_a_parser_that_is_code_is_never_run_here() -> None:
    """Importing or parsing a row must not execute what a data set brings along."""
    row = rows.live_multi(C) | {"log_parser": "raise SystemExit\ndef parser(log): return {}\n"}
    plan = make_plan(make_instance(row | {"test_cmd": "true"}))
    assert plan.program is not None and plan.read(">>>>> Start Test Output n\nok 1 x\n", "n") == {}


def test_short_names_are_unique() -> None:
    assert len({*ALIASES.values()}) == len(ALIASES)
