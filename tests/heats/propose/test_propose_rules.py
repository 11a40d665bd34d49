"""What is not proposed: unverified patches, CI and lock files, links, secrets, and bundles that were tampered with."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from shop_repository import git

from envs.base import Patch
from heats.errors import PatchRefused, UsageError
from heats.propose.leaks import check_leaks
from heats.propose.proposal import is_bundle, read_bundle, read_run, write_bundle
from heats.propose.rules import FileChange, Rules, check_changes
from heats.propose.steps import ProposeOptions, propose
from heats.store.store import RunStore

RunOf, Wishes, DiffOf = Callable[..., RunStore], Callable[..., ProposeOptions], Callable[..., bytes]
SECRET = "s3cr3t-value-of-the-canary"


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml", ".GitHub/Workflows/x.yml", "sub/.github/workflows/x.yml", ".gitlab-ci.yml",
        "Jenkinsfile", "ci/Jenkinsfile.release", ".circleci/config.yml", "azure-pipelines-nightly.yml", ".travis.yml",
        ".husky/pre-commit", ".pre-commit-config.yaml", "CODEOWNERS", "docs/CODEOWNERS", "renovate.json5",
    ],
)  # fmt: skip
def test_ci_files_need_a_flag(path: str) -> None:
    change = FileChange(path.encode(), "100644", "100644")
    with pytest.raises(PatchRefused, match="--allow-ci"):
        check_changes([change], Rules(allow_lock_files=True))
    check_changes([change], Rules(allow_ci=True))


@pytest.mark.parametrize(
    "path",
    ["uv.lock", "web/package-lock.json", "pnpm-lock.yaml", "Cargo.lock", "go.sum", "requirements-dev.txt", "bun.lockb"],
)
def test_lock_files_need_a_flag(path: str) -> None:
    change = FileChange(path.encode(), "000000", "100644")
    with pytest.raises(PatchRefused, match="--allow-lock-files"):
        check_changes([change], Rules(allow_ci=True))
    check_changes([change], Rules(allow_lock_files=True))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (FileChange(b".gitattributes", "100644", "100644"), "act on"),
        (FileChange(b".vscode/tasks.json", "000000", "100644"), "act on"),
        (FileChange(b"run.sh", "100644", "100755"), "executable"),
        (FileChange(b"link", "000000", "120000"), "symbolic link"),
        (FileChange(b"blob.bin", "000000", "100644", binary=True), "binary"),
        (FileChange(b"deploy/prod.tf", "100644", "100644"), "protected"),
    ],
)
def test_other_dangers_need_their_path_allowed(change: FileChange, what: str) -> None:
    rules = Rules(allow_ci=True, allow_lock_files=True, protected=("deploy/",))
    with pytest.raises(PatchRefused, match=what):
        check_changes([change], rules)
    check_changes([change], Rules(allow_paths=[change.path.decode()], protected=("deploy/",)))


@pytest.mark.parametrize(
    "path",
    [
        "Makefile", "lib/GNUmakefile", "package.json", "web/package.json", "setup.py", "setup.cfg", "pyproject.toml",
        "conftest.py", "tests/conftest.py", "pytest.ini", "tox.ini", "noxfile.py", "jest.config.ts", "build.gradle.kts",
        "pom.xml", "Cargo.toml", "build.rs", "go.mod", "CMakeLists.txt", "Rakefile", "Gemfile", "phpunit.xml.dist",
        "Dockerfile", "tsconfig.json", ".mocharc.yml", ".babelrc", "node_modules/.bin/jest", "shop.dist-info/RECORD",
    ],
)  # fmt: skip
def test_what_builds_the_project_or_steers_its_tests_needs_a_flag(path: str) -> None:
    change = FileChange(path.encode(), "100644", "100644")
    with pytest.raises(PatchRefused, match="--allow-build"):
        check_changes([change], Rules())
    check_changes([change], Rules(allow_build=True))
    check_changes([change], Rules(allow_paths=[path]))


@pytest.mark.parametrize("path", ["tests/test_price.py", "src/cart.spec.ts", "cart_test.go", "spec/cart_spec.rb"])
def test_deleted_tests_are_refused_and_changed_ones_are_not(path: str) -> None:
    with pytest.raises(PatchRefused, match="deletes tests"):
        check_changes([FileChange(path.encode(), "100644", "000000")], Rules(allow_build=True))
    check_changes(
        [FileChange(path.encode(), "100644", "100644"), FileChange(path.encode(), "000000", "100644")], Rules()
    )


@pytest.mark.parametrize(
    "path",
    [
        "src/github/workflows.py",
        "lock.py",
        "tests/test_ci.py",
        "Jenkins.md",
        "locks/a.py",
        ".gitignore",
        ".changes/1.md",
    ],
)
def test_ordinary_files_pass(path: str) -> None:
    check_changes([FileChange(path.encode(), "100644", "100644"), FileChange(b"x.sh", "100755", "100755")], Rules())


def test_a_patch_of_a_workflow_is_refused_end_to_end(shop: Path, diff_of: DiffOf, run_of: RunOf, wish: Wishes) -> None:
    run = run_of(diff_of(**{".github/workflows/x.yml": "on: push\n"}))
    with pytest.raises(PatchRefused, match=r"\.github/workflows/x\.yml \(CI or hooks: --allow-ci\)"):
        propose(*read_run(run), wish())
    assert git(shop, "branch", "--list", "heats/*") == ""
    assert propose(*read_run(run), wish(allow_ci=True)).branch


def test_an_unverified_patch_is_refused_unless_wished(fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    run = run_of(fix, verified=False)
    with pytest.raises(PatchRefused, match="--allow-unverified"):
        propose(*read_run(run), wish())
    assert propose(*read_run(run), wish(allow_unverified=True)).text.startswith("**Not verified**")


def test_a_patch_that_passes_without_being_verified_is_refused_unless_wished_and_says_so_first(
    fix: bytes, run_of: RunOf, wish: Wishes
) -> None:
    run = run_of(fix, verdict="passes", lacking=("only the test command's exit code is known",))
    with pytest.raises(PatchRefused, match=r"passes the tests, but is not verified .*--allow-unverified"):
        propose(*read_run(run), wish())
    made = propose(*read_run(run), wish(allow_unverified=True))
    assert made.draft
    assert made.text.startswith("**Passes the tests, but is not verified**")
    assert "only the test command's exit code is known" in made.text.splitlines()[0]


def test_signs_of_tampering_come_first_and_make_a_draft(
    shop: Path, diff_of: DiffOf, run_of: RunOf, wish: Wishes
) -> None:
    run = run_of(diff_of(**{"price.py": "import os\nos._exit(0)\n"}))
    made = propose(*read_run(run), wish())
    first, _, sign = made.text.splitlines()[:3]
    assert first == "**Read this first**: the patch may target its tests instead of its task."
    assert sign == "- `price.py:2 ends the process: os._exit(0)`"
    assert (made.draft, len(made.signs)) == (True, 1)


def test_a_patch_file_that_was_changed_afterwards_is_refused(fix: bytes, run_of: RunOf) -> None:
    run = run_of(fix)
    path = run.task("shop-1-2").rollout("heat-0/rollout-00").directory / "patch.diff"
    path.write_bytes(fix.replace(b"100 - d", b"999 - d"))
    with pytest.raises(PatchRefused, match="changed after the run"):
        read_run(run)


def test_evidence_of_another_patch_proves_nothing(fix: bytes, run_of: RunOf) -> None:
    run = run_of(fix)
    store = run.task("shop-1-2")
    result = store.result()
    evidence = result.evidence.model_copy(update={"patch_sha256": "0" * 64})
    store.save_result(result.model_copy(update={"evidence": evidence}))
    assert not read_run(run)[0].verified


def test_a_path_into_git_is_refused(fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    with pytest.raises(PatchRefused, match="breaks the rules"):
        propose(*read_run(run_of(fix.replace(b"price.py", b".git/hooks/x"))), wish())


def test_a_patch_of_another_tree_does_not_apply(fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    with pytest.raises(PatchRefused, match="does not apply"):
        propose(*read_run(run_of(fix.replace(b"+ discount", b"* discount"))), wish())


@pytest.mark.parametrize(
    "hide",
    [
        lambda text: text,
        lambda text: text[::-1],
        lambda text: __import__("base64").b64encode(b"xy" + text),
        lambda text: __import__("base64").urlsafe_b64encode(b"x" + text + b"tail"),
        lambda text: text.hex().encode(),
        lambda text: __import__("urllib.parse").parse.quote(text + b"/", safe="").encode(),
        lambda text: text[:9] + b"\n+" + text[9:],
    ],
)
def test_a_secret_of_the_environment_never_leaves(hide: Callable[[bytes], bytes]) -> None:
    with pytest.raises(PatchRefused, match=r"the patch contains the value of \$MY_API_KEY") as refused:
        check_leaks({"the patch": b"+key = " + hide(SECRET.encode()) + b"\n"}, {"MY_API_KEY": SECRET})
    assert SECRET not in str(refused.value)


def test_a_leaking_patch_makes_no_branch(
    shop: Path, diff_of: DiffOf, run_of: RunOf, wish: Wishes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", SECRET)
    with pytest.raises(PatchRefused, match="DEPLOY_TOKEN"):
        propose(*read_run(run_of(diff_of(**{"notes.txt": f"see {SECRET}\n"}))), wish())
    assert git(shop, "branch", "--list", "heats/*") == ""


def test_a_bundle_carries_a_proposal_to_another_machine(
    shop: Path, fix: bytes, run_of: RunOf, wish: Wishes, tmp_path: Path
) -> None:
    proposal, patch = read_run(run_of(fix))
    write_bundle(tmp_path / "bundle", proposal, patch)
    assert is_bundle(tmp_path / "bundle")
    assert read_bundle(tmp_path / "bundle") == (proposal, patch)
    assert propose(*read_bundle(tmp_path / "bundle"), wish()).text == propose(proposal, patch, wish()).text


def _spoil(bundle: Path, **changes: object) -> None:
    facts = json.loads((bundle / "proposal.json").read_text())
    (bundle / "proposal.json").write_text(json.dumps({**facts, **changes}))


SPOILT: dict[str, Callable[[Path], object]] = {
    "another patch": lambda bundle: (bundle / "patch.diff").write_bytes(b"x\n"),
    "a key too many": lambda bundle: _spoil(bundle, text="# Merge me"),
    "no digest": lambda bundle: _spoil(bundle, patch_sha256=""),
    "a base that is no commit": lambda bundle: _spoil(bundle, base_commit="--upload-pack=x"),
    "another version": lambda bundle: _spoil(bundle, version=2),
    "no JSON": lambda bundle: (bundle / "proposal.json").write_text("{"),
    "too large": lambda bundle: (bundle / "proposal.json").write_bytes(b" " * (5 << 20)),
    "another file": lambda bundle: (bundle / "run.sh").write_text("true"),
    "a folder": lambda bundle: (bundle / ".git").mkdir(),
    "no patch": lambda bundle: (bundle / "patch.diff").unlink(),
    "a fifo": lambda bundle: ((bundle / "patch.diff").unlink(), os.mkfifo(bundle / "patch.diff")),
    "a link": lambda bundle: ((bundle / "patch.diff").unlink(), (bundle / "patch.diff").symlink_to("/etc/passwd")),
    "a name too long": lambda bundle: _spoil(bundle, task="x" * 5000),
    "too many rollouts": lambda bundle: _spoil(bundle, attempts=[{"id": "x", "heat": 0, "ending": "x"}] * 401),
    "text for a number": lambda bundle: _spoil(bundle, same="many"),
    "no text at all": lambda bundle: (bundle / "proposal.json").write_bytes(b"\xff\xfe{}"),
    "nested without end": lambda bundle: (bundle / "proposal.json").write_text("[" * 200_000),
    "a link to facts": lambda bundle: (
        (bundle / "proposal.json").rename(bundle.parent / "facts"),
        (bundle / "proposal.json").symlink_to(bundle.parent / "facts"),
    ),
    "negative cost": lambda bundle: _spoil(bundle, before={"command": "x", "status": "y", "failed": -1}),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_bundle_that_was_tampered_with_is_refused(fix: bytes, run_of: RunOf, tmp_path: Path, what: str) -> None:
    bundle = tmp_path / "bundle"
    write_bundle(bundle, *read_run(run_of(fix)))
    SPOILT[what](bundle)
    with pytest.raises(PatchRefused):
        read_bundle(bundle)


def _new(path: str, content: str = "+x", mode: str = "100644") -> bytes:
    head = (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n{content}\n"
    )
    return head.encode()


HOSTILE_PATCHES = {
    "leaves the tree": _new("../x"),
    "absolute": _new("/etc/cron.d/x"),
    "into git": _new(".git/hooks/post-checkout"),
    "into git, spelt otherwise": _new(".GIT/config"),
    "through a link": _new("ln", "+/etc\n\\ No newline at end of file", "120000") + _new("ln/passwd"),
    "through a link in another case": _new("Ln", "+src\n\\ No newline at end of file", "120000") + _new("ln/passwd"),
    "a link out of the tree": _new("ln", "+../../etc\n\\ No newline at end of file", "120000"),
    "a submodule": _new("sub", "+Subproject commit " + "1" * 40, "160000"),
    "hidden direction": _new("a\u202eyp.exe"),
    "cut off": _new("x")[:-1],
    "headers that disagree": _new("x").replace(b"+++ b/x", b"+++ b/.github/workflows/x.yml"),
    "executable": _new("run.sh", mode="100755"),
    "a workflow": _new(".github/workflows/x.yml"),
    "attributes": _new(".gitattributes", "+* filter=x"),
    "a lock file gone": b"diff --git a/uv.lock b/uv.lock\ndeleted file mode 100644\n--- a/uv.lock\n+++ /dev/null\n"
    b"@@ -1 +0,0 @@\n-x\n",
    "nothing": b"",
    "prose": b"please apply\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", HOSTILE_PATCHES)
def test_a_hostile_patch_in_a_sound_bundle_makes_no_branch(
    shop: Path, fix: bytes, run_of: RunOf, wish: Wishes, tmp_path: Path, what: str
) -> None:
    proposal, _ = read_run(run_of(fix))
    patch = Patch(HOSTILE_PATCHES[what])
    write_bundle(tmp_path / "bundle", proposal.model_copy(update={"patch_sha256": patch.sha256}), patch)
    with pytest.raises(PatchRefused):
        propose(*read_bundle(tmp_path / "bundle"), wish())
    assert git(shop, "for-each-ref", "refs/heads", "--format=%(refname)") == "refs/heads/main"


def test_a_bundle_is_never_written_over_something_else(fix: bytes, run_of: RunOf, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match="empty directory"):
        write_bundle(tmp_path, *read_run(run_of(fix)))


def test_what_a_run_does_not_have_is_told(fix: bytes, run_of: RunOf) -> None:
    run = run_of(fix)
    with pytest.raises(UsageError, match="no task nope"):
        read_run(run, "nope")
    with pytest.raises(UsageError, match="no rollout heat-9"):
        read_run(run, None, "heat-9/rollout-00")
    (run.task("shop-1-2").directory / "result.json").unlink()
    with pytest.raises(UsageError, match="not finished"):
        read_run(run)
