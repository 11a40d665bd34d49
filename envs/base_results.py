"""Results of existing tests on the base, kept across runs by image, commit and command.

Only code of the project runs on the base, never an agent's, so that its results can be shared by all runs of a task.
"""

import json
import os
import secrets
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from core.record import Record
from envs.base import Task

_VERSION = 1


class BaseResult(Record):
    """Two runs of one command on the base: tests that passed both times, and the duration of one run in seconds."""

    passing: tuple[str, ...]
    seconds: float


class BaseResults:
    """Results in a directory, one file each. Files that cannot be read or written only cost another run.

    Args:
        directory: directory of the files; created when the first result is stored.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, task: Task, backend: str, command: str) -> BaseResult | None:
        """Return the result of a command on a task's base, if it is known.

        Args:
            task: the task; its image, commit and set-up identify the base.
            backend: name of the sandbox backend.
            command: the command that ran.
        """
        try:
            return BaseResult.model_validate_json(self._path(task, backend, command).read_bytes())
        except (OSError, ValidationError):
            return None

    def put(self, task: Task, backend: str, command: str, result: BaseResult) -> None:
        """Store a result.

        Args:
            task: the task.
            backend: name of the sandbox backend.
            command: the command that ran.
            result: its result.
        """
        path = self._path(task, backend, command)
        temporary = path.with_suffix(f".{secrets.token_hex(4)}.tmp")
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.write_bytes(result.model_dump_json().encode("utf-8", "replace"))
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)

    def _path(self, task: Task, backend: str, command: str) -> Path:
        about: Sequence[object] = (_VERSION, backend, task.image, task.base_commit, task.prepared, task.setup)
        what = json.dumps([*about, task.workdir, task.folder, sorted(task.env.items()), command])
        return self._directory / f"{sha256(what.encode('utf-8', 'surrogatepass')).hexdigest()}.json"
