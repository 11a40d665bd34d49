"""Turn a patch into a commit, and a commit into a branch, without touching any work tree."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from envs.base import Patch
from heats.errors import PatchRefused, UsageError
from heats.propose.config import read_author
from heats.propose.git import Git, complaint, hand_over
from heats.propose.rules import FileChange

_IDENT = re.compile(r"^(.*) <(.*)> \d+ [+-]\d{4}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitSource:
    """What a commit is made from.

    Attributes:
        base: full id of the commit that the patch applies to.
        onto: full id of the commit to merge the patch onto; equal to `base` for no merge.
        author: `Name <email>`; if empty, git's own.
    """

    patch: Patch
    base: str
    onto: str
    message: str
    author: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit made from a patch; it exists in the user's repository only once a branch points to it."""

    id: str
    tree: str
    parent: str
    changes: tuple[FileChange, ...]


def make_commit(user: Git, scratch: Git, source: CommitSource) -> Commit:
    """Make the commit in the scratch repository.

    Args:
        user: the user's repository.
        scratch: scratch repository that borrows the user's objects.
        source: patch, base, message and author.

    Raises:
        PatchRefused: the patch does not apply, changes nothing, or conflicts.
        UsageError: the author is unknown.
    """
    who = _identity(user, source.author)
    scratch.run("read-tree", source.base)
    applied = scratch.run("apply", "--cached", "--whitespace=nowarn", "-", stdin=source.patch.data, ok=(0, 1, 128))
    if applied.code:
        raise PatchRefused(f"the patch does not apply to {source.base[:12]}: {complaint(applied)}")
    tree, parent = scratch.run("write-tree").text, source.base
    if source.onto != source.base:
        between = _commit_tree(scratch, tree, source.base, source.message, who)
        tree, parent = _merge(scratch, source.onto, between), source.onto
    changes = tuple(_changes(scratch, parent, tree))
    if not changes:
        raise PatchRefused(f"the patch changes nothing: {parent[:12]} already contains it")
    return Commit(_commit_tree(scratch, tree, parent, source.message, who), tree, parent, changes)


def _commit_tree(scratch: Git, tree: str, parent: str, message: str, who: Mapping[str, str]) -> str:
    text = message.encode("utf-8", "replace")
    return scratch.run("commit-tree", tree, "-p", parent, "-F", "-", stdin=text, env=who).text


def _merge(scratch: Git, onto: str, commit: str) -> str:
    base = scratch.run("rev-parse", f"{commit}^1").text
    if scratch.run("merge-base", "--is-ancestor", base, onto, ok=(0, 1)).code:
        raise PatchRefused(
            f"{onto[:12]} does not contain the run's base {base[:12]}, so the patch cannot be merged onto it"
        )
    merged = scratch.run("merge-tree", "--write-tree", "--name-only", "--no-messages", onto, commit, ok=(0, 1, 129))
    if merged.code == 129:
        raise UsageError("--onto needs git 2.38 or newer")
    tree, *files = merged.text.splitlines()
    if merged.code:
        raise PatchRefused(f"the patch conflicts with {onto[:12]} in {', '.join(files[:5])}")
    return tree


def _changes(scratch: Git, old: str, new: str) -> Iterator[FileChange]:
    flags = ("-r", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--raw", "--numstat")
    fields = scratch.run("diff-tree", *flags, old, new).stdout.split(b"\0")
    pairs, at = [], 0
    while fields[at].startswith(b":"):  # a path may start with anything, so the fields are read in step
        pairs.append((fields[at].decode().lstrip(":").split(" "), fields[at + 1]))
        at += 2
    binary = {field.split(b"\t", 2)[2] for field in fields[at:] if field.startswith(b"-\t-\t")}
    for (old_mode, new_mode, *_), path in pairs:
        yield FileChange(path, old_mode, new_mode, path in binary)


def _identity(user: Git, author: str) -> dict[str, str]:
    """Author and committer for the environment of `commit-tree`; never an address that git made up."""
    strict = ("-c", "user.useConfigOnly=true", "var")
    known = {role: user.run(*strict, f"GIT_{role}_IDENT", ok=(0, 128)) for role in ("AUTHOR", "COMMITTER")}
    found = {role: _IDENT.match(output.text) for role, output in known.items() if output.code == 0}
    people = {role: (match[1], match[2]) for role, match in found.items() if match is not None}
    if author:
        people["AUTHOR"] = read_author(author)
        people.setdefault("COMMITTER", people["AUTHOR"])
    if len(people) < 2:
        raise UsageError("git does not know who you are: give --author 'Name <email>', or set user.name and user.email")
    fields = {f"GIT_{role}_NAME": name for role, (name, _) in people.items()}
    return fields | {f"GIT_{role}_EMAIL": email for role, (_, email) in people.items()}


def check_branch(user: Git, name: str) -> None:
    """Refuse an invalid branch name.

    Raises:
        UsageError
    """
    if name.startswith("-") or user.run("check-ref-format", f"refs/heads/{name}", ok=(0, 1, 129)).code:
        raise UsageError(f"--branch: {name!r} is not a valid branch name")


def present(user: Git, name: str, commit: Commit) -> str | None:
    """The branch's tip, if it already makes the same change on the same parent; else None.

    Args:
        user: the user's repository.
        name: name of the branch.
        commit: the commit to look for.
    """
    tip = user.find(f"refs/heads/{name}")
    if tip is None:
        return None
    said = user.run("rev-parse", f"{tip}^{{tree}}", f"{tip}^@").text.split()
    return tip if said == [commit.tree, commit.parent] else None


def check_free(user: Git, name: str, *, force: bool) -> str:
    """Check that a branch may be created or replaced.

    Args:
        user: the user's repository.
        name: name of the branch.
        force: allow replacing an existing branch.

    Returns:
        The branch's current tip; all zeros if it does not exist.

    Raises:
        UsageError: it exists and `force` is not set, or it is checked out somewhere.
    """
    tip = user.find(f"refs/heads/{name}")
    lines = user.run("worktree", "list", "--porcelain").text.splitlines()
    if f"branch refs/heads/{name}" in lines:
        raise UsageError(f"the branch {name} is checked out: choose another with --branch")
    if tip is None:
        return "0" * len(user.run("hash-object", "--stdin").text)
    if not force:
        raise UsageError(f"the branch {name} exists: choose another with --branch, or replace it with --force")
    return tip


def set_branch(user: Git, scratch: Git, name: str, commit: str, before: str) -> None:
    """Copy the commit's objects, then create or move the branch unless it has changed in the meantime.

    Args:
        user: the user's repository.
        scratch: scratch repository with the commit.
        name: name of the branch.
        commit: full id of the commit.
        before: expected current tip; all zeros if the branch must not exist.

    Raises:
        GitFailed: the branch has changed, or another branch is in its way.
    """
    hand_over(scratch, user)
    user.run("update-ref", "-m", "heats propose", f"refs/heads/{name}", commit, before)


def moved(user: Git, base: str, head: str) -> str | None:
    """A note for the user if HEAD is no longer the run's base; else None.

    Args:
        user: the user's repository.
        base: full id of the run's base commit.
        head: full id of HEAD.
    """
    if head == base:
        return None
    if user.run("merge-base", "--is-ancestor", base, head, ok=(0, 1)).code:
        return f"HEAD does not contain the run's base {base[:12]} ; the branch starts from that base"
    count = user.run("rev-list", "--count", f"{base}..{head}").text
    return f"HEAD is {count} commit(s) ahead of the run's base {base[:12]}; --onto HEAD merges the patch onto it"
