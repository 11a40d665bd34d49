"""A Harbor task directory: its contents, and which of them an agent may see.

`instruction.md`, `task.toml` and `environment/` describe the task; `tests/` and `solution/` are read only to grade a
state or to play the oracle.
"""

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from core.textfile import decode, read_text
from envs.errors import TaskError
from envs.harbor.taskfile import EnvironmentTable, TaskFile, read_task_file
from sandbox.images import directory_digest

_COMPOSE = ("docker-compose.yaml", "docker-compose.yml", "compose.yaml", "compose.yml")
_MAX_FILES, _MAX_BYTES = 2000, 256 << 20


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file to upload into a sandbox."""

    data: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class VerifierMachine:
    """The container of a separate verifier.

    Attributes:
        image: its image.
        context: build context of the image; None if it is not built, or is the agent's image.
        workdir: working directory; empty for the image's own.
        machine: its limits and environment.
        has_tests: the image brings `/tests` along, so that nothing is uploaded.
    """

    image: str
    context: Path | None
    workdir: str
    machine: EnvironmentTable
    has_tests: bool


@dataclass(frozen=True, slots=True)
class HarborTask:
    """One task directory.

    Attributes:
        id: the directory's name.
        image: image that sandboxes start from; `built` if it is built from `environment/`.
        workdir: as set in `task.toml` or the Dockerfile; empty for the image's own.
        verifier: the verifier's container; None if it grades in the agent's.
    """

    id: str
    directory: Path
    file: TaskFile
    instruction: str
    image: str
    built: bool
    workdir: str
    verifier: VerifierMachine | None = None

    @property
    def context(self) -> Path:
        """The build context."""
        return self.directory / "environment"

    def tests(self) -> dict[str, UploadedFile]:
        """Hidden tests, by path relative to `/tests`."""
        return read_tree(self.directory / "tests")

    def loose_files(self) -> dict[str, UploadedFile]:
        """Files of `environment/` that no build brings into the image; they belong in the working directory."""
        folder = self.context
        return read_tree(folder) if folder.is_dir() and not (folder / "Dockerfile").is_file() else {}

    def solution(self) -> dict[str, UploadedFile]:
        """The reference solution, by path relative to `/solution`; empty if the task has none."""
        folder = self.directory / "solution"
        return read_tree(folder) if folder.is_dir() else {}


def task_directories(path: Path) -> list[Path]:
    """The task directories at a path: the path itself, or its direct children, sorted by name.

    Raises:
        TaskError: there is none.
    """
    if (path / "task.toml").is_file():
        return [path]
    found = sorted(file.parent for file in path.glob("*/task.toml")) if path.is_dir() else []
    if not found:
        raise TaskError(f"{path}: no Harbor task found (no task.toml here or in a subdirectory)")
    return found


def read_task(directory: Path, *, force_build: bool = False, network: bool = True) -> HarborTask:
    """Read a task directory. Blocks: call it in a thread.

    Args:
        directory: the task directory.
        force_build: build a Dockerfile even if the task names an image.
        network: containers get the network that the task asks for; otherwise it does not matter what that is.

    Raises:
        TaskError: a file is missing or invalid, or the task needs something heats cannot do.
    """
    name = directory.resolve().name
    try:
        file = read_task_file(read_text(directory / "task.toml"))
        instruction = read_text(directory / "instruction.md")
        problems = list(_problems(directory, file, network=network))
        if problems:
            raise TaskError(f"not supported: {'; '.join(problems)}")
        dockerfile = directory / "environment" / "Dockerfile"
        if file.environment.docker_image and not (force_build and dockerfile.is_file()):
            image, built = file.environment.docker_image, False
        elif dockerfile.is_file():
            image, built = f"heats-task/{_slug(name)}:{directory_digest(directory / 'environment')[:16]}", True
        else:
            raise TaskError("neither environment.docker_image nor environment/Dockerfile")
        workdir = file.environment.workdir or workdir_of(dockerfile)
        verifier = None
        if file.verifier.separate:
            verifier = _verifier(directory, file, image, workdir, force_build=force_build)
        if not (verifier and verifier.has_tests) and not (directory / "tests" / "test.sh").is_file():
            raise TaskError("no tests/test.sh")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{name}: {error}") from None
    except TaskError as error:
        raise TaskError(f"{name}: {error}") from None
    return HarborTask(name, directory, file, instruction, image, built, workdir, verifier)


def _verifier(directory: Path, file: TaskFile, image: str, workdir: str, *, force_build: bool) -> VerifierMachine:
    """A verifier's own image is the named one, else `tests/Dockerfile`; without either it is a fresh agent's one."""
    machine, dockerfile = file.verifier.environment or file.environment, directory / "tests" / "Dockerfile"
    own = file.verifier.environment.docker_image if file.verifier.environment else None
    if own and not (force_build and dockerfile.is_file()):
        return VerifierMachine(own, None, machine.workdir or "", machine, has_tests=True)
    if dockerfile.is_file():
        name = f"heats-task/{_slug(directory.resolve().name)}-verifier:{directory_digest(dockerfile.parent)[:16]}"
        place = machine.workdir if file.verifier.environment else None
        return VerifierMachine(name, dockerfile.parent, place or workdir_of(dockerfile), machine, has_tests=True)
    return VerifierMachine(image, None, machine.workdir or workdir, machine, has_tests=False)


def workdir_of(dockerfile: Path) -> str:
    """The working directory of the last stage; empty if only the built image knows it."""
    if not dockerfile.is_file():
        return ""
    workdir = ""
    for line in decode(dockerfile.read_bytes(), "replace").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word.upper() == "FROM":
            workdir = ""
        elif word.upper() == "WORKDIR":
            rest = rest.strip().strip("\"'")
            if not posixpath.isabs(rest) and not workdir:
                return ""
            workdir = posixpath.normpath(posixpath.join(workdir, rest))
    return "" if "$" in workdir else workdir


def read_tree(folder: Path) -> dict[str, UploadedFile]:
    """All files below a folder, by relative path; links are followed only within it.

    Raises:
        TaskError: a link leaves the folder, or there is more than a sandbox accepts.
    """
    found: dict[str, UploadedFile] = {}
    total, top = 0, folder.resolve()
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or "__pycache__" in path.parts:
            continue
        if not path.resolve().is_relative_to(top):
            raise TaskError(f"{path.relative_to(folder)} leads out of {folder.name}/")
        total += path.stat().st_size
        if len(found) >= _MAX_FILES or total > _MAX_BYTES:
            raise TaskError(f"{folder.name}/ holds more than {_MAX_FILES} files or {_MAX_BYTES >> 20} MiB")
        mode = 0o755 if path.stat().st_mode & 0o100 or path.suffix == ".sh" else 0o644
        found[path.relative_to(folder).as_posix()] = UploadedFile(path.read_bytes(), mode)
    return found


def _problems(directory: Path, file: TaskFile, *, network: bool) -> list[str]:
    problems = list(file.unsupported())
    folders = ("environment", "tests") if file.verifier.separate else ("environment",)
    found = [f"{folder}/{name}" for folder in folders for name in _COMPOSE if (directory / folder / name).exists()]
    problems += [f"{path} (services of a compose file)" for path in found]
    if network and file.unswitchable():
        problems.append("another network for the verifier than for the agent, in one container")
    return problems


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or "task"
