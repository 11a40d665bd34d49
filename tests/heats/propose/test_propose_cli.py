"""`heats propose` as users see it: output and exit codes."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main
from shop_repository import git

from heats.cli import app
from heats.config import load_config
from heats.errors import PatchRefused, PreflightFailed, UsageError
from heats.store.store import RunStore

RunOf, DiffOf = Callable[..., RunStore], Callable[..., bytes]
pytestmark = pytest.mark.slow


def propose(*arguments: object) -> Any:
    return typer.main.get_command(app).main(["propose", *map(str, arguments)], standalone_mode=False)


def test_it_says_what_it_made_and_writes_the_text_into_the_run(
    shop: Path, fix: bytes, run_of: RunOf, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(fix)
    propose(run.directory, "--repo", shop)
    said = capsys.readouterr().out
    assert "branch   heats/shop-1-2 made: commit " in said
    assert (run.directory / "pull-request.md").read_text().startswith("**Verified**")


def test_json_is_one_object(shop: Path, fix: bytes, run_of: RunOf, capsys: pytest.CaptureFixture[str]) -> None:
    propose(run_of(fix).directory, "--repo", shop, "--push", "--json", "-b", "b")
    said = json.loads(capsys.readouterr().out)
    assert said["commit"] == git(shop, "rev-parse", "b")
    assert (said["branch"], said["pushed"], said["files"], said["verified"]) == ("b", "origin", ["price.py"], True)


def test_a_dry_run_shows_the_text_and_writes_nothing(
    shop: Path, fix: bytes, run_of: RunOf, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(fix)
    propose(run.directory, "--repo", shop, "--dry-run")
    assert "## Why this patch" in capsys.readouterr().out
    assert not (run.directory / "pull-request.md").exists()


def test_a_bundle_made_here_is_proposed_there(
    shop: Path, fix: bytes, run_of: RunOf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    propose(run_of(fix).directory, "--bundle", tmp_path / "bundle")
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == ["patch.diff", "proposal.json"]
    propose(tmp_path / "bundle", "--repo", shop, "--push", "--text", tmp_path / "text.md")
    assert (
        git(shop.parent / "origin.git", "log", "-1", "--format=%s", "heats/shop-1-2")
        == "A discount makes things dearer"
    )
    assert "branch" in capsys.readouterr().out
    assert (tmp_path / "text.md").exists()


def test_flags_and_configuration_allow_what_is_refused(shop: Path, diff_of: DiffOf, run_of: RunOf) -> None:
    run = run_of(diff_of(**{"uv.lock": "x\n", "deploy/a.tf": "y\n"}))
    where = (run.directory, "--repo", shop, "--dry-run")
    with pytest.raises(PatchRefused, match=r"uv\.lock"):
        propose(*where)
    propose(*where, "--allow-lock-files")
    propose(*where, "--allow-path", "*.lock")
    with pytest.raises(PatchRefused, match=r"deploy/a\.tf \(protected"):
        propose(*where, "-c", "propose.allow_lock_files=true", "-c", "propose.protected=[deploy/]")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--author", "me"), "Name <email>"),
        (("--branch", "{{ nope }}"), "unknown variables"),
        (("--onto", "nowhere"), "--onto"),
        (("--task", "x"), "--task"),
        (("-c", "propose.nope=1"), "propose.nope"),
    ],
)
def test_wrong_input_is_named(shop: Path, fix: bytes, run_of: RunOf, flags: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        propose(run_of(fix).directory, "--repo", shop, *flags)


def test_how_a_patch_is_proposed_is_no_part_of_what_a_run_is() -> None:
    assert load_config((), {"propose.branch": "x"}).identity() == load_config().identity()


def test_a_folder_of_the_repository_will_do(shop: Path, fix: bytes, run_of: RunOf) -> None:
    (shop / "docs").mkdir()
    propose(run_of(fix).directory, "--repo", shop / "docs", "--branch", "from-a-folder")
    assert git(shop, "rev-parse", "--verify", "from-a-folder")


def test_a_dry_run_of_a_pull_request_needs_no_token(
    shop: Path, fix: bytes, run_of: RunOf, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GH_TOKEN", "GITHUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    propose(run_of(fix).directory, "--repo", shop, "--pr", "--dry-run")
    assert "opening the pull request would fail: --pr needs a token" in capsys.readouterr().err
    with pytest.raises(PreflightFailed, match="token"):
        propose(run_of(fix).directory, "--repo", shop, "--pr")


def test_what_is_no_run_or_no_repository_is_told(shop: Path, fix: bytes, run_of: RunOf, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a heats run directory"):
        propose(shop, "--repo", shop)
    with pytest.raises(UsageError, match="not a git repository"):
        propose(run_of(fix).directory, "--repo", tmp_path)


def test_the_exit_code_says_that_a_patch_is_refused(shop: Path, fix: bytes, run_of: RunOf) -> None:
    run = run_of(fix, verified=False)
    program = [str(Path(sys.executable).with_name("heats")), "propose", str(run.directory), "--repo", str(shop)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr.startswith("heats: the patch is not verified")
