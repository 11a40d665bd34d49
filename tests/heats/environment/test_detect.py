"""What is proposed for a repository, from the files that other tools read."""

import json
import subprocess
from pathlib import Path

import pytest

from envs.errors import TaskError
from heats.environment.detect import detect
from heats.environment.proposal import SuggestedTests
from heats.environment.trial import project_last


@pytest.fixture
def proposed(tmp_path: Path):
    def propose(files: dict[str, str], tag: str = "") -> SuggestedTests:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        git = ["git", "-C", str(tmp_path), "-c", "user.name=T", "-c", "user.email=t@example.org"]
        for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "base"], *([["tag", tag]] if tag else [])):
            subprocess.run([*git, *arguments], check=True)
        return detect(tmp_path)

    return propose


TOML = '[build-system]\nrequires = ["setuptools"]\n[project]\nname = "p"\n'


def test_a_project_is_installed_with_the_extra_that_its_tests_need(proposed) -> None:
    made = proposed(
        {"pyproject.toml": TOML + '[project.optional-dependencies]\ntest = ["x"]\ndocs = ["y"]\ndev = []\n'}
    )
    assert "-e '.[test]' pytest" in made.setup
    assert made.test == "python -m pytest -q"


def test_only_the_folder_of_the_tests_is_searched(proposed) -> None:
    made = proposed({"pyproject.toml": TOML, "tests/unit/test_a.py": "", "docs/test_conf.py": ""})
    assert made.test == "python -m pytest -q tests"


def test_a_dependency_group_is_written_out_with_those_it_includes(proposed) -> None:
    groups = '[dependency-groups]\nbase = ["a>=1"]\ntests = [{include-group = "base"}, "b"]\n'
    assert "-e . 'a>=1' b pytest" in proposed({"pyproject.toml": TOML + groups}).setup


def test_extras_in_a_setup_py_are_found_without_running_it(proposed) -> None:
    text = "extras = {'testing': ['x'], 'doc': []}\nsetup(name='p', extras_require=extras)\nraise SystemExit('ran')\n"
    assert "-e '.[testing]'" in proposed({"setup.py": text}).setup


def test_what_tox_installs_is_installed(proposed) -> None:
    lines = ["pytest<9; python_version < '3.9'", "-r{toxinidir}/more.txt", "py37: old", "{[x]y}"]
    tox = "\n    ".join(["[testenv]\ndeps =", *lines])
    made = proposed({"setup.py": "setup()", "tox.ini": tox, "more.txt": "z\n"})
    assert "\"pytest<9; python_version < '3.9'\" -r more.txt pytest" in made.setup
    assert "old" not in made.setup


def test_what_tox_runs_before_the_tests_is_run(proposed) -> None:
    tox = "[testenv:py{310,311}]\ncommands_pre = {envpython} setup.py build_ext --inplace\n    {[base]other}\n"
    made = proposed({"setup.py": "setup()", "tox.ini": tox})
    assert made.setup.endswith("pytest && /venv/bin/python setup.py build_ext --inplace")


def test_plugins_that_the_pytest_options_belong_to_are_installed_and_coverage_cannot_fail_a_run(proposed) -> None:
    ini = "[pytest]\naddopts = --cov=p --cov-fail-under=90 -n auto\nasyncio_mode = auto\n"
    made = proposed({"setup.py": "setup()", "tox.ini": ini})
    assert made.setup.endswith("pytest pytest-cov pytest-xdist pytest-asyncio")
    assert made.test == "python -m pytest -q --no-cov"


def test_requirements_without_a_project(proposed) -> None:
    made = proposed({"requirements.txt": "a", "requirements-dev.txt": "b", "test_a.py": ""})
    assert "-r requirements.txt -r requirements-dev.txt pytest" in made.setup
    assert "-e" not in made.setup


def test_poetry_and_pipfile(proposed) -> None:
    poetry = "[tool.poetry]\nname = 'p'\n[tool.poetry.group.dev.dependencies]\npytest-x = '^2.1'\npython = '^3.9'\n"
    pipfile = "[packages]\nq = '*'\n[dev-packages]\nr = '>=2'\n"
    made = proposed({"pyproject.toml": poetry, "Pipfile": pipfile})
    assert "'pytest-x>=2.1' q 'r>=2' pytest" in made.setup


def test_a_version_that_comes_from_git_is_that_of_the_last_tag(proposed) -> None:
    made = proposed({"pyproject.toml": TOML.replace('"setuptools"', '"setuptools-scm"')}, tag="v2.3.1")
    assert "SETUPTOOLS_SCM_PRETEND_VERSION=2.3.1 /venv" in made.setup


@pytest.mark.parametrize(
    ("lock", "setup"),
    [
        ("package-lock.json", "npm ci"),
        ("yarn.lock", "npx --yes yarn@1 install --frozen-lockfile"),
        ("x", "npm install"),
    ],
)
def test_node(proposed, lock: str, setup: str) -> None:
    package = {"scripts": {"test": "node --test"}, "devDependencies": {"left": "1"}}
    made = proposed({"package.json": json.dumps(package), lock: "{}"})
    assert (made.language, made.test, made.setup) == ("node", "npm test", setup)


def test_go_rust_and_make(proposed) -> None:
    assert proposed({"Makefile": "all:\ntest: all\n\ttrue\n"}).test == "make test"
    assert proposed({"Cargo.toml": "[package]\n"}).test == "cargo test"
    assert proposed({"go.mod": "module m\n"}).test == "go test -v ./..."


def test_what_ci_runs_is_shown_and_used_where_nothing_else_is_known(proposed) -> None:
    made = proposed({".github/workflows/ci.yml": "jobs:\n  t:\n    steps:\n      - run: make check ARGS=1\n"})
    assert made.test == "make check ARGS=1"


def test_images_that_the_repository_names_are_mentioned(proposed) -> None:
    made = proposed({"Dockerfile": "FROM x", ".devcontainer/devcontainer.json": '// c\n{"image": "y:1"}', "go.mod": ""})
    assert any("docker build" in note for note in made.notes)
    assert any("--image y:1" in note for note in made.notes)


def test_nothing_known_is_no_proposal(proposed) -> None:
    assert proposed({"README": "hello"}).test == ""


def test_a_missing_commit_is_said(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="not a git repository"):
        detect(tmp_path)


def test_where_dependencies_conflict_with_the_project_it_is_installed_last() -> None:
    """flake8 pins an older pyflakes, so pip refuses both at once; tox installs them one after the other."""
    pip = "/venv/bin/python -m pip install -q"
    setup = f"python3 -m venv /venv && V=1 {pip} -e '.[a,b]' flake8==6.1.0 pytest && /venv/bin/python build.py"
    apart = (
        f"python3 -m venv /venv && V=1 {pip} flake8==6.1.0 pytest && V=1 {pip} -e '.[a,b]' && /venv/bin/python build.py"
    )
    assert project_last(setup, "ERROR: ResolutionImpossible: for help visit") == apart
    assert project_last(setup, "ERROR: No matching distribution") is None
    assert project_last(f"{pip} -r requirements.txt pytest", "ResolutionImpossible") is None
