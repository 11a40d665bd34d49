"""Shell scripts that read and write single files in a sandbox, and the meaning of their exit codes.

Paths are only ever followed inside the sandbox, and only bytes cross the boundary. A link swapped in between check and
read can therefore expose nothing but the sandbox's own content.
"""

import shlex

from sandbox.base import ExecResult
from sandbox.errors import (
    FileAccessError,
    FilePermissionDenied,
    FileTooLarge,
    IsADirectory,
    NotARegularFile,
    SandboxFileNotFound,
)

_DIRECTORY, _MISSING, _IRREGULAR, _LARGE, _DENIED = 93, 94, 95, 96, 97


def read_script(path: str, max_bytes: int) -> bytes:
    """Script that writes the file to standard output, truncated after `max_bytes` + 1 bytes."""
    script = f"""f={shlex.quote(path)}
if [ -L "$f" ]; then exit {_IRREGULAR}; fi
if [ ! -e "$f" ]; then
  d=$(dirname -- "$f")
  if [ -d "$d" ] && [ ! -x "$d" ]; then exit {_DENIED}; fi
  exit {_MISSING}
fi
if [ -d "$f" ]; then exit {_DIRECTORY}; fi
[ -f "$f" ] || exit {_IRREGULAR}
[ -r "$f" ] || exit {_DENIED}
s=$(wc -c <"$f") && [ "$s" -le {max_bytes} ] || exit {_LARGE}
exec head -c {max_bytes + 1} <"$f"
"""
    return script.encode("utf-8", "surrogateescape")


def write_script(path: str, mode: int) -> bytes:
    """Script that writes standard input to the file."""
    script = f"""f={shlex.quote(path)}
if [ -L "$f" ]; then exit {_IRREGULAR}; fi
if [ -d "$f" ]; then exit {_DIRECTORY}; fi
if [ -e "$f" ]; then
  [ -f "$f" ] || exit {_IRREGULAR}
  [ -w "$f" ] || exit {_DENIED}
else
  d=$(dirname -- "$f")
  mkdir -p -- "$d" || exit {_DENIED}
  [ -w "$d" ] || exit {_DENIED}
fi
cat >"$f" && chmod {mode:o} "$f"
"""
    return script.encode("utf-8", "surrogateescape")


def read_outcome(path: str, result: ExecResult, max_bytes: int) -> bytes:
    """Interpret the result of `read_script`.

    Args:
        path: the path as the caller gave it, for messages.
        result: result of the script.
        max_bytes: largest accepted size.

    Returns:
        The file's content.

    Raises:
        FileAccessError: the subclass that matches the script's exit code.
    """
    _check(path, result)
    if len(result.stdout) > max_bytes:
        raise FileTooLarge(f"{path}: larger than {max_bytes} bytes")
    return result.stdout


def write_outcome(path: str, result: ExecResult) -> None:
    """Interpret the result of `write_script`, raising the error that matches its exit code."""
    _check(path, result)


def _check(path: str, result: ExecResult) -> None:
    if result.ok:
        return
    errors: dict[int | None, tuple[type[FileAccessError], str]] = {
        _DIRECTORY: (IsADirectory, "it is a directory"),
        _MISSING: (SandboxFileNotFound, "no such file"),
        _IRREGULAR: (NotARegularFile, "not a regular file"),
        _LARGE: (FileTooLarge, "too large"),
        _DENIED: (FilePermissionDenied, "permission denied"),
    }
    kind, why = errors.get(result.exit_code, (FileAccessError, ""))
    if not why:
        stderr = result.stderr.decode("utf-8", "replace").strip()[-200:]
        why = f"{result.status}, exit code {result.exit_code}" + (f": {stderr}" if stderr else "")
    raise kind(f"{path}: {why}")
