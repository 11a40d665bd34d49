"""Reduce the image's repository to what an agent may see: its past up to the base commit, and nothing else.

A fix may be in commits after the base commit, in other branches, tags, remotes, reflogs, stashes, notes, replaced or
unreachable objects, alternates, or linked work trees. So `.git` is rebuilt from the commits that lead up to the base
commit (objects stay in place if there are no others), and the result is compared, object by object, with what these
commits reach.
"""

import secrets
from dataclasses import dataclass

from envs.basetree import BaseTree
from envs.errors import SetupFailed
from envs.gitscripts import NESTED, OWN_GIT, SCRATCH, TREE_OF, clean_script, describe
from sandbox.base import ExecResult, Sandbox

_REASONS = {
    80: "the image has no git repository at {workdir}",
    81: "in the image, {workdir} is not at the row's base commit {base}",
    83: "history after {base} could not be removed from the git repository in {workdir}",
    84: "the image has no git",
}
_TIMEOUT_S = 900.0

# Exit 81: HEAD must be the base commit, or the one commit on top of it in which image builders record their own
# changes. If the image lacks the base commit altogether, no history is kept.
_SANITISE = r"""
set -e
BASE=$1; S=$2; KEEP=$3; KNOWN=$4
export GIT_NO_REPLACE_OBJECTS=1 GIT_NO_LAZY_FETCH=1 GIT_GRAFT_FILE=/dev/null
command -v git >/dev/null 2>&1 || exit 84
[ -d .git ] || exit 80
TOP=$(GIT rev-parse --verify --quiet 'HEAD^{commit}') || exit 80
PAST=--no-walk; ROOT=$TOP; ENDS=$TOP
if GIT cat-file -e "$BASE^{commit}" 2>/dev/null; then
  ROOT=$BASE; ENDS="$TOP $BASE"
  [ "$KEEP" != past ] || PAST=
  PARENTS=$(GIT rev-list --parents -n 1 "$TOP" | cut -s -d' ' -f2-)
  [ "$TOP" = "$BASE" ] || [ "$PARENTS" = "$BASE" ] || exit 81
fi
trap 'rm -rf "$S"' EXIT
mkdir "$S"

nothing_else() {  # every object that is there is one that the starting commit reaches, or all are known to be such
  GIT cat-file --batch-all-objects --unordered --batch-check='%(objectname)' | LC_ALL=C sort -u >"$S/there"
  FOUND="$TOP:$(sha256sum <"$S/there" | cut -d' ' -f1)"
  [ "$FOUND" != "$KNOWN" ] || return 0
  GIT rev-list --objects --no-object-names $PAST $ENDS | LC_ALL=C sort -u >"$S/reached"
  cmp -s "$S/there" "$S/reached" || return 1
  KNOWN=$FOUND
}

if [ -n "$PAST" ]; then echo "$ROOT" >"$S/shallow"; else cp .git/shallow "$S/shallow" 2>/dev/null || :; fi
if [ ! -s .git/objects/info/alternates ] && nothing_else; then
  find .git -mindepth 1 -maxdepth 1 ! -name objects -exec rm -rf {} +
  rm -rf .git/objects/info
else
  GIT rev-list --objects --no-object-names $PAST $ENDS >"$S/reached"
  GIT pack-objects -q --stdout <"$S/reached" >"$S/pack"
  rm -rf .git
fi
GIT init -q --template= .
if [ -f "$S/pack" ]; then GIT index-pack --stdin <"$S/pack" >/dev/null; fi
if [ -f "$S/shallow" ]; then  # of the old grafts, those that this history reaches
  while read -r ONE; do if GIT cat-file -e "$ONE" 2>/dev/null; then echo "$ONE"; fi; done <"$S/shallow" >"$S/grafts"
  if [ -s "$S/grafts" ]; then cp "$S/grafts" .git/shallow; fi
fi
GIT config user.name heats
GIT config user.email heats@localhost
GIT config gc.auto 0
GIT symbolic-ref HEAD refs/heads/main
GIT -c core.logAllRefUpdates=false update-ref refs/heads/main "$TOP"
GIT read-tree "$TOP"
GIT update-index -q --refresh >/dev/null 2>&1 || :

nothing_else || exit 83
[ "$(GIT for-each-ref --format='%(objectname) %(refname)')" = "$TOP refs/heads/main" ] || exit 83
[ "$(GIT symbolic-ref HEAD)" = refs/heads/main ] || exit 83
for LEFT in logs FETCH_HEAD ORIG_HEAD MERGE_HEAD CHERRY_PICK_HEAD packed-refs worktrees modules lfs info/grafts \
    refs/stash refs/notes refs/replace refs/remotes objects/info/alternates objects/info/commit-graph; do
  [ ! -e ".git/$LEFT" ] || exit 83
done
echo "$FOUND"
"""

# The tree as shipped in the image, including the image builder's uncommitted changes and new files: the harness applies
# patches to exactly this.
_SNAPSHOT = rf"""
set -e
S=$1; KNOWN=$2
TOP=$(GIT rev-parse HEAD); SHAPE=$TOP
cp -r .git/shallow "$S/shallow" 2>/dev/null || :
export GIT_ALTERNATE_OBJECT_DIRECTORIES="$PWD/.git/objects"
{OWN_GIT}{NESTED}{TREE_OF}
own_git
if [ -f "$S/shallow" ]; then cp "$S/shallow" "$S/git/shallow"; fi
tree_of "$TOP"
export GIT_AUTHOR_NAME=heats GIT_AUTHOR_EMAIL=heats@localhost GIT_AUTHOR_DATE='1700000000 +0000'
export GIT_COMMITTER_NAME=heats GIT_COMMITTER_EMAIL=heats@localhost GIT_COMMITTER_DATE='1700000000 +0000'
COMMIT=$(echo base | GIT commit-tree "$TREE")
if [ "$COMMIT" != "$KNOWN" ]; then
  GIT rev-list --objects --no-object-names --no-walk "$COMMIT" | GIT pack-objects -q --stdout --threads=1 >"$S/pack"
fi
echo "$COMMIT"
"""


@dataclass(eq=False)
class Base:
    """The tree that attempts at a task start from; shared by the task's sandboxes and freed with the last of them."""

    tree: BaseTree


async def cut_future(sandbox: Sandbox, workdir: str, base_commit: str, *, past: bool = True, known: str = "") -> str:
    """Reduce the repository to what leads up to its base commit, and verify that nothing else is left.

    Args:
        sandbox: fresh sandbox of the instance's image.
        workdir: directory of the tree.
        base_commit: the instance's base commit.
        past: keep the commits before it; without them this is fast, whatever the size of the repository.
        known: result of an earlier call for the image; if the same objects exist, they are not walked again.

    Returns:
        The starting commit, and a digest of the names of all remaining objects.

    Raises:
        SetupFailed: no repository, a repository at another commit, or remains of the future.
        SandboxError
    """
    script = clean_script(_SANITISE, base_commit, _beside(workdir), "past" if past else "tree", known)
    result = await sandbox.exec(script, timeout=_TIMEOUT_S, cwd=workdir, merge_stderr=True)
    if not result.ok:
        raise SetupFailed(_why(result, workdir, base_commit))
    return result.text().split()[-1]


async def snapshot(sandbox: Sandbox, workdir: str, known: BaseTree | None, *, max_bytes: int = 512 << 20) -> BaseTree:
    """Pack the sandbox's tree as the one commit that patches are made against.

    Args:
        sandbox: the sandbox, prepared but unused.
        workdir: directory of the tree.
        known: result from another sandbox of the task; its pack is reused if the trees are equal.
        max_bytes: maximum size of the pack.

    Raises:
        SetupFailed, SandboxError
    """
    scratch = _beside(workdir)
    await sandbox.write_file(f"{scratch}/exclude", "\n".join((*SCRATCH, "")).encode())
    script = clean_script(_SNAPSHOT, scratch, known.commit if known else "")
    result = await sandbox.exec(script, timeout=_TIMEOUT_S, cwd=workdir, merge_stderr=True)
    if not result.ok:
        raise SetupFailed(f"the tree in {workdir} could not be read: {describe(result)}")
    commit = result.text().split()[-1]
    if known is None or known.commit != commit:
        known = BaseTree(commit, await sandbox.read_file(f"{scratch}/pack", max_bytes=max_bytes))
    await sandbox.exec(f"rm -rf {scratch}", timeout=60, cwd="/")
    return known


def _beside(workdir: str) -> str:
    """A fresh path beside the tree: a repository's objects may not fit into /tmp."""
    return f"{workdir.rstrip('/')}.heats-{secrets.token_hex(8)}"


def _why(result: ExecResult, workdir: str, base: str) -> str:
    reason = _REASONS.get(result.exit_code or 0)
    if reason is None:
        return f"the git repository in {workdir} could not be cut at {base[:12]}: {describe(result)}"
    return reason.format(workdir=workdir, base=base[:12])
