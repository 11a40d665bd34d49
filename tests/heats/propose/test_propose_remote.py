"""Pushing and pull requests: against a bare repository, and against a stand-in for GitHub backed by git."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from forge import Forge, serve_forge
from shop_repository import git

from heats.errors import PreflightFailed, RemoteFailed, UsageError
from heats.propose.github import find_api, open_github, push_token
from heats.propose.proposal import read_run
from heats.propose.remote import read_url
from heats.propose.steps import ProposeOptions, ProposeResult, propose
from heats.store.store import RunStore

RunOf, Wishes = Callable[..., RunStore], Callable[..., ProposeOptions]
pytestmark = pytest.mark.slow


def go(run: RunStore, wish: ProposeOptions) -> ProposeResult:
    return propose(*read_run(run), wish)


@pytest.fixture
def at_forge(shop: Path, forge: Forge, monkeypatch: pytest.MonkeyPatch) -> Forge:
    """The shop's remote is the forge, and its token is in the environment."""
    git(shop, "remote", "set-url", "origin", f"{forge.url}/acme/shop.git")
    monkeypatch.setenv("GITHUB_TOKEN", forge.token)
    monkeypatch.setenv("GITHUB_API_URL", f"{forge.url}/api/v3")
    return forge


def test_push_puts_the_commit_at_a_bare_remote(shop: Path, fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    made = go(run_of(fix), wish(push=True))
    origin = shop.parent / "origin.git"
    assert made.pushed == "origin"
    assert git(origin, "rev-parse", made.branch) == made.commit.id
    assert git(origin, "for-each-ref", "--format=%(refname)") == "refs/heads/heats/shop-1-2\nrefs/heads/main"
    assert go(run_of(fix), wish(push=True)).commit == made.commit


def test_another_branch_at_the_remote_is_kept_unless_forced(
    shop: Path, fix: bytes, run_of: RunOf, wish: Wishes
) -> None:
    origin, run = shop.parent / "origin.git", run_of(fix)
    git(origin, "branch", "taken", "main")
    with pytest.raises(UsageError, match="origin has a different branch taken"):
        go(run, wish(branch="taken", push=True))
    made = go(run, wish(branch="taken", push=True, force=True))
    assert git(origin, "rev-parse", "taken") == made.commit.id


def test_an_unknown_remote_is_told_before_anything_is_done(shop: Path, fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    with pytest.raises(UsageError, match="it has: origin"):
        go(run_of(fix), wish(push=True, remote="upstream"))
    assert git(shop, "branch", "--list", "heats/*") == ""


def test_a_remote_that_refuses_leaves_the_branch_for_another_try(
    shop: Path, fix: bytes, run_of: RunOf, wish: Wishes
) -> None:
    hook, run = shop.parent / "origin.git" / "hooks" / "pre-receive", run_of(fix)
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RemoteFailed, match="pre-receive hook declined"):
        go(run, wish(push=True))
    hook.unlink()
    made = go(run, wish(push=True))
    assert made.reused
    assert git(shop.parent / "origin.git", "rev-parse", made.branch) == made.commit.id


def test_a_remote_helper_is_never_started(shop: Path, fix: bytes, run_of: RunOf, wish: Wishes, tmp_path: Path) -> None:
    git(shop, "remote", "set-url", "origin", f"ext::sh -c touch%20{tmp_path}/sprung")
    git(shop, "config", "protocol.ext.allow", "always")
    with pytest.raises(RemoteFailed):
        go(run_of(fix), wish(push=True))
    assert not (tmp_path / "sprung").exists()


def test_a_pull_request_is_opened_with_the_token_of_the_environment(
    shop: Path, fix: bytes, run_of: RunOf, wish: Wishes, at_forge: Forge
) -> None:
    made = go(run_of(fix), wish(pr=True))
    assert git(at_forge.repository, "rev-parse", made.branch) == made.commit.id
    (pull,) = at_forge.pulls
    assert (pull["head"], pull["base"], pull["draft"]) == ("acme:heats/shop-1-2", "main", False)
    assert pull["title"] == "A discount makes things dearer"
    assert "## Tests before and after" in pull["body"]
    assert made.pull_request is not None
    assert made.pull_request.url == "https://forge.test/acme/shop/pull/1"


def test_the_same_call_again_opens_no_second_one(fix: bytes, run_of: RunOf, wish: Wishes, at_forge: Forge) -> None:
    run = run_of(fix)
    go(run, wish(pr=True))
    again = go(run, wish(pr=True))
    assert again.pull_request is not None
    assert not again.pull_request.created
    assert len(at_forge.pulls) == 1


def test_the_token_is_in_no_file_argument_or_message(
    shop: Path, fix: bytes, run_of: RunOf, wish: Wishes, at_forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, run = shop.parent / "trace.txt", run_of(fix)
    monkeypatch.setenv("GIT_TRACE", str(trace))
    made = go(run, wish(pr=True))
    at_forge.answer.append((403, {"message": f"no, {at_forge.token}"}, {}))
    with pytest.raises(RemoteFailed) as refused:
        go(run, wish(pr=True))
    folders = (shop.parent, run.directory, at_forge.root)
    files = [path.read_bytes().decode("latin-1") for folder in folders for path in folder.rglob("*") if path.is_file()]
    for text in [*files, made.text, repr(made), repr(wish()), str(refused.value)]:
        assert at_forge.token not in text
    assert "remote-http" in trace.read_text()  # contains every command line of every git process


def test_the_token_goes_to_no_other_host(
    shop: Path, fix: bytes, run_of: RunOf, wish: Wishes, at_forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "https://api.github.com")
    run = run_of(fix)
    with pytest.raises(UsageError, match=r"not a repository on github\.com"):
        go(run, wish(pr=True))
    with pytest.raises(RemoteFailed):
        go(run, wish(push=True))
    assert all("Authorization" not in headers for _, _, headers in at_forge.asked)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_server_without_a_trusted_certificate_gets_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem, key = tmp_path / "both.pem", tmp_path / "key.pem"
    new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=forge")
    subprocess.run(
        [*new, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", pem], check=True, capture_output=True
    )
    pem.write_text(pem.read_text() + key.read_text())
    monkeypatch.setenv("GITHUB_TOKEN", "t0ken-of-the-forge-1234")
    with serve_forge(tmp_path, "t0ken-of-the-forge-1234", certificate=pem) as forge:
        api = open_github(read_url("origin", f"{forge.url}/acme/shop"), api_url=f"{forge.url}/api/v3")
        with pytest.raises(RemoteFailed, match="certificate verify failed"):
            api.default_branch()
        assert forge.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        assert api.default_branch() == "main"


def test_a_redirect_is_not_followed(fix: bytes, run_of: RunOf, wish: Wishes, at_forge: Forge) -> None:
    at_forge.answer.append((302, {}, {"Location": f"{at_forge.url}/api/v3/elsewhere"}))
    with pytest.raises(RemoteFailed, match="a redirect, which is not followed"):
        go(run_of(fix), wish(pr=True))
    assert not any("elsewhere" in path for _, path, _ in at_forge.asked)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"message": "Bad credentials"}, "the token is not valid"),
        (404, {"message": "Not Found"}, "the token cannot see it"),
        (422, {"message": "Validation Failed", "errors": [{"message": "No commits"}]}, "No commits"),
        (500, b"<html>", "500"),
        (200, b"<html>", "unusable answer"),
    ],
)
def test_a_refusal_is_one_line_that_says_why(
    fix: bytes, run_of: RunOf, wish: Wishes, at_forge: Forge, status: int, body: object, said: str
) -> None:
    at_forge.answer.append((status, body, {}))
    with pytest.raises(RemoteFailed, match=said) as refused:
        go(run_of(fix), wish(pr=True))
    assert "\n" not in str(refused.value)


def test_an_unverified_patch_is_a_draft(fix: bytes, run_of: RunOf, wish: Wishes, at_forge: Forge) -> None:
    go(run_of(fix, verified=False), wish(pr=True, allow_unverified=True, base_branch="main"))
    assert at_forge.pulls[0]["draft"] is True
    assert at_forge.pulls[0]["body"].startswith("**Not verified**")


def test_a_pull_request_needs_a_token(shop: Path, fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    with pytest.raises(PreflightFailed, match="GH_TOKEN"):
        go(run_of(fix), wish(pr=True))
    assert git(shop, "branch", "--list", "heats/*") == ""


@pytest.mark.parametrize("url", ["http://api.example.org", "https://u:p@api.example.org", "ftp://x", "file:///etc"])
def test_an_api_that_is_not_safe_for_a_token_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        find_api(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/acme/shop.git", ("https", "github.com", "acme/shop")),
        ("https://me:pw@github.com/acme/shop/", ("https", "github.com", "acme/shop")),
        ("git@github.com:acme/shop.git", ("ssh", "github.com", "acme/shop")),
        ("ssh://git@ghe.example.org:22/acme/shop", ("ssh", "ghe.example.org", "acme/shop")),
        ("../origin.git", ("file", "", "")),
        ("https://github.com/only-one", ("https", "github.com", "")),
    ],
)
def test_a_remote_url_is_taken_apart(url: str, expected: tuple[str, str, str]) -> None:
    remote = read_url("origin", url)
    assert (remote.scheme, remote.host, remote.slug) == expected


def test_an_enterprise_server_is_named_by_its_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_TOKEN", "x" * 20)
    own = read_url("origin", "git@ghe.example.org:acme/shop.git")
    with pytest.raises(UsageError, match="GITHUB_API_URL"):
        open_github(own)
    assert open_github(own, api_url="https://ghe.example.org/api/v3/").api == "https://ghe.example.org/api/v3"
    monkeypatch.setenv("GITHUB_API_URL", "https://ghe.example.org/api/v3")
    assert open_github(own).slug == "acme/shop"
    assert push_token(read_url("origin", "https://ghe.example.org/acme/shop")) == "x" * 20
    for other in ("https://github.com/acme/shop", "http://ghe.example.org/acme/shop", "git@ghe.example.org:acme/shop"):
        assert push_token(read_url("origin", other)) == ""


def test_a_fork_names_where_its_pull_request_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_TOKEN", "x" * 20)
    fork = read_url("origin", "https://github.com/me/shop")
    assert open_github(fork, slug="acme/shop").slug == "acme/shop"
    assert open_github(fork).slug == "me/shop"
    for bad in ("acme", "a/b/c", "a/b?c", "/x"):
        with pytest.raises(UsageError):
            open_github(fork, slug=bad)


def test_credentials_left_by_a_checkout_are_not_sent_besides(
    shop: Path, fix: bytes, run_of: RunOf, wish: Wishes, at_forge: Forge
) -> None:
    git(shop, "config", f"http.{at_forge.url}/.extraHeader", "Authorization: Basic c3RhbGU=")
    made = go(run_of(fix), wish(pr=True))
    assert git(at_forge.repository, "rev-parse", made.branch) == made.commit.id
