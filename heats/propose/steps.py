"""`propose`: check everything, then make the commit, the branch, the push and the pull request, as requested.

Nothing is changed anywhere before every check has passed. Each step recognises the work of an earlier, interrupted
call.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from envs.base import Patch
from envs.tampering import signs_of_tampering
from heats.errors import PatchRefused, PreflightFailed, UsageError
from heats.propose import text
from heats.propose.commit import (
    Commit,
    CommitSource,
    check_branch,
    check_free,
    make_commit,
    moved,
    present,
    set_branch,
)
from heats.propose.config import ProposeConfig, filled
from heats.propose.git import Git, scratch_repository, user_repository
from heats.propose.github import GitHub, PullRequest, open_github, push_token
from heats.propose.leaks import check_leaks
from heats.propose.proposal import Proposal, check
from heats.propose.remote import Remote, find_remote, push
from heats.propose.rules import Rules, check_changes


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeOptions:
    """Options of one call.

    Attributes:
        onto: commit, branch or tag to merge the patch onto; None for the run's base.
        force: replace an existing branch of this name, here and at the remote.
        pr: open a pull request; implies `push`.
        github_repo: `owner/name` of its repository, if the remote's URL does not tell.
        allow_unverified: propose a patch that no test proves.
    """

    repository: Path
    config: ProposeConfig = field(default_factory=ProposeConfig)
    onto: str | None = None
    force: bool = False
    push: bool = False
    pr: bool = False
    github_repo: str = ""
    allow_unverified: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeResult:
    """What was done or, with `dry_run`, would have been done.

    Attributes:
        reused: the branch already existed, made by an earlier call.
        pushed: name of the remote it was pushed to; empty for none.
        draft: a pull request is, or would be, a draft.
        signs: signs of tampering with tests, one line each.
        notes: what the user should know, one line each.
    """

    branch: str
    commit: Commit
    title: str
    text: str
    reused: bool = False
    pushed: str = ""
    pull_request: PullRequest | None = None
    draft: bool = False
    signs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def propose(proposal: Proposal, patch: Patch, wish: ProposeOptions) -> ProposeResult:
    """Make a branch from a patch; push it and open a pull request if requested. Blocks.

    Args:
        proposal: facts about the patch.
        patch: the patch.
        wish: options of this call.

    Raises:
        PatchRefused: the patch is unproven, changes what it must not, or does not apply.
        UsageError: the repository, the branch, the remote or the author cannot be used as given.
        PreflightFailed: no token, no git.
        RemoteFailed: the remote or GitHub refused or did not answer; the branch stays.
    """
    if not proposal.verified and not wish.allow_unverified:
        but = "passes the tests, but is not verified" if proposal.passes else "is not verified"
        raise PatchRefused(f"the patch {but} ({proposal.verdict}); --allow-unverified proposes it as a draft")
    check(patch)
    signs = tuple(str(sign) for sign in signs_of_tampering(patch))
    with user_repository(wish.repository) as user:
        remote, github, lacking = _targets(user, wish)
        base = _base(user, proposal, wish)
        onto = base if wish.onto is None else _onto(user, wish.onto)
        with scratch_repository(user) as scratch:
            config = wish.config
            message = text.message(proposal, config)
            source = CommitSource(patch=patch, base=base, onto=onto, message=message, author=config.author)
            commit = make_commit(user, scratch, source)
            made = _prepared(user, proposal, commit, wish, signs)
            made = replace(made, notes=(*made.notes, *lacking))
            _check(made, message, patch, config)
            if wish.dry_run:
                return made
            if not made.reused:
                before = check_free(user, made.branch, force=wish.force)
                set_branch(user, scratch, made.branch, commit.id, before)
        return _publish(user, made, wish, proposal, (remote, github))


def _targets(user: Git, wish: ProposeOptions) -> tuple[Remote | None, GitHub | None, tuple[str, ...]]:
    """Remote and API, located before anything is done, and what a dry run lacks to use them."""
    if not (wish.push or wish.pr):
        return None, None, ()
    remote = find_remote(user, wish.config.remote)
    if not wish.pr:
        return remote, None, ()
    try:
        return remote, open_github(remote, api_url=wish.config.api_url, slug=wish.github_repo), ()
    except PreflightFailed as error:
        if not wish.dry_run:
            raise
        return remote, None, (f"opening the pull request would fail: {error}",)


def _base(user: Git, proposal: Proposal, wish: ProposeOptions) -> str:
    base = user.find(proposal.base_commit)
    if base is None:
        raise UsageError(
            f"{wish.repository} does not have the run's base commit {proposal.base_commit[:12]}: "
            "fetch it, or give the run's own repository with --repo"
        )
    return base


def _onto(user: Git, name: str) -> str:
    found = user.find(name)
    if found is None:
        raise UsageError(f"--onto: no commit, branch or tag named {name!r}")
    return found


def _prepared(
    user: Git, proposal: Proposal, commit: Commit, wish: ProposeOptions, signs: tuple[str, ...]
) -> ProposeResult:
    branch = filled(wish.config.branch, _for_branch(text.variables(proposal)))
    check_branch(user, branch)
    tip = present(user, branch, commit)
    if tip is None:
        check_free(user, branch, force=wish.force)
    head = user.find("HEAD")
    note = moved(user, proposal.base_commit, head) if head and wish.onto is None else None
    return ProposeResult(
        branch=branch,
        commit=commit if tip is None else Commit(tip, commit.tree, commit.parent, commit.changes),
        title=text.title(proposal, wish.config),
        text=text.pull_request(proposal, commit, signs),
        reused=tip is not None,
        draft=wish.config.draft or not proposal.verified or bool(signs),
        signs=signs,
        notes=(note,) if note else (),
    )


def _for_branch(variables: dict[str, object]) -> dict[str, object]:
    """Foreign text in a branch name, reduced to letters, digits and a few signs."""
    return {
        name: "-".join("".join(char if char.isalnum() or char in "._" else " " for char in value).split())
        if isinstance(value, str)
        else value
        for name, value in variables.items()
    }


def _check(made: ProposeResult, message: str, patch: Patch, config: ProposeConfig) -> None:
    rules = Rules(
        allow_ci=config.allow_ci,
        allow_lock_files=config.allow_lock_files,
        allow_build=config.allow_build,
        allow_paths=config.allow_paths,
        protected=config.protected,
    )
    check_changes(made.commit.changes, rules)
    words = {
        "the text": made.text,
        "the commit message": message,
        "the branch's name": made.branch,
        "the title": made.title,
    }
    check_leaks({"the patch": patch.data, **{name: said.encode("utf-8", "replace") for name, said in words.items()}})


def _publish(
    user: Git,
    made: ProposeResult,
    wish: ProposeOptions,
    proposal: Proposal,
    targets: tuple[Remote | None, GitHub | None],
) -> ProposeResult:
    remote, github = targets
    pull: PullRequest | None = None
    if remote is not None:
        token = push_token(remote, wish.config.api_url)
        push(user, remote, made.commit.id, made.branch, token=token, force=wish.force)
    if remote is not None and github is not None:
        owner = (remote.slug or github.slug).partition("/")[0]
        head = f"{owner}:{made.branch}"
        pull = github.find(head) or github.create(
            {
                "title": made.title,
                "head": head,
                "base": wish.config.base_branch or github.default_branch(),
                "body": made.text,
                "draft": made.draft,
            }
        )
    return ProposeResult(
        branch=made.branch,
        commit=made.commit,
        title=made.title,
        text=made.text,
        reused=made.reused,
        pushed=remote.name if remote is not None else "",
        pull_request=pull,
        draft=made.draft,
        signs=made.signs,
        notes=made.notes,
    )
