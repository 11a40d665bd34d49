"""`heats solve --setup`: one set-up for a whole run with its evidence, and none for the next run."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from processes import Solve, model_server_of

SETUP = "mkdir -p /venv && cat /proc/sys/kernel/random/uuid >/venv/prepared && echo built >built.txt"
TEST = "echo prepared $(cat /venv/prepared); PYTHONPATH=/opt/heats/toolbox python3 -m pytest -q"
SCRIPT = {
    "rules": [
        {
            "when": "add\\(\\) subtracts",
            "variants": [
                ["echo prepared $(cat /venv/prepared)", "sed -i 's/a - b/a + b/' calc.py", "cat built.txt"],
                ["echo prepared $(cat /venv/prepared)", "sed -i 's/a - b/b - a/' calc.py"],
            ],
        }
    ]
}
BACKENDS = [pytest.param("bubblewrap", marks=pytest.mark.bubblewrap), pytest.param("docker", marks=pytest.mark.docker)]


def prepared_in(run: Path) -> list[str]:
    """The ids of all set-ups whose result a command or a test run of this run has seen."""
    texts = [path.read_text(errors="replace") for path in run.rglob("*.json")]
    return re.findall(r"prepared ([0-9a-f]{8}-[0-9a-f-]{27})", "\n".join(texts))


def told(run: Path) -> list[str]:
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    texts = [event["data"].get("text", "") for event in events if event["kind"] == "warning"]
    return [text for text in texts if "set-up ran once" in text]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A cache of its own; images that were prepared for it are removed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    for used in (tmp_path / "cache/heats/prepared").glob("heats-prepared:*.used"):
        subprocess.run(["docker", "rmi", used.name.removesuffix(".used")], capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_set_up_runs_once_for_a_run_and_not_at_all_for_the_next(backend: str, tmp_path: Path, cache: Path) -> None:
    more = ["-k", "8", "--iterations", "2", "--workers", "4", "--setup", SETUP, "--test", TEST]
    more += ["-c", "policy.name=fixed"]
    with model_server_of(tmp_path, SCRIPT) as url:
        first, second = (Solve(tmp_path, url, backend, *more) for _ in range(2))
        code, result, said = first.finish(600)
        assert (code, result["status"]) == (0, "verified"), said
        assert len(result["rollouts"]) == 16
        code, result, said = second.finish(600)
        assert (code, result["status"]) == (0, "verified"), said
    seen = prepared_in(first.run_dir) + prepared_in(second.run_dir)
    assert len(seen) > 32  # every rollout, and every run of the tests
    assert len(set(seen)) == 1
    assert (len(told(first.run_dir)), len(told(second.run_dir))) == (1, 0)
    assert b"built.txt" not in Path(result["patch"]).read_bytes()


@pytest.mark.bubblewrap
def test_a_failed_set_up_ends_the_run_before_any_rollout(tmp_path: Path, cache: Path) -> None:
    with model_server_of(tmp_path, SCRIPT) as url:
        solve = Solve(tmp_path, url, "bubblewrap", "--setup", "echo no such package; exit 9")
        code, _, said = solve.finish()
    assert code == 6
    assert "the set-up failed (exit code 9)" in said
    assert "no such package. Sandboxes have no network" in said
    assert not list(solve.run_dir.rglob("trajectory.json"))


@pytest.mark.bubblewrap
def test_heats_yaml_says_how_to_set_up_and_test(tmp_path: Path, cache: Path) -> None:
    with model_server_of(tmp_path, SCRIPT) as url:
        solve = Solve(tmp_path, url, "bubblewrap", "--iterations", "1")
        (tmp_path / "repo/heats.yaml").write_text(json.dumps({"test": TEST, "setup": SETUP}))
        at = solve.command.index("--test")
        del solve.command[at : at + 2]
        code, result, said = solve.finish()
    assert (code, result["tests_before"]["command"]) == (0, TEST), said
    assert prepared_in(solve.run_dir)
    assert "heats.yaml: tests" in said


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_secret_reaches_the_set_up_and_is_never_kept(
    backend: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_INDEX", "https://user:hunter22@index")
    used = f'test -n "$MY_INDEX" && {SETUP}; echo $MY_INDEX | wc -c >size.txt'
    with model_server_of(tmp_path, SCRIPT) as url:
        careless = Solve(tmp_path, url, backend, "--setup", "echo $MY_INDEX >$HOME/.conf", "--setup-env", "MY_INDEX")
        code, _, said = careless.finish()
        assert code == 6
        assert "wrote the value of MY_INDEX to" in said
        test = ["--test", f"env | grep -c MY_INDEX; {TEST}"]
        careful = Solve(tmp_path, url, backend, "--setup", used, "--setup-env", "MY_INDEX", *test)
        code, result, said = careful.finish()
        assert (code, result["status"]) == (0, "verified"), said
    assert "hunter22" not in said
    assert not [path for path in careful.run_dir.rglob("*") if path.is_file() and b"hunter22" in path.read_bytes()]
