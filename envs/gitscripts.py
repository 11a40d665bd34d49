"""Shell scripts that run git in a sandbox, isolated from user settings, and compute the tree of a working directory.

Sources: gitattributes(5) for the attribute names, git-read-tree(1) for the three-way merge.
"""

import secrets
import shlex

from sandbox.base import ExecResult

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
"""Untracked files that never enter a patch, in addition to those in the repository's own .gitignore."""

_RAW = "-text !eol !crlf !ident !filter !working-tree-encoding !diff"
"""Attributes that make git take a file's bytes as they are."""

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

# A separate git directory beside the working tree. Needs S, a fresh folder, and SHAPE, the id of any object.
OWN_GIT = f"""
own_git() {{
  export GIT_DIR="$S/git" GIT_WORK_TREE="$PWD" GIT_INDEX_FILE="$S/index"
  if [ ${{#SHAPE}} = 64 ]; then git init -q --template= --object-format=sha256; else git init -q --template=; fi
  mkdir -p "$S/git/info"
  if [ -f "$S/exclude" ]; then cp "$S/exclude" "$S/git/info/exclude"; fi
}}
raw() {{ echo '* {_RAW}' >"$S/git/info/attributes"; }}
cooked() {{ : >"$S/git/info/attributes"; }}
"""

# Set nested repositories aside while adding files; git would take each for a submodule.
NESTED = """
aside() {
  find . -mindepth 2 -name .git -prune -exec sh -c 'for n; do mv "$n" "${n%.git}.heats-nested"; done' sh {} +
}
back() {
  find . -mindepth 2 -name .heats-nested -prune -exec sh -c 'for n; do mv "$n" "${n%.heats-nested}.git"; done' sh {} +
}
"""

# tree_of BASE PATHSPEC... sets TREE to the tree that, checked out in place of BASE, gives this working tree. What a
# working tree holds can differ from what git stores (line endings, encodings, `$Id$`). A file that is just as the
# checkout of BASE wrote it is unchanged, whatever git would make of it now. A changed file is stored byte for byte if a
# checkout restores those bytes, else as git would store it. So an untouched tree always equals BASE. HERE is the
# working tree, byte for byte; LAID is the checkout of BASE, byte for byte. Merging the step from LAID to HERE into BASE
# leaves as conflicts the files that were both converted and changed.
TREE_OF = """
convert() {  # INDEX FOLDER LIST TREE: the tree with the listed files as a checkout of it would lay them out
  mkdir -p "$S/$2"
  cooked
  (export GIT_INDEX_FILE="$S/$1" GIT_WORK_TREE="$S/$2"; cd "$S/$2" && GIT checkout-index -q -f -z --stdin <"$3") || :
  raw
  (export GIT_INDEX_FILE="$S/$1" GIT_WORK_TREE="$S/$2"; cd "$S/$2" && GIT read-tree "$4" &&
    GIT update-index --remove -z --stdin <"$3" && GIT write-tree)
}
as_git_stores() { cooked; GIT update-index --add --remove -z --stdin <"$1" 2>/dev/null || as_they_are "$1"; raw; }
as_they_are() { raw; GIT update-index --add --remove -z --stdin <"$1"; }
differing() { GIT diff-tree -r -z --no-renames --name-only "$@"; }
tree_of() {
  FROM=$1; shift
  raw
  GIT read-tree "$FROM"
  aside
  GIT add -A -- . "$@" || { back; return 1; }
  back
  TREE=$(GIT write-tree)
  differing --diff-filter=MT "$FROM" "$TREE" >"$S/changed"
  differing --diff-filter=AMT "$FROM" "$TREE" >"$S/written"
  { GIT ls-tree -r -z --name-only "$FROM"; GIT ls-files -z; } | tr '\\0' '\\n' >"$S/names"
  grep -Eq '(^|/)[.]gitattributes$' "$S/names" || return 0
  [ -s "$S/written" ] || return 0
  HERE=$TREE
  cp "$S/index" "$S/here"
  GIT_INDEX_FILE="$S/laid" GIT read-tree "$FROM"
  LAID=$(convert laid laid-files "$S/changed" "$FROM")
  GIT read-tree --empty
  GIT read-tree -i -m --aggressive "$LAID" "$FROM" "$HERE"
  GIT diff-index --cached -z --name-only --diff-filter=U "$FROM" >"$S/both"
  as_git_stores "$S/both"
  differing --diff-filter=AMT "$LAID" "$HERE" >"$S/written"
  AGAIN=$(convert here here-files "$S/written" "$HERE")
  differing "$HERE" "$AGAIN" >"$S/lossy"
  as_git_stores "$S/lossy"
  TREE=$(GIT write-tree)
  GIT read-tree "$TREE"  # forget which files the index takes for unchanged: a diff would read those, unconverted
}
"""


def clean_script(text: str, *arguments: str) -> str:
    """A shell script in which `GIT` runs git without any user settings and without this environment's variables."""
    text = text.replace("GIT ", _GIT + " ")
    return f"{_CLEAN} sh -c {shlex.quote(text)} sh {' '.join(shlex.quote(argument) for argument in arguments)}"


def scratch_path(name: str = "") -> str:
    """A fresh, unguessable path under the sandbox's /tmp."""
    return f"/tmp/heats-{secrets.token_hex(8)}{name}"  # noqa: S108  # random, and in a machine of its own


def describe(result: ExecResult, limit: int = 300) -> str:
    """Why a command failed, on one line: its status and the last line it printed."""
    lines = [line.strip() for line in result.text().splitlines() if line.strip()]
    how = f"exit code {result.exit_code}" if result.status == "exited" else result.status
    return f"{how}: {' / '.join(lines[-3:])[:limit]}" if lines else how
