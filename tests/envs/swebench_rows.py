"""A row of each published data set in its real form: field names and types as on the Hub, with content of our own.

The instance is the shop of `swebench_shop.py`, whose `total` has the wrong sign.
"""

import json
import sys
from typing import Any

from cheat_code import CODE
from swebench_shop import NEW_TESTS, OLD_TESTS, diff

PYTHON = sys.executable
TOTAL, COUNT = "tests/test_cart.py::test_total", "tests/test_cart.py::test_count"
GOLD = diff("shop/cart.py", CODE, CODE.replace(b"-=", b"+="))
TEST_PATCH = diff("tests/test_cart.py", OLD_TESTS["tests/test_cart.py"], NEW_TESTS["tests/test_cart.py"])
PYTEST = f"{PYTHON} -m pytest -rA tests/test_cart.py"
TAP = f"""{PYTHON} -c 'from shop.cart import total as t; assert t([1, 2]) == 3' 2>/dev/null || printf 'not '
echo 'ok 1 total adds up'
{PYTHON} -c 'from shop.cart import count as c; assert c([1, 2]) == 2' 2>/dev/null || printf 'not '
echo 'ok 2 count counts'
"""
TAP_PATCH = (
    "diff --git a/tests/cart.t b/tests/cart.t\nnew file mode 100644\n--- /dev/null\n+++ b/tests/cart.t\n"
    f"@@ -0,0 +1,{TAP.count(chr(10))} @@\n" + "".join(f"+{line}\n" for line in TAP.splitlines())
)
PARSER = """def parser(log: str) -> dict[str, str]:
    found = {}
    for line in log.splitlines():
        for start, end in (('ok ', 'pass'), ('not ok ', 'fail')):
            if line.startswith(start):
                found[line[len(start):].split(' ', 1)[1]] = end
    return found
"""


def classic(commit: str, **more: Any) -> dict[str, Any]:
    """A row of SWE-bench before version 5."""
    return {
        "repo": "shop/shop",
        "instance_id": "shop__shop-1",
        "base_commit": commit,
        "patch": GOLD,
        "test_patch": TEST_PATCH,
        "problem_statement": "total is negative",
        "hints_text": "",
        "created_at": "2026-01-01T00:00:00Z",
        "version": "1",
        "FAIL_TO_PASS": json.dumps([TOTAL]),
        "PASS_TO_PASS": json.dumps([COUNT]),
        "environment_setup_commit": commit,
        **more,
    }


def script(commit: str, workdir: str, patch: str, command: str, *files: str) -> str:
    """An evaluation script as version 5 publishes them."""
    back = [f"git checkout {commit} {' '.join(files)}"] if files else []
    lines = [
        "#!/bin/bash", "set -uxo pipefail", f"cd {workdir}", *back, "git apply -v - <<'EOF_1'", patch.rstrip("\n"),
        "EOF_1", ": '>>>>> Start Test Output'", command, ": '>>>>> End Test Output'", *back,
    ]  # fmt: skip
    return "\n".join([*lines, ""])


def version_5(commit: str, workdir: str) -> dict[str, Any]:
    """SWE-bench, Lite and Verified since version 5."""
    return classic(
        commit,
        image="swebench/sweb.eval.x86_64.shop_1776_shop-1:latest",
        log_parser="parse_log_pytest",
        eval_type="pass_and_fail",
        eval_script=script(commit, workdir, TEST_PATCH, PYTEST, "tests/test_cart.py"),
        difficulty="<15 min fix",
    )


def multilingual(commit: str, workdir: str) -> dict[str, Any]:
    """SWE-bench Multilingual: version 5 with a runner of another language, here any that prints TAP."""
    return version_5(commit, workdir) | {
        "test_patch": TAP_PATCH,
        "FAIL_TO_PASS": ["total adds up"],
        "PASS_TO_PASS": ["count counts"],
        "log_parser": "parse_log_tap",
        "eval_script": script(commit, workdir, TAP_PATCH, "sh tests/cart.t"),
    }


def multimodal(commit: str, workdir: str) -> dict[str, Any]:
    """SWE-bench Multimodal: the issue refers to pictures."""
    assets = {"problem_statement": ["https://example.org/wrong.png"], "patch": [], "test_patch": []}
    return version_5(commit, workdir) | {"image_assets": json.dumps(assets)}


def live(commit: str) -> dict[str, Any]:
    """SWE-bench-Live (Python): commands and a parser's name."""
    more = {"pull_number": "1", "issue_numbers": ["1"], "commit_urls": [], "all_hints_text": ""}
    lists = {"FAIL_TO_PASS": [TOTAL], "PASS_TO_PASS": [COUNT], "test_cmds": ["false", PYTEST], "log_parser": "pytest"}
    return classic(commit, **more, **lists)


def live_multi(commit: str) -> dict[str, Any]:
    """SWE-bench-Live MultiLang: commands that rebuild, test and print, and the parser's source."""
    return live(commit) | {
        "test_patch": TAP_PATCH,
        "FAIL_TO_PASS": ["total adds up"],
        "PASS_TO_PASS": ["count counts"],
        "rebuild_cmds": ["echo ok 9 rebuilt"],
        "test_cmds": ["sh tests/cart.t > reports.log 2>&1"],
        "print_cmds": ["cat reports.log"],
        "log_parser": PARSER,
        "docker_image": "starryzhang/sweb.eval.x86_64.shop_1776_shop-1",
    }


def rebench(commit: str) -> dict[str, Any]:
    """SWE-rebench: the install configuration names command and parser."""
    config = {
        "env_vars": None,
        "install": "pip install -e .",
        "log_parser": "parse_log_pytest",
        "no_use_env": None,
        "packages": "requirements.txt",
        "pip_packages": ["pytest"],
        "pre_install": [],
        "python": "3.9",
        "reqs_path": ["requirements.txt"],
        "test_cmd": f"{PYTHON} -m pytest --no-header -rA --tb=line --color=no",
    }
    return classic(
        commit,
        FAIL_TO_PASS=[TOTAL],
        PASS_TO_PASS=[COUNT],
        FAIL_TO_FAIL=[],
        PASS_TO_FAIL=[],
        install_config=config,
        meta={"failed_lite_validators": [], "has_test_patch": True, "is_lite": True},
        license_name="MIT License",
        docker_image="swerebench/sweb.eval.x86_64.shop_1776_shop-1",
    )


def rebench_2(commit: str) -> dict[str, Any]:
    """SWE-rebench 2: any language; ids may end with a duration."""
    return {
        "instance_id": "shop__shop-1",
        "repo": "shop/shop",
        "base_commit": commit,
        "created_at": "1609298073000",
        "problem_statement": "total is negative",
        "pr_description": "",
        "interface": "",
        "language": "js",
        "patch": GOLD,
        "test_patch": TAP_PATCH,
        "FAIL_TO_PASS": ["total adds up (12 ms)"],
        "PASS_TO_PASS": ["count counts"],
        "image_name": "docker.io/swerebenchv2/shop-shop:1-0a1b2c3",
        "install_config": {
            "base_image_name": "node_20:latest",
            "docker_specs": None,
            "install": ["npm ci"],
            "log_parser": "parse_log_tap",
            "test_cmd": ["true", "sh tests/cart.t"],
        },
        "meta": {},
    }


def poly(commit: str) -> dict[str, str]:
    """SWE-PolyBench: all fields are text, as in its CSV file."""
    return {
        "repo": "shop/shop",
        "instance_id": "Shop__shop-1",
        "base_commit": commit,
        "patch": GOLD,
        "test_patch": TEST_PATCH,
        "problem_statement": "total is negative",
        "hints_text": "",
        "created_at": "2026-01-01",
        "language": "Python",
        "Dockerfile": "FROM python:3.9\nWORKDIR /app\nCOPY . .\n",
        "P2P": str(["tests/test_cart.py:None:test_count"]),
        "F2P": str(["tests/test_cart.py:None:test_total"]),
        "F2F": "[]",
        "test_command": f"{PYTHON} -m pytest -v tests/test_cart.py",
        "task_category": "Bug Fix",
        "modified_nodes": "[]",
    }


def gym(commit: str) -> dict[str, Any]:
    """SWE-Gym: SWE-bench's fields, with lists."""
    return classic(commit, FAIL_TO_PASS=[TOTAL], PASS_TO_PASS=[COUNT])


def pro(commit: str) -> dict[str, Any]:
    """SWE-bench Pro: lists as Python literals; run script and parser are in its repository."""
    return {
        "repo": "shop/shop",
        "instance_id": f"instance_shop__shop-{commit}-vnan",
        "base_commit": commit,
        "patch": GOLD,
        "test_patch": TEST_PATCH,
        "problem_statement": "total is negative",
        "requirements": "- The total of positive prices is positive.",
        "interface": "No new interfaces are introduced",
        "repo_language": "python",
        "fail_to_pass": str([TOTAL]),
        "pass_to_pass": str([COUNT]),
        "issue_specificity": "[]",
        "issue_categories": "[]",
        "before_repo_set_cmd": f"git reset --hard {commit}\ngit checkout {commit} -- tests/test_cart.py",
        "selected_test_files_to_run": str(["tests/test_cart.py"]),
        "dockerhub_tag": f"shop.shop-shop__shop-{commit}",
    }


def multi(commit: str) -> dict[str, Any]:
    """Multi-SWE-bench: a pull request, with every test's results."""
    ran = {"run": "PASS", "test": "PASS", "fix": "PASS"}
    counts = {"passed_count": 1, "failed_count": 0, "skipped_count": 0}
    result = {**counts, "passed_tests": ["TestCount"], "failed_tests": [], "skipped_tests": []}
    return {
        "org": "shop",
        "repo": "shop",
        "number": 1,
        "state": "closed",
        "title": "Mend the total",
        "body": "",
        "base": {"label": "shop:main", "ref": "main", "sha": commit},
        "resolved_issues": [{"number": 7, "title": "total is negative", "body": "Always."}],
        "fix_patch": GOLD,
        "test_patch": TEST_PATCH,
        "fixed_tests": {"TestTotal": {**ran, "test": "FAIL"}},
        "p2p_tests": {"TestCount": ran},
        "f2p_tests": {"TestTotal": {**ran, "test": "FAIL"}},
        "s2p_tests": {},
        "n2p_tests": {},
        "run_result": result,
        "test_patch_result": result,
        "fix_patch_result": result,
        "instance_id": "shop__shop-1",
    }


def r2e(commit: str) -> dict[str, Any]:
    """R2E-Gym: the tests are in the image; the row tells how they end with the reference."""
    parsed = {"file_diffs": [], "old_commit_hash": commit, "new_commit_hash": "f" * 40, "commit_message": "Mend"}
    return {
        "repo_name": "shop",
        "docker_image": f"namanjain12/shop_final:{'f' * 40}",
        "commit_hash": "f" * 40,
        "parsed_commit_content": json.dumps(parsed),
        "execution_result_content": "{}",
        "modified_files": ["shop/cart.py"],
        "modified_entity_summaries": [],
        "relevant_files": ["shop/cart.py"],
        "num_non_test_files": 1,
        "num_non_test_func_methods": 1,
        "num_non_test_lines": 2,
        "prompt": "Write an issue.",
        "problem_statement": "[ISSUE]\ntotal is negative\n[/ISSUE]",
        "expected_output_json": json.dumps({"test_total": "PASSED", "CartTest.test_count": "PASSED"}),
    }
