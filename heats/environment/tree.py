"""The committed files of a repository, as detection reads them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import git

from envs.basetree import read_base_tree
from envs.errors import TaskError

_LARGEST = 1 << 20


@dataclass(frozen=True)
class Files:
    """The files of one commit, read from the repository's objects and never from its work tree.

    Attributes:
        names: all paths, relative to the top.
    """

    repo: git.Repo
    ref: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, repository: Path, ref: str) -> "Files":
        """List a commit's files. Paths are relative to `repository`, which may be a folder in one.

        Raises:
            TaskError: there is no such repository or commit.
        """
        try:
            repo = git.Repo(repository, search_parent_directories=True)
            top = Path(repo.working_tree_dir or repository).resolve()
            folder = repository.resolve().relative_to(top).as_posix() if repo.working_tree_dir else "."
            tree = ref if folder == "." else f"{ref}:{folder}"
            listed = repo.git.ls_tree("-r", "-z", "--name-only", "--full-tree", tree)
        except (git.InvalidGitRepositoryError, git.NoSuchPathError):
            raise TaskError(f"not a git repository: {repository} (run `git init` there)") from None
        except (git.GitCommandError, ValueError):
            read_base_tree(str(repository), ref)  # raises a clearer error
            raise TaskError(f"{repository} has no commit {ref}") from None
        return cls(repo, tree if folder != "." else f"{ref}:", tuple(name for name in listed.split("\0") if name))

    def __contains__(self, name: str) -> bool:
        return name in self._set

    @property
    def _set(self) -> frozenset[str]:
        return _as_set(self.names)

    def read(self, name: str) -> str:
        """Return the text of a file; empty if it does not exist or is huge."""
        if name not in self:
            return ""
        at = f"{self.ref}{name}" if self.ref.endswith(":") else f"{self.ref}/{name}"
        try:
            data: bytes = self.repo.git.cat_file("blob", at, stdout_as_string=False, strip_newline_in_stdout=False)
        except git.GitCommandError:
            return ""
        return data[:_LARGEST].decode("utf-8", "replace")

    def matching(self, pattern: str) -> Iterator[str]:
        """Yield the paths that fully match a regular expression."""
        return (name for name in self.names if re.fullmatch(pattern, name))

    def under(self, folder: str) -> bool:
        """Whether a top-level folder exists."""
        return any(PurePosixPath(name).parts[0] == folder for name in self.names)

    def last_tag(self) -> str:
        """Return the last version tag before the commit, without a leading `v`; empty if there is none."""
        try:
            tag: str = self.repo.git.describe("--tags", "--abbrev=0", self.ref.partition(":")[0])
        except git.GitCommandError:
            return ""
        found = re.search(r"\d+(?:\.\d+)+(?:(?:a|b|rc|\.post|\.dev)\d+)?", tag)
        return found[0] if found else ""


@cache
def _as_set(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(names)
