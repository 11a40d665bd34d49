"""`heats image`: an image that holds what a set-up leaves, under a name of the user's own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

FILES = {
    "tests/test_a.py": "import sys\nsys.path.insert(0, '/opt/extra')\nimport extra\nfrom pathlib import Path\n"
    "def test_set_up(): assert extra.x == 2\ndef test_built(): assert Path('built.txt').exists()\n",
}
SETUP = "mkdir -p /opt/extra && echo 'x = 2' >/opt/extra/extra.py && echo made >built.txt"
TAG = "heats-test-image:1"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    path = tmp_path / "repo"
    commit(path, FILES)
    return path


@pytest.fixture
def tag() -> Iterator[str]:
    yield TAG
    subprocess.run(["docker", "rmi", "-f", TAG], capture_output=True, check=False)


def commit(path: Path, files: dict[str, str]) -> None:
    git = ["git", "-C", str(path), "-c", "user.name=T", "-c", "user.email=t@example.org"]
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *arguments], check=True)


def heats(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from heats.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tag", "Upper:1"), "expected a lower-case image name"),
        (("--tag", "heats-prepared:1"), "expected a lower-case image name"),
        (("--tag", "x:1", "--sandbox", "bubblewrap"), "makes Docker images"),
        (("--tag", "x:1", "--file", "nowhere"), "--file nowhere: no such file"),
        (("--tag", "x:1", "--dry-run"), "an option of heats check"),
        (("--tag", "x:1", "--test", "true", "--setup", ""), "need no set-up"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(repo: Path, arguments: tuple[str, ...], said: str) -> None:
    done = heats("image", str(repo), *arguments)
    assert (done.returncode, said in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr


@pytest.mark.docker
def test_the_tests_of_later_commits_run_in_the_image_without_a_set_up(repo: Path, tag: str) -> None:
    done = heats("image", str(repo), "--tag", tag, "--setup", SETUP, "--test", "python3 -m pytest -q")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((repo / "heats.yaml").read_text()) == {"test": "python3 -m pytest -q", "image": tag}
    commit(repo, {"tests/test_b.py": "def test_later(): pass\n"})
    done = heats("check", str(repo), "--sandbox", "docker", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tests"]["passed"] == 3


@pytest.mark.docker
def test_gc_leaves_the_image_alone(repo: Path, tag: str) -> None:
    assert heats("image", str(repo), "--tag", tag, "--setup", SETUP, "--test", "python3 -m pytest -q").returncode == 0
    assert tag not in heats("gc", "--prepared", "--dry-run").stdout


@pytest.mark.docker
def test_a_dockerfile_is_built_and_tried(repo: Path, tag: str) -> None:
    file = repo / "Dockerfile"
    file.write_text(f"FROM heats-base:latest\nRUN {SETUP}\n")
    done = heats(
        "image",
        str(repo),
        "--tag",
        tag,
        "--file",
        str(file),
        "--test",
        "python3 -m pytest -q tests/test_a.py::test_set_up",
    )
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((repo / "heats.yaml").read_text())["image"] == tag


@pytest.mark.docker
def test_an_image_whose_tests_do_not_run_is_said_to_be_unusable(repo: Path, tag: str) -> None:
    file = repo / "Dockerfile"
    file.write_text("FROM heats-base:latest\n")
    done = heats("image", str(repo), "--tag", tag, "--file", str(file), "--test", "python3 -m pytest -q")
    assert done.returncode == 6 and not (repo / "heats.yaml").exists(), done.stderr
