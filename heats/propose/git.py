"""git in the user's repository, and in a scratch repository without any configuration, hooks or attributes.

A patch is applied and committed in the scratch repository, which only borrows the user's objects. The user's repository
receives the finished objects and one reference; its work trees, index and HEAD are never opened.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import git

from heats.errors import PreflightFailed, UsageError

_SAFE = (
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.untrackedCache=false"),
    *("-c", "core.attributesFile=/dev/null", "-c", "gc.auto=0", "-c", "maintenance.auto=false"),
)
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
_LOCAL = {**_QUIET, "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
_BARE_OF_CONFIG = {
    **_LOCAL,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_COUNT": "0",
    "GIT_ATTR_NOSYSTEM": "1",
    "HOME": "/nonexistent",
    "XDG_CONFIG_HOME": "/nonexistent",
}
_PATIENCE = {"GIT_HTTP_LOW_SPEED_LIMIT": "100", "GIT_HTTP_LOW_SPEED_TIME": "60"}  # bytes per second, seconds
_PASSWORD = re.compile(r"(://)[^/@\s]+@")


class GitFailed(UsageError):
    """A git command failed; the message is git's own, on one line and without passwords."""


@dataclass(frozen=True, slots=True)
class Output:
    """The result of a git command."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """Standard output as text, without the last line ending."""
        return self.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")


@dataclass(frozen=True, slots=True)
class Git:
    """One repository. `environment` is added to the process's own environment for every command."""

    repo: git.Repo
    environment: Mapping[str, str] = field(default_factory=lambda: dict(_LOCAL))

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        ok: Sequence[int] = (0,),
    ) -> Output:
        """Run one git command, with everything that could run foreign code disabled.

        Args:
            arguments: the command's arguments.
            stdin: standard input.
            env: additional environment variables.
            ok: accepted exit codes.

        Raises:
            GitFailed: any other exit code.
            PreflightFailed: git is not installed.
        """
        command = ["git", *_SAFE, f"--git-dir={self.repo.git_dir}", *arguments]
        with tempfile.TemporaryFile() as file:
            file.write(stdin)
            file.seek(0)
            try:
                code, stdout, stderr = self.repo.git.execute(
                    command,
                    istream=file,
                    env={**self.environment, **(env or {})},
                    with_extended_output=True,
                    with_exceptions=False,
                    stdout_as_string=False,
                    strip_newline_in_stdout=False,
                )
            except git.GitCommandNotFound:
                raise PreflightFailed("git is not installed on this machine") from None
        output = Output(code, bytes(stdout), str(stderr))
        if code not in ok:
            raise GitFailed(f"git {arguments[0]}: {complaint(output)}")
        return output

    def find(self, name: str) -> str | None:
        """Full id of the commit that a name refers to; None if there is none."""
        output = self.run("rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}", ok=(0, 1, 128))
        if "dubious ownership" in output.stderr:
            raise GitFailed(f"git rev-parse: {complaint(output)}")
        return output.text if output.code == 0 else None


def complaint(output: Output) -> str:
    """Why a command failed, in git's words, on one line."""
    if "dubious ownership" in output.stderr:
        return "it belongs to another user: `git config --global --add safe.directory PATH` if you trust it"
    lines = [line.strip() for line in output.stderr.splitlines() if line.strip()]
    telling = [line for line in lines if re.match("fatal|error|!|remote:.*(error|denied)", line)] or lines[-1:]
    text = "; ".join(re.sub("^(fatal|error): ", "", line) for line in telling[:3]) or f"exit code {output.code}"
    return without_password(text)[:400]


def without_password(text: str) -> str:
    """Remove user names and passwords from URLs in a text."""
    return _PASSWORD.sub(r"\1", text)


def _repository(path: Path) -> git.Repo:
    try:
        return git.Repo(path, search_parent_directories=False)
    except git.InvalidGitRepositoryError:
        return git.Repo(path, search_parent_directories=True)


@contextmanager
def user_repository(path: Path) -> Iterator[Git]:
    """Open the user's repository: a work tree or a folder in it, a linked work tree, or a bare repository.

    Raises:
        UsageError: there is no repository.
    """
    try:
        repo = _repository(path.expanduser())
    except git.NoSuchPathError:
        raise UsageError(f"--repo: no such directory: {path}") from None
    except git.InvalidGitRepositoryError:
        raise UsageError(f"--repo: not a git repository: {path}") from None
    with closing(repo):
        yield Git(repo)


@contextmanager
def scratch_repository(user: Git) -> Iterator[Git]:
    """Open an empty temporary repository that reads the user's objects and stores its own."""
    paths = ("--git-path", "objects", "--git-path", "shallow")
    shape, *found = user.run("rev-parse", "--show-object-format", *paths).text.split("\n")
    if len(found) != 2:
        raise UsageError("--repo: the path must not contain a newline")
    objects, shallow = (Path(user.repo.git_dir, path).resolve() for path in found)
    with tempfile.TemporaryDirectory(prefix="heats-propose-") as folder:
        place = Path(folder, "scratch.git")
        begin = ["git", "init", "-q", "--bare", "--template=", f"--object-format={shape}", str(place)]
        git.Git(folder).execute(begin, env=_BARE_OF_CONFIG)
        with closing(git.Repo(place)) as made:
            listing = place / "objects" / "info" / "alternates"
            listing.parent.mkdir(exist_ok=True)
            listing.write_text(f"{objects}\n", encoding="utf-8", errors="surrogateescape")
            if shallow.exists():
                (place / "shallow").write_bytes(shallow.read_bytes())
            yield Git(made, {**_BARE_OF_CONFIG, "GIT_INDEX_FILE": str(place / "index")})


def hand_over(scratch: Git, user: Git) -> None:
    """Copy the objects created in the scratch repository to the user's repository."""
    made = Path(scratch.repo.git_dir, "objects")
    names = [f"{folder.name}{file.name}" for folder in made.glob("??") for file in folder.iterdir()]
    pack = scratch.run("pack-objects", "-q", "--stdout", "--threads=1", stdin="".join(f"{n}\n" for n in names).encode())
    user.run("unpack-objects", "-q", stdin=pack.stdout)


def over_the_network(user: Git) -> Git:
    """The same repository, for commands that talk to a remote over the common protocols."""
    return Git(user.repo, {**_QUIET, **_PATIENCE, "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"})
