"""The Python environment of an image: located once, then active for every command, as in an activated shell.

The published images keep it in a conda environment named `testbed`; others in a virtual environment beside the tree.
The effect of activation is saved to a small file that bash reads at every start (`BASH_ENV`): activating conda for
every command would take a third of a second each time.
"""

import shlex
from collections.abc import Sequence

from envs.errors import SetupFailed
from envs.gitscripts import describe
from sandbox.base import Sandbox

# Only bash reads BASH_ENV; an image without bash has its environment on PATH or has none.
_ACTIVATE = r"""
command -v bash >/dev/null 2>&1 || exit 0
unset BASH_ENV
FILE=$1; WORKDIR=$2; ENVIRONMENT=$3
ROOT=
for ONE in /opt/miniconda3 /opt/conda /opt/miniforge3 /root/miniconda3; do
  if [ -d "$ONE/envs/$ENVIRONMENT" ] && [ -f "$ONE/etc/profile.d/conda.sh" ]; then ROOT=$ONE; break; fi
done
if [ -n "$ROOT" ]; then
  START=". '$ROOT/etc/profile.d/conda.sh' && conda activate '$ENVIRONMENT'"
else
  START=:
  for ONE in "$WORKDIR/.venv" "$WORKDIR/venv" /opt/venv /venv /opt/env; do
    if [ -x "$ONE/bin/python" ] && [ -f "$ONE/bin/activate" ]; then START=". '$ONE/bin/activate'"; break; fi
  done
fi
export FILE ROOT START
bash -c '
set -e
declare -A BEFORE
while IFS="=" read -r -d "" NAME VALUE; do BEFORE[$NAME]=$VALUE; done < <(env -0)
eval "$START"
{
  echo "[ -z \"\${HEATS_ENVIRONMENT:-}\" ] || return 0"
  echo "export HEATS_ENVIRONMENT=1"
  while IFS="=" read -r -d "" NAME VALUE; do
    case $NAME in _|PWD|OLDPWD|SHLVL|PS1|BASH_FUNC_*|BASH_ENV|FILE|ROOT|START) continue ;; esac
    [ "${BEFORE[$NAME]-unset$VALUE}" = "$VALUE" ] || printf "export %s=%q\n" "$NAME" "$VALUE"
  done < <(env -0)
  if [ -n "$ROOT" ]; then echo "conda() { . $ROOT/etc/profile.d/conda.sh; conda \"\$@\"; }"; fi
} >"$FILE"
'
"""


def activation_file(workdir: str) -> str:
    """The file that bash reads: beside the tree, so that it is in no patch."""
    return f"{workdir.rstrip('/')}.env.sh"


async def activate(sandbox: Sandbox, workdir: str, environment: str = "testbed") -> None:
    """Find the image's Python environment and write the file that every bash reads.

    Args:
        sandbox: sandbox of the instance's image.
        workdir: directory of the tree.
        environment: name of the conda environment.

    Raises:
        SetupFailed: the environment exists but cannot be activated.
        SandboxError
    """
    words = [activation_file(workdir), workdir, environment]
    command = f"sh -c {shlex.quote(_ACTIVATE)} sh {' '.join(map(shlex.quote, words))}"
    result = await sandbox.exec(command, timeout=120, cwd=workdir, merge_stderr=True)
    if not result.ok:
        raise SetupFailed(f"the image's Python environment could not be activated: {describe(result)}")


async def hide(sandbox: Sandbox, workdir: str, paths: Sequence[str]) -> None:
    """Remove files that an image holds of the answer, before an agent sees the sandbox.

    Args:
        sandbox: sandbox of the instance's image.
        workdir: directory of the tree.
        paths: the files and folders; those that are not there are ignored.

    Raises:
        SetupFailed: one could not be removed.
        SandboxError
    """
    if not paths:
        return
    words = " ".join(map(shlex.quote, paths))
    check = f'for one in {words}; do [ ! -e "$one" ] || {{ echo "$one is still there"; exit 1; }}; done'
    result = await sandbox.exec(f"rm -rf {words}; {check}", timeout=120, cwd=workdir, merge_stderr=True)
    if not result.ok:
        raise SetupFailed(f"the image holds parts of the answer that could not be removed: {describe(result)}")
