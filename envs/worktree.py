"""How the tree enters a sandbox, and how the diff leaves it.

`put_tree` unpacks a `BaseTree`; `take_patch` makes the diff inside the sandbox. The diff uses a separate git directory
and index, unpacked anew from the base pack, so nothing an agent did to `.git` (commits, a moved HEAD, hooks,
configuration, skip-worktree bits, removal) can affect it. Only the diff's bytes leave the sandbox.
"""

import posixpath
import re
import shlex
from collections.abc import Sequence

from core.diff import scan_diff
from envs.base import Patch
from envs.basetree import BaseTree
from envs.bounded import read_untrusted
from envs.errors import PatchRejected, SetupFailed
from envs.gitscripts import (
    NESTED,
    OWN_GIT,
    SCRATCH,
    TREE_OF,
    clean_script,
    describe,
    scratch_path,
)
from envs.patches import PatchRules, show_path
from sandbox.base import Sandbox
from sandbox.errors import FileTooLarge

_DIFF = (
    "--cached --binary --full-index --no-renames --no-ext-diff --no-textconv --no-color --unified=3 "
    "--inter-hunk-context=0 --src-prefix=a/ --dst-prefix=b/ --no-relative --ignore-submodules=none"
)
_NO_GIT, _NOT_EMPTY, _OLD_GIT, _DIFFERS, _ASKS, _HELD = 86, 87, 88, 91, 92, 93

_PUT = """
set -e
trap 'rm -rf "$1" "$1.old" "$1.top" "$1.git" || :' EXIT
command -v git >/dev/null 2>&1 || exit 86
[ -z "$(ls -A)" ] && HELD= || HELD=yes
if [ -n "$HELD" ] && [ -e .git ]; then
  GIT ls-files -z >"$1.old"
  rm -rf .git
elif [ -n "$HELD" ]; then
  # Without git, it holds the project if half of the names at the top of the tree are there.
  FORMAT=; [ ${#2} != 64 ] || FORMAT=--object-format=sha256
  GIT init -q --template= --bare $FORMAT "$1.git" || exit 88
  GIT --git-dir "$1.git" index-pack --stdin <"$1" >/dev/null
  GIT --git-dir "$1.git" ls-tree --name-only "$2" >"$1.top"
  there=0 all=0
  while IFS= read -r name; do
    all=$((all + 1))
    [ ! -e "$name" ] || there=$((there + 1))
  done <"$1.top"
  [ "$((there * 2))" -ge "$all" ] || exit 87
fi
if [ ${#2} = 64 ]; then
  git init -q --template= --object-format=sha256 . 2>/dev/null || exit 88
else
  git init -q --template= .
fi
git symbolic-ref HEAD refs/heads/main
git config user.name heats
git config user.email heats@localhost
git config gc.auto 0
git config core.logAllRefUpdates false
git index-pack --stdin <"$1" >/dev/null
echo "$2" >.git/shallow
git update-ref refs/heads/main "$2"
[ ! -e "$1.old" ] || xargs -0 rm -f -- <"$1.old" 2>/dev/null || :
git reset -q --hard "$2"
git config --unset core.logAllRefUpdates
rm -f .git/ORIG_HEAD
[ "$(git rev-parse HEAD)" = "$2" ] || exit 1
[ -z "$HELD" ] || exit 93
"""

# Look for what must stay out of a patch before it is read into one: new files of more than LARGE KiB, core dumps,
# virtual environments. If there are any, or a file in a submodule's folder, the caller decides based on the lists.
_LOOK = f"""
set -e
S=$1; BASE=$2; LARGE=$3; SHAPE=$BASE
{OWN_GIT}{NESTED}
own_git
find . -name .git -prune -o \\( -type d ! -perm -500 -o -type f ! -perm -400 \\) \\
  -exec chmod u+rX {{}} \\; 2>/dev/null || :
GIT index-pack --stdin <"$S/base.pack" >/dev/null
echo "$BASE" >"$S/git/shallow"
raw
GIT read-tree "$BASE"
find . -name .git -prune -o -type f \\
  \\( -size "+${{LARGE}}k" -o -size +63k \\( -name core -o -name 'core.[0-9]*' \\) \\) -print0 >"$S/large"
find . -name .git -prune -o -type f -name pyvenv.cfg -print0 >"$S/environments"
while IFS= read -r MODULE; do
  [ -z "$(ls -A "$MODULE" 2>/dev/null)" ] || printf '%s\\0' "$MODULE"
done <"$S/submodules" >"$S/modules"
if [ -s "$S/large" ] || [ -s "$S/environments" ] || [ -s "$S/modules" ]; then
  aside
  GIT ls-files -o -z --exclude-standard >"$S/new" || {{ back; exit 1; }}
  back
  exit 92
fi
"""

_TAKE = f"""
set -e
S=$1; BASE=$2; shift 3; SHAPE=$BASE
{OWN_GIT}{NESTED}{TREE_OF}
own_git
tree_of "$BASE" "$@"
GIT diff-index {_DIFF} "$BASE" >"$S/patch"
if [ -s "$S/patch" ]; then
  export GIT_INDEX_FILE="$S/check"
  GIT read-tree "$BASE"
  GIT apply --cached --whitespace=nowarn "$S/patch"
  [ "$(GIT write-tree)" = "$TREE" ] || exit 91
fi
"""

# Some files are stored by git in another form than on disk, and a patch applies to the stored form: if all of its files
# are as the checkout wrote them, apply it to the index and check its files out again. `git apply` would change all line
# endings.
_APPLY = f"""
set -e
S=$1
trap 'rm -rf "$S"' EXIT
cat >"$S/paths"
SHAPE=$(GIT rev-parse HEAD 2>/dev/null) || SHAPE=
attributes() {{ GIT ls-files -z 2>/dev/null | tr '\\0' '\\n' | grep -Eq '(^|/)[.]gitattributes$'; }}
plainly() {{ GIT apply --whitespace=nowarn "$S/patch"; exit; }}
if [ -z "$SHAPE" ] || ! attributes; then plainly; fi
set +e
(
  set -e
  export GIT_ALTERNATE_OBJECT_DIRECTORIES="$PWD/.git/objects"
  {OWN_GIT}{TREE_OF}
  own_git
  GIT read-tree "$SHAPE"
  LAID=$(convert index laid-files "$S/paths" "$SHAPE")
  GIT read-tree "$SHAPE"
  GIT update-index --add --remove -z --stdin <"$S/paths"
  [ "$(GIT write-tree)" = "$LAID" ] || exit 92
  GIT read-tree "$SHAPE"
  GIT apply --cached --whitespace=nowarn "$S/patch"
  TREE=$(GIT write-tree)
  differing --diff-filter=D "$SHAPE" "$TREE" | xargs -0 sh -c 'for n; do
    rm -f -- "$n"; while n=$(dirname "$n") && [ "$n" != . ] && rmdir -- "$n" 2>/dev/null; do :; done
  done' sh
  differing --diff-filter=AMT "$SHAPE" "$TREE" >"$S/written"
  cooked
  GIT checkout-index -q -f -z --stdin <"$S/written"
  GIT checkout-index -q -f -z --stdin <"$S/written"  # again, by the attributes that the patch itself may bring
)
CODE=$?
[ "$CODE" = 92 ] || exit "$CODE"
plainly
"""


async def put_tree(sandbox: Sandbox, workdir: str, tree: BaseTree, *, timeout: float = 300.0) -> bool:
    """Check out the tree in a directory of the sandbox, as the only commit of branch `main`.

    An image may hold the project in that directory already. Its tracked files are replaced then, and what was built
    from them stays.

    Args:
        sandbox: fresh sandbox.
        workdir: the directory: empty, or with a state of the same project.
        tree: the packed tree.
        timeout: time limit for git, in seconds.

    Returns:
        Whether the directory held the project already.

    Raises:
        SetupFailed: no git in the sandbox, or one too old for the repository; the directory holds something else; git
            failed.
        SandboxError
    """
    pack = scratch_path(".pack")
    await sandbox.write_file(pack, tree.pack)
    result = await sandbox.exec(clean_script(_PUT, pack, tree.commit), timeout=timeout, cwd=workdir, merge_stderr=True)
    if result.ok or result.exit_code == _HELD:
        return not result.ok
    if result.exit_code == _NO_GIT:
        raise SetupFailed("the sandbox image has no git: add it to the image")
    if result.exit_code == _NOT_EMPTY:
        raise SetupFailed(
            f"{workdir} in the sandbox image is not empty and does not hold this project: choose another --workdir"
        )
    if result.exit_code == _OLD_GIT:
        raise SetupFailed("the repository has sha256 object ids, for which the sandbox image needs git 2.29 or newer")
    raise SetupFailed(f"could not copy the tree into the sandbox: {describe(result)}")


async def set_leftovers_aside(sandbox: Sandbox, workdir: str) -> tuple[str, ...]:
    """Make the sandbox's git ignore the untracked files that a set-up left in the tree.

    Args:
        sandbox: the sandbox, before any agent has used it.
        workdir: directory of the tree.

    Returns:
        Their paths, relative to the tree, for `take_patch`.

    Raises:
        SetupFailed, SandboxError
    """
    listing = scratch_path(".left")
    command = clean_script('GIT ls-files -o -z --exclude-standard >"$1"', listing)
    result = await sandbox.exec(command, timeout=120, cwd=workdir, merge_stderr=True)
    if not result.ok:
        raise SetupFailed(f"git cannot read the tree after the set-up: {describe(result)}")
    data = await sandbox.read_file(listing, max_bytes=64 << 20)
    paths = tuple(path.decode("utf-8", "replace") for path in data.split(b"\0") if path)
    if paths:
        await sandbox.write_file(f"{workdir}/.git/info/exclude", _ignoring(paths))
    return paths


def _ignoring(paths: Sequence[str]) -> bytes:
    """Lines of a .gitignore that name exactly these files."""
    lines = ("/" + re.sub(r"([][*?!#\\ ])", r"\\\1", path) for path in paths if "\n" not in path)
    return "".join(f"{line}\n" for line in lines).encode()


async def take_patch(
    sandbox: Sandbox,
    workdir: str,
    tree: BaseTree,
    rules: PatchRules | None = None,
    *,
    leftovers: Sequence[str] = (),
    timeout: float = 300.0,
) -> Patch:
    """Diff the working tree against the base commit, created and cross-checked inside the sandbox.

    New files are included, ignored and scratch files are not. Renames appear as a deletion and an addition. What must
    not be in a patch is dropped and named in the patch's notes: huge files, core dumps, virtual environments, links out
    of the tree.

    Args:
        sandbox: the attempt's sandbox.
        workdir: directory of the tree.
        tree: the base, as given to `put_tree`.
        rules: size limits of the patch.
        leftovers: untracked files that were there before the attempt; they are left out.
        timeout: time limit for each git command in the sandbox, in seconds.

    Raises:
        PatchRejected: what the agent left cannot be diffed, or no part of it may be in a patch.
        SandboxError
    """
    rules = rules or PatchRules()
    await sandbox.kill_all()
    large = rules.max_bytes
    while True:
        data, left_out = await _diff(sandbox, workdir, tree, large, 4 * rules.max_bytes, timeout, leftovers)
        if data is not None:
            break
        if large <= 1 << 16:
            raise PatchRejected((f"more than the {rules.max_bytes} bytes allowed",))
        large = max(large >> 4, 1 << 16)  # many large files: leave out smaller ones as well
    patch = await read_untrusted(data, rules)
    if left_out and not patch:
        raise PatchRejected(tuple(note.removeprefix("left out: ") for note in left_out))
    return Patch(patch.data, (*left_out, *patch.notes))


async def _diff(
    sandbox: Sandbox,
    workdir: str,
    tree: BaseTree,
    large: int,
    max_bytes: int,
    timeout: float,
    leftovers: Sequence[str],
) -> tuple[bytes | None, tuple[str, ...]]:
    """The diff as git makes it, None if it is larger than `max_bytes`; and what was left out beforehand."""
    scratch = scratch_path()
    await sandbox.write_file(f"{scratch}/base.pack", tree.pack)
    await sandbox.write_file(f"{scratch}/exclude", "\n".join((*SCRATCH, "")).encode() + _ignoring(leftovers))
    await sandbox.write_file(f"{scratch}/submodules", "\n".join((*tree.submodules, "")).encode("utf-8", "replace"))
    arguments, left_out = (scratch, tree.commit, str(large >> 10)), tuple[str, ...]()
    script = clean_script(_LOOK + _TAKE, *arguments)
    result = await sandbox.exec(script, timeout=timeout, cwd=workdir, merge_stderr=True)
    if result.exit_code == _ASKS:
        paths, left_out = await _unwanted(sandbox, scratch)
        script = clean_script(_TAKE, *arguments, *(f":(exclude,literal){path}" for path in paths))
        result = await sandbox.exec(script, timeout=timeout, cwd=workdir, merge_stderr=True)
    if result.exit_code == _DIFFERS:
        raise PatchRejected(("the diff does not reproduce the working tree",))
    if not result.ok or b"Permission denied" in result.stdout:
        raise PatchRejected((f"could not create a diff of the working tree: {describe(result)}",))
    data: bytes | None
    try:
        data = await sandbox.read_file(f"{scratch}/patch", max_bytes=max_bytes)
    except FileTooLarge:
        data = None
    await sandbox.exec(f"rm -rf {shlex.quote(scratch)}", timeout=60, cwd="/")
    return data, left_out


async def _unwanted(sandbox: Sandbox, scratch: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Paths to leave out of a diff, and one line for each; only new files are left out."""

    async def listed(name: str) -> list[bytes]:
        data = await sandbox.read_file(f"{scratch}/{name}", max_bytes=256 << 20)
        return [path.removeprefix(b"./") for path in data.split(b"\0") if path]

    new = set(await listed("new"))
    notes: dict[bytes, str] = {}
    for path in await listed("environments"):
        if path in new and (folder := posixpath.dirname(path)):
            notes[folder] = "a virtual environment"
    for path in await listed("large"):
        if path in new and not any(path.startswith(folder + b"/") for folder in notes):
            core = re.fullmatch(rb"(.*/)?core(\.\d+)?", path) is not None
            notes[path] = "a core dump" if core else "a file too large for a patch"
    paths = [path.decode("utf-8") for path in notes if show_path(path).encode() == path]  # others are refused later
    notes |= dict.fromkeys(await listed("modules"), "changes in a submodule")
    return tuple(paths), tuple(f"left out: {show_path(path)}: {note}" for path, note in notes.items())


async def apply_patch(sandbox: Sandbox, workdir: str, patch: Patch, *, timeout: float = 120.0) -> str | None:
    """Apply a patch in a fresh sandbox, strictly: no fuzz, no three-way merge, all or nothing.

    Args:
        sandbox: fresh sandbox with the base tree.
        workdir: directory of the tree.
        patch: the patch.
        timeout: time limit for git, in seconds.

    Returns:
        None if it was applied, else git's reason in one line.
    """
    scratch = scratch_path()
    paths = {path for file in scan_diff(patch.data) for path in (file.old_path, file.new_path) if path is not None}
    await sandbox.write_file(f"{scratch}/patch", patch.data)
    script, listed = clean_script(_APPLY, scratch), b"".join(path + b"\0" for path in sorted(paths))
    result = await sandbox.exec(script, timeout=timeout, cwd=workdir, stdin=listed, merge_stderr=True)
    return None if result.ok else describe(result)


async def restore_files(
    sandbox: Sandbox, workdir: str, commit: str, restore: Sequence[str], remove: Sequence[str]
) -> str | None:
    """Restore files from a commit and remove others, in a sandbox that no agent has used.

    Args:
        sandbox: the sandbox.
        workdir: directory of the tree.
        commit: commit to restore from.
        restore: paths to restore.
        remove: paths to remove.

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
    """Replace the repository with one whose only commit is the current tree, so that it reveals nothing of the past.

    Raises:
        SetupFailed: it could not be done.
        SandboxError
    """
    result = await sandbox.exec(clean_script(_RENEW), timeout=300, cwd=workdir, merge_stderr=True)
    if not result.ok:
        raise SetupFailed(f"the tree's history could not be replaced: {describe(result)}")


async def digests(sandbox: Sandbox, workdir: str, paths: Sequence[str]) -> dict[str, str]:
    """SHA-256 of the current files by path; missing files are dropped.

    Args:
        sandbox: the sandbox.
        workdir: directory that relative paths refer to.
        paths: paths of the files.
    """
    if not paths:
        return {}
    listed = b"".join(path.encode() + b"\0" for path in paths)
    # One line per file, in order, so that names need not be parsed.
    each = 'for file; do sha256sum <"$file" || echo missing; done'
    command = f"xargs -0 sh -c {shlex.quote(each)} sh 2>/dev/null"
    result = await sandbox.exec(command, timeout=120, cwd=workdir, stdin=listed)
    lines = (line.split(" ")[0] for line in result.stdout.decode("ascii", "replace").splitlines())
    return {path: line for path, line in zip(paths, lines, strict=False) if line != "missing"}
