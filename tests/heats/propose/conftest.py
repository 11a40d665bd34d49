"""A shop with a bug, runs that fixed it, a bare repository as remote, and a stand-in for GitHub."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from agents.llm.ledger import Usage
from envs.base import Evidence, Patch, Task, TestReport
from heats.propose.config import ProposeConfig
from heats.propose.steps import ProposeOptions
from heats.store.files import write_record
from heats.store.records import Manifest, Outcome, TaskResult
from heats.store.store import RunStore

sys.path.insert(0, str(Path(__file__).parent))
from forge import Forge, serve_forge
from shop_repository import BUG, FIX, git


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GH_TOKEN", "GITHUB_TOKEN", "GITHUB_API_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def shop_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit on `main`, and a bare clone of it beside it."""
    folder = tmp_path_factory.mktemp("model")
    repo = folder / "shop"
    subprocess.run(["git", "init", "-q", "-b", "main", str(repo)], check=True)
    (repo / "price.py").write_text(BUG)
    (repo / "README.md").write_text("A shop.\n")
    with (repo / ".git" / "config").open("a") as config:
        config.write('[user]\nname = Ada\nemail = ada@example.org\n[remote "origin"]\nurl = ../origin.git\n')
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "A shop")
    subprocess.run(["git", "clone", "-q", "--bare", str(repo), str(folder / "origin.git")], check=True)
    return folder


@pytest.fixture
def shop(shop_model: Path, tmp_path: Path) -> Path:
    """A copy of the repository for one test; its `origin` is a bare repository beside it."""
    shutil.copytree(shop_model, tmp_path / "at")
    return tmp_path / "at" / "shop"


@pytest.fixture
def diff_of(shop: Path, tmp_path: Path) -> Callable[..., bytes]:
    """The diff that writes these files; None deletes."""

    def make(executable: bool = False, **files: str | bytes | None) -> bytes:
        clone = tmp_path / "elsewhere"
        subprocess.run(["rm", "-rf", str(clone)], check=True)
        subprocess.run(["git", "clone", "-q", str(shop), str(clone)], check=True)
        for name, content in files.items():
            path = clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else (content or "").encode())
            if executable:
                path.chmod(0o755)
        git(clone, "add", "-A", "-f")
        flags = ("--cached", "--binary", "--full-index", "--no-renames")
        return subprocess.run(["git", "-C", clone, "diff", *flags], capture_output=True, check=True).stdout

    return make


@pytest.fixture
def fix() -> bytes:
    """The patch that fixes the shop."""
    old, new = BUG.splitlines()[1], BUG.replace("100 + discount", FIX).splitlines()[1]
    head = "diff --git a/price.py b/price.py\n--- a/price.py\n+++ b/price.py\n@@ -1,2 +1,2 @@\n"
    return f"{head} {BUG.splitlines()[0]}\n-{old}\n+{new}\n".encode()


@pytest.fixture
def run_of(shop: Path, tmp_path: Path) -> Callable[..., RunStore]:
    """A finished run of one task whose selected rollout made this patch."""

    def make(
        data: bytes,
        *,
        verified: bool = True,
        issue: str = "A discount makes things dearer",
        base: str = "",
        verdict: Literal["verified", "passes", "unverified"] | None = None,
        lacking: tuple[str, ...] = (),
    ) -> RunStore:
        task, rollout, base = "shop-1-2", "heat-0/rollout-00", base or git(shop, "rev-parse", "HEAD")
        patch = Patch(data)
        run = RunStore.open(tmp_path / "run", Manifest(run_id="run", command="solve", identity={"tasks": {task: "x"}}))
        store = run.task(task)
        write_record(store.directory / "task.json", Task(id=task, statement=issue, image="", base_commit=base))
        before = TestReport(
            command="python3 -m unittest", status="failed", exit_code=1, tests={"a": "failed", "b": "passed"}
        )
        after = before.model_copy(update={"status": "passed", "exit_code": 0, "tests": {"a": "passed", "b": "passed"}})
        store.save_baseline(before)
        verdict = verdict or ("verified" if verified else "unverified")
        evidence = Evidence(
            patch_sha256=patch.sha256,
            verdict=verdict,
            reason="as it is",
            strength_reasons=lacking,
            rank=3,
            before=before,
            after=after,
            fixed=("a",),
        )
        store.rollout(rollout).save_evidence(evidence)
        outcome = Outcome(
            rollout=rollout, exit="submitted", steps=4, model="m", patch_sha256=patch.sha256, patch_bytes=len(data)
        )
        store.rollout(rollout).finish(outcome, patch)
        store.save_result(
            TaskResult(
                task=task, status=verdict, detail="one test fixed", base_commit=base, selected=rollout, heats=1,
                patch_sha256=patch.sha256, rollouts=(rollout,), evidence=evidence, usage=Usage(calls=3, cost_usd=0.25),
            )
        )  # fmt: skip
        run.close()
        return run

    return make


@pytest.fixture
def wish(shop: Path) -> Callable[..., ProposeOptions]:
    """Options of a call: keyword arguments of `ProposeOptions`, or of `ProposeConfig` if they are defined there."""

    def make(**given: object) -> ProposeOptions:
        config = {name: given.pop(name) for name in list(given) if name in ProposeConfig.model_fields}
        return ProposeOptions(repository=shop, config=ProposeConfig(**config), **given)  # type: ignore[arg-type]

    return make


@pytest.fixture
def forge(tmp_path: Path, shop: Path) -> Iterator[Forge]:
    """GitHub's API and git over HTTP, for the bare repository `acme/shop.git`, on the loopback."""
    with serve_forge(tmp_path / "forge", token="t0ken-of-the-forge-1234") as running:
        subprocess.run(["git", "clone", "-q", "--bare", str(shop), str(running.repository)], check=True)
        git(running.repository, "config", "http.receivepack", "true")
        yield running
