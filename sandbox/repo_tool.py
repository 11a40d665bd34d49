"""A directory with the command `repo`: outlines, definitions and uses of names in a repository, for any agent.

Mount it read-only at `REPO_TOOL`. The command runs in the sandbox, on the sandbox's files and with the agent's rights,
so that no file of a repository is parsed on the host. It wraps ast-grep (extra `heats[repo]`), which parses with
tree-sitter; it keeps no index.
"""

import hashlib
import shutil
from importlib import metadata
from pathlib import Path

from sandbox.errors import BackendUnavailable
from sandbox.toolbox import made_once

REPO_TOOL = "/opt/heats/repo-tool"
"""Mount point in the sandbox; the command is `repo` in it."""

_PACKAGE, _PROGRAM = "ast-grep-cli", "ast-grep"
_SCRIPT = Path(__file__).with_suffix(".sh")


def repo_tool_directory(cache: Path) -> Path:
    """Create the directory, or reuse an earlier one with the same versions.

    Args:
        cache: directory kept between runs.

    Returns:
        A directory to mount with `SandboxSpec(read_only_mounts={str(directory): REPO_TOOL})`.

    Raises:
        BackendUnavailable: ast-grep is not installed, or the cache is not writable.
    """
    try:
        about = metadata.distribution(_PACKAGE)
    except metadata.PackageNotFoundError:
        raise BackendUnavailable("agent.repository_tool needs ast-grep: pip install 'heats[repo]'") from None
    programs = [Path(str(about.locate_file(one))) for one in about.files or () if one.name == _PROGRAM]
    program = next((one for one in programs if one.is_file()), None)
    if program is None:
        raise BackendUnavailable(f"the package {_PACKAGE} has no program {_PROGRAM}: install it again")
    script = _SCRIPT.read_bytes()
    digest = hashlib.sha256(script + about.version.encode()).hexdigest()[:16]
    target = cache / f"repo-tool-{digest}"

    def fill(made: Path) -> None:
        shutil.copyfile(program, made / _PROGRAM)
        (made / "repo").write_bytes(script)
        (made / "sgconfig.yml").write_text("ruleDirs: []\n", encoding="ascii")
        for name in (_PROGRAM, "repo"):
            (made / name).chmod(0o755)

    return made_once(target, fill, "the repository tool")
