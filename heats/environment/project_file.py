"""`heats.yaml` in a repository: how its tests run in a sandbox. Written by `heats check`, read by other commands."""

from pathlib import Path

import yaml
from pydantic import ValidationError

from core.record import Config
from core.textfile import read_text
from heats.errors import UsageError
from heats.propose.config import ProposeConfig
from heats.store.files import write_bytes
from sandbox.base import SetupNetwork

NAME = "heats.yaml"
_HEAD = """# How the tests of this repository run in a sandbox. Written by `heats check`; edit it as you like.
# `heats solve`, `heats select` and `heats propose` read it; their flags override it. See docs/environments.md.
"""


class ProjectFile(Config):
    """The content of `heats.yaml`. The names of secrets are deliberately not in it: they are given with --setup-env.

    Attributes:
        test: the test command.
        setup: the set-up command.
        setup_network: network of the set-up.
        image: image of the sandboxes; if empty, the configured one.
        workdir: directory of the tree in the sandbox; if empty, /testbed.
        propose: settings of `heats propose`.
    """

    test: str | None = None
    setup: str | None = None
    setup_network: SetupNetwork = "none"
    image: str = ""
    workdir: str = ""
    propose: ProposeConfig = ProposeConfig()


def read_project_file(repository: Path) -> ProjectFile | None:
    """Read the file of a repository on disk; None if it has none.

    Raises:
        UsageError: it cannot be read, or has unknown keys or values.
    """
    path = repository / NAME
    if not path.is_file():
        return None
    try:
        return ProjectFile.model_validate(yaml.safe_load(read_text(path)) or {})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}: {key or 'the file'}: {first['msg']}") from None
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None


def write_project_file(repository: Path, project: ProjectFile) -> Path:
    """Write the file, without the keys that have their defaults."""
    data = project.model_dump(mode="json", exclude_defaults=True)
    text = _HEAD + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
    write_bytes(repository / NAME, text.encode(), mode=0o644)
    return repository / NAME
