"""The tree's way into a sandbox, and the diff's way out.

`put_tree` unpacks a `BaseTree`; `take_patch` makes the diff inside the sandbox. The diff is made with a git directory
and an index of its own, unpacked anew from the base pack: what an agent did to `.git` (commits, a moved HEAD, hooks,
configuration, skip-worktree bits, removal) cannot change it. Only the diff's bytes leave the sandbox.
"""

import secrets
import shlex
from collections.abc import Sequence

from envs.base import Patch
from envs.basetree import BaseTree
from envs.bounded import check_untrusted
from envs.errors import PatchRejected, SetupFailed
from envs.patches import PatchRules
from sandbox.base import ExecResult, Sandbox
from sandbox.errors import FileTooLarge

SCRATCH = (
    "__pycache__/",
    "*.py[cod]",
    ".pytest_cache/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".hypothesis/",
    ".coverage",
    ".coverage.*",
    "*.egg-info/",
    ".eggs/",
    ".tox/",
    ".nox/",
    ".venv/",
    "venv/",
    "node_modules/",
    ".DS_Store",
    "*.sw[op]",
    "*~",
    "*.orig",
    "*.rej",
    ".heats-*",
)
"""Untracked files that never enter a patch, besides those that the repository's own .gitignore names."""

_CLEAN = (
    'env -i PATH="$PATH" LC_ALL=C GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_ATTR_NOSYSTEM=1 '
    "HOME=/nonexistent XDG_CONFIG_HOME=/nonexistent"
)
_GIT = (
    "git -c core.fsmonitor=false -c core.hooksPath=/dev/null -c core.autocrlf=false -c core.safecrlf=false "
    "-c core.attributesFile=/dev/null -c core.excludesFile=/dev/null -c core.untrackedCache=false "
    "-c core.fileMode=true -c core.symlinks=true -c core.ignoreCase=false -c core.precomposeUnicode=false "
    "-c core.quotePath=true -c core.bigFileThreshold=512m -c safe.directory=*"
)
_DIFF = (
    "--cached --binary --full-index --no-renames --no-ext-diff --no-textconv --no-color --unified=3 "
    "--inter-hunk-context=0 --src-prefix=a/ --dst-prefix=b/ --no-relative --ignore-submodules=all"
)
_NO_GIT, _NOT_EMPTY, _DIFFERS = 86, 87, 91

_PUT = """
set -e
trap 'rm -f "$1" || :' EXIT
command -v git >/dev/null 2>&1 || exit 86
[ -z "$(ls -A)" ] || exit 87
git init -q --template= .
git symbolic-ref HEAD refs/heads/main
git config user.name heats
git config user.email heats@localhost
git config gc.auto 0
git config core.logAllRefUpdates false
git index-pack --stdin <"$1" >/dev/null
echo "$2" >.git/shallow
git update-ref refs/heads/main "$2"
git reset -q --hard "$2"
git config --unset core.logAllRefUpdates
rm -f .git/ORIG_HEAD
[ "$(git rev-parse HEAD)" = "$2" ]
"""

# Nested repositories are set aside while files are added, else git would take each for a submodule.
_TAKE = """
set -e
S=$1; BASE=$2
export GIT_DIR="$S/git" GIT_WORK_TREE="$PWD" GIT_INDEX_FILE="$S/index"
git init -q --template=
mkdir -p "$S/git/info"
cp "$S/exclude" "$S/git/info/exclude"
GIT index-pack --stdin <"$S/base.pack" >/dev/null
echo "$BASE" >"$S/git/shallow"
GIT read-tree "$BASE"
find . -mindepth 2 -name .git -prune -exec sh -c 'for n; do mv "$n" "${n%.git}.heats-nested"; done' sh {} +
back() {
  find . -mindepth 2 -name .heats-nested -prune -exec sh -c 'for n; do mv "$n" "${n%.heats-nested}.git"; done' sh {} +
}
GIT add -A . || { back; exit 1; }
back
GIT diff-index DIFF "$BASE" >"$S/patch"
TREE=$(GIT write-tree)
if [ -s "$S/patch" ]; then
  export GIT_INDEX_FILE="$S/check"
  GIT read-tree "$BASE"
  GIT apply --cached --whitespace=nowarn "$S/patch"
  [ "$(GIT write-tree)" = "$TREE" ] || exit 91
fi
"""


def clean_script(text: str, *arguments: str) -> str:
    """A shell script in which `GIT` is git without anybody's settings, to be run without this environment's."""
    text = text.replace("GIT ", _GIT + " ").replace("DIFF", _DIFF)
    return f"{_CLEAN} sh -c {shlex.quote(text)} sh {' '.join(shlex.quote(argument) for argument in arguments)}"


def scratch_path(name: str = "") -> str:
    """A fresh, unguessable path under the sandbox's /tmp."""
    return f"/tmp/heats-{secrets.token_hex(8)}{name}"  # noqa: S108  # random, and in a machine of its own


async def put_tree(sandbox: Sandbox, workdir: str, tree: BaseTree, *, timeout: float = 300.0) -> None:
    """Check out the tree in an empty directory of the sandbox, as the only commit of branch `main`.

    Raises:
        SetupFailed: no git in the sandbox, the directory is not empty, or git failed.
        SandboxError
    """
    pack = scratch_path(".pack")
    await sandbox.write_file(pack, tree.pack)
    result = await sandbox.exec(clean_script(_PUT, pack, tree.commit), timeout=timeout, cwd=workdir, merge_stderr=True)
    if result.ok:
        return
    if result.exit_code == _NO_GIT:
        raise SetupFailed("the sandbox image has no git: install it in the image")
    if result.exit_code == _NOT_EMPTY:
        raise SetupFailed(f"{workdir} in the sandbox image is not empty: choose another working directory")
    raise SetupFailed(f"the tree could not be put into the sandbox: {describe(result)}")


async def take_patch(
    sandbox: Sandbox, workdir: str, tree: BaseTree, rules: PatchRules | None = None, *, timeout: float = 300.0
) -> Patch:
    """Take the difference between the working tree and the base commit, made and cross-checked inside the sandbox.

    New files are in it, ignored and scratch files are not. Renames are written as a deletion and an addition.

    Raises:
        PatchRejected: the diff breaks the rules, or no diff could be made of what the agent left.
        SandboxError
    """
    rules = rules or PatchRules()
    await sandbox.kill_all()
    scratch = scratch_path()
    await sandbox.write_file(f"{scratch}/base.pack", tree.pack)
    await sandbox.write_file(f"{scratch}/exclude", "\n".join((*SCRATCH, "")).encode())
    result = await sandbox.exec(
        clean_script(_TAKE, scratch, tree.commit), timeout=timeout, cwd=workdir, merge_stderr=True
    )
    try:
        if result.exit_code == _DIFFERS:
            raise PatchRejected(("the diff does not reproduce the working tree",))
        if not result.ok or b"Permission denied" in result.stdout:
            raise PatchRejected((f"no diff could be made of the working tree: {describe(result)}",))
        data = await sandbox.read_file(f"{scratch}/patch", max_bytes=rules.max_bytes)
    except FileTooLarge:
        raise PatchRejected((f"more than the {rules.max_bytes} bytes allowed",)) from None
    await sandbox.exec(f"rm -rf {shlex.quote(scratch)}", timeout=60, cwd="/")
    await check_untrusted(data, rules)
    return Patch(data)


async def apply_patch(sandbox: Sandbox, workdir: str, patch: Patch, *, timeout: float = 120.0) -> str | None:
    """Apply a patch in a fresh sandbox, strictly: no fuzz, no three-way merge, all or nothing.

    Returns:
        None when it was applied, else git's own words why not, in one line.
    """
    path = scratch_path(".diff")
    await sandbox.write_file(path, patch.data)
    text = 'GIT apply --whitespace=nowarn "$1"; code=$?; rm -f "$1"; exit $code'
    result = await sandbox.exec(clean_script(text, path), timeout=timeout, cwd=workdir, merge_stderr=True)
    return None if result.ok else describe(result)


async def restore_files(
    sandbox: Sandbox, workdir: str, commit: str, restore: Sequence[str], remove: Sequence[str]
) -> str | None:
    """Put files back to their state in a commit, and remove others, in a sandbox where no agent has been.

    Returns:
        None, or why it failed.
    """
    if not restore and not remove:
        return None
    listing = scratch_path(".list")
    await sandbox.write_file(f"{listing}.restore", b"".join(path.encode() + b"\0" for path in restore))
    await sandbox.write_file(f"{listing}.remove", b"".join(path.encode() + b"\0" for path in remove))
    text = """
set -e
xargs -0 -r rm -rf -- <"$1.remove"
if [ -s "$1.restore" ]; then
  export GIT_LITERAL_PATHSPECS=1
  GIT checkout -q "$2" --pathspec-from-file="$1.restore" --pathspec-file-nul
fi
rm -f "$1.restore" "$1.remove"
"""
    result = await sandbox.exec(clean_script(text, listing, commit), timeout=120, cwd=workdir, merge_stderr=True)
    return None if result.ok else describe(result)


_RENEW = """
[ -e .git ] || exit 0
rm -rf .git
git init -q --template= .
git symbolic-ref HEAD refs/heads/main
GIT add -A --ignore-errors . || :
GIT -c user.name=heats -c user.email=heats@localhost -c commit.gpgSign=false commit -q --no-verify --allow-empty -m base
"""


async def renew_history(sandbox: Sandbox, workdir: str) -> None:
    """Replace the repository by one whose only commit is the tree as it stands: nothing in it tells what it was.

    Raises:
        SetupFailed: it could not be done.
        SandboxError
    """
    result = await sandbox.exec(clean_script(_RENEW), timeout=300, cwd=workdir, merge_stderr=True)
    if not result.ok:
        raise SetupFailed(f"the tree's history could not be replaced: {describe(result)}")


async def digests(sandbox: Sandbox, workdir: str, paths: Sequence[str]) -> dict[str, str]:
    """SHA-256 of files by their path, as they are now; those that are not there are left out."""
    if not paths:
        return {}
    listing = scratch_path(".list")
    await sandbox.write_file(listing, b"".join(path.encode() + b"\0" for path in paths))
    # One line for a file, in order, so that no name has to be read back.
    each = 'for file; do sha256sum <"$file" || echo missing; done'
    command = f"xargs -0 sh -c {shlex.quote(each)} sh <{listing} 2>/dev/null; rm -f {listing}"
    result = await sandbox.exec(command, timeout=120, cwd=workdir)
    lines = (line.split(" ")[0] for line in result.stdout.decode("ascii", "replace").splitlines())
    return {path: line for path, line in zip(paths, lines, strict=False) if line != "missing"}


def describe(result: ExecResult, limit: int = 300) -> str:
    """Why a command failed, in one line: its status and the last thing it printed."""
    lines = [line.strip() for line in result.text().splitlines() if line.strip()]
    how = f"exit code {result.exit_code}" if result.status == "exited" else result.status
    return f"{how}: {' / '.join(lines[-3:])[:limit]}" if lines else how
