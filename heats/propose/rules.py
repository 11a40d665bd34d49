"""Decide which changes are not proposed without the user's permission, whatever the tests say.

Files that a CI server, a package manager, an editor or git itself runs or trusts by their mere presence in the
repository are for a person to decide on. Patterns, ignoring case: `name` matches files of that name anywhere, `folder/`
everything below such a folder, `a/b` the end of a path.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from envs.conventions import is_build_file, is_runner_file, is_test_file
from envs.patches import show_path
from heats.errors import PatchRefused

CI_FILES = (
    *(".github/", ".gitlab/", ".gitea/", ".forgejo/", ".circleci/", ".buildkite/", ".woodpecker/", ".jenkins/", ".ci/"),
    *(".azuredevops/", ".azure-pipelines/", ".teamcity/", ".semaphore/", ".tekton/", ".builds/", ".codefresh/"),
    *(".gitlab-ci*", ".travis.y*ml", "*appveyor.y*ml", "azure-pipelines*", "*jenkinsfile*", "bitbucket-pipelines.y*ml"),
    *(".drone.*", ".woodpecker.*", ".cirrus.*", "cloudbuild*.y*ml", "buildspec*.y*ml", ".build.y*ml", "wercker.y*ml"),
    *("codefresh*.y*ml", "codemagic.y*ml", "dependabot.y*ml", "renovate.json*", ".renovaterc*", "codeowners"),
    *(".husky/", ".githooks/", "lefthook*.y*ml", ".lefthook*", ".pre-commit-config.y*ml", ".pre-commit-hooks.y*ml"),
)
LOCK_FILES = (
    *("*.lock", "*.lockb", "*.lockfile", "*.lock.json", "*.lock.hcl", "*-lock.json", "*-lock.y*ml", "pylock*.toml"),
    *("npm-shrinkwrap.json", "go.sum", "package.resolved", "requirements*.txt", "constraints*.txt"),
)
SETTINGS = (
    *(".gitattributes", ".gitmodules", ".gitconfig", ".devcontainer/", ".vscode/", ".idea/", ".envrc", ".env"),
    *(".npmrc", ".yarnrc*", ".yarn/", "pip.conf", ".pypirc", ".netrc", ".ssh/", "*.pth"),
    *("sitecustomize.py", "usercustomize.py", ".claude/", ".cursor/", ".cursorrules", ".mcp.json"),
    *("agents.md", "claude.md"),
)

HARMLESS = (
    *(".gitignore", ".gitkeep", ".keep", ".editorconfig", ".dockerignore", ".npmignore", ".mailmap", ".prettierrc*"),
    *(".prettierignore", ".eslintignore", ".clang-format", ".markdownlint*", ".git-blame-ignore-revs", "*.md", "*.rst"),
)
"""Files that start with a dot, or lie in such a folder, but steer neither builds nor tests."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a commit does to one path. Modes are git's, `000000` for a missing file."""

    path: bytes
    old_mode: str
    new_mode: str
    binary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a user allows, and additionally forbids."""

    allow_ci: bool = False
    allow_lock_files: bool = False
    allow_build: bool = False
    allow_paths: Sequence[str] = ()
    protected: Sequence[str] = ()


def check_changes(changes: Iterable[FileChange], rules: Rules) -> None:
    """Refuse changes that the rules do not allow.

    Raises:
        PatchRefused: names the paths, why, and the flag that would allow them.
    """
    found = [
        f"{show_path(change.path)} ({what})"
        for change in changes
        if not any(matches(change.path, pattern) for pattern in rules.allow_paths)
        for what in list(_problems(change, rules))[:1]
    ]
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise PatchRefused(f"the patch changes {', '.join(found[:5])}{more}")


def _problems(change: FileChange, rules: Rules) -> Iterator[str]:
    def any_of(patterns: Iterable[str]) -> bool:
        return any(matches(change.path, pattern) for pattern in patterns)

    if not rules.allow_ci and any_of(CI_FILES):
        yield "CI or hooks: --allow-ci"
    if not rules.allow_lock_files and any_of(LOCK_FILES):
        yield "a lock file: --allow-lock-files"
    if any_of(SETTINGS):
        yield "a file that tools act on when present: --allow-path"
    path = change.path.decode("utf-8", "replace")
    named = any_of((*CI_FILES, *LOCK_FILES, *HARMLESS))
    if not rules.allow_build and not named and (is_build_file(path) or is_runner_file(path)):
        yield "a build file or test setting: --allow-build"
    if change.new_mode == "000000" and is_test_file(path):
        yield "deletes tests: --allow-path"
    if any_of(rules.protected):
        yield "protected by the configuration: --allow-path"
    if change.new_mode == "120000":
        yield "a symbolic link: --allow-path"
    if change.new_mode == "100755" and change.old_mode != "100755":
        yield "made executable: --allow-path"
    if change.binary and change.new_mode != "000000":
        yield "binary: --allow-path"


def matches(path: bytes, pattern: str) -> bool:
    """Whether a pattern matches a path."""
    folded, pattern = "/" + path.decode("utf-8", "replace").casefold(), pattern.casefold().lstrip("/")
    if pattern.endswith("/"):
        parents = folded.split("/")[1:-1]
        parts = pattern.rstrip("/").split("/")
        spans = (parents[at : at + len(parts)] for at in range(len(parents) - len(parts) + 1))
        return any(all(map(fnmatchcase, span, parts)) for span in spans)
    return fnmatchcase(folded, f"*/{pattern}") if "/" in pattern else fnmatchcase(folded.rpartition("/")[2], pattern)
