"""Settings of a proposal: its author, its names, and what it may change."""

import re
from typing import Self

from pydantic import model_validator

from core.record import Config
from core.text import TemplateFault, checked_template, fill
from heats.errors import UsageError

VARIABLES = frozenset({"task", "issue", "rollout", "run", "model", "base", "verdict", "verified", "patch"})
_AUTHOR = re.compile(r"^([^<>\n\0]*[^<>\n\0\s])\s+<([^<>\s]+@[^<>\s]+)>$")


class ProposeConfig(Config):
    """Contents and rules of `heats propose`. Templates are Jinja2; their variables are single lines of plain text.

    Attributes:
        branch: template for the branch name; variables are `task`, `patch` (first 8 digits of its digest), `run` and
            `rollout`.
        title: template for the commit's subject and the pull request's title; `issue` is the first line of the issue.
        message: template for the rest of the commit message.
        author: `Name <email>`; if empty, git's own user.name and user.email.
        remote: the remote to push to.
        base_branch: branch that the pull request targets; if empty, the repository's default branch.
        draft: open pull requests as drafts. Patches that are not verified, or show signs of tampering, always become
            drafts.
        protected: additional patterns of files that a patch must not change, such as `deploy/` or `*.tf`.
        allow_ci: propose patches that change CI files and hooks.
        allow_lock_files: propose patches that change lock files.
        allow_build: propose patches that change what builds the project or steers its tests, such as `Makefile`,
            `package.json`, `setup.py` and `conftest.py`.
        allow_paths: patterns of files that every patch may change, regardless of the rules.
        api_url: URL of GitHub's API; if empty, GITHUB_API_URL, else https://api.github.com.
    """

    branch: str = "heats/{{ task }}"
    title: str = "{{ issue }}"
    message: str = ""
    author: str = ""
    remote: str = "origin"
    base_branch: str = ""
    draft: bool = False
    protected: tuple[str, ...] = ()
    allow_ci: bool = False
    allow_lock_files: bool = False
    allow_build: bool = False
    allow_paths: tuple[str, ...] = ()
    api_url: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("branch", "title", "message"):
            try:
                checked_template(getattr(self, name), VARIABLES)
            except TemplateFault as error:
                raise ValueError(f"{name}: {error}") from error
        if self.author:
            read_author(self.author)
        return self


def read_author(text: str) -> tuple[str, str]:
    """Name and address from `Name <email>`.

    Raises:
        ValueError: invalid format.
    """
    found = _AUTHOR.match(text.strip())
    if found is None:
        raise ValueError(f"author {text!r}: write it as `Name <email>`")
    return found[1].strip(), found[2]


def filled(template: str, variables: dict[str, object]) -> str:
    """Render a template, stripped of surrounding white space.

    Raises:
        UsageError: it uses an attribute that a variable does not have.
    """
    try:
        return fill(template, **variables).strip()
    except TemplateFault as error:
        raise UsageError(str(error)) from None
