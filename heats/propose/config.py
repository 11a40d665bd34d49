"""What can be set about a proposal: who made it, what it is called and what it may touch."""

import re
from typing import Self

from pydantic import model_validator

from core.record import Config
from core.text import TemplateFault, checked_template, fill
from heats.errors import UsageError

VARIABLES = frozenset({"task", "issue", "rollout", "run", "model", "base", "verdict", "verified", "patch"})
_AUTHOR = re.compile(r"^([^<>\n\0]*[^<>\n\0\s])\s+<([^<>\s]+@[^<>\s]+)>$")


class ProposeConfig(Config):
    """What `heats propose` writes where. Templates are Jinja2; their variables are plain text on one line.

    Attributes:
        branch: template of the branch's name; `task`, `patch` (first 8 digits of its digest), `run`, `rollout`.
        title: template of the commit's subject and the pull request's title; `issue` is the first line of the issue.
        message: template of the rest of the commit message.
        author: `Name <email>`; git's own user.name and user.email when empty.
        remote: the remote to push to.
        base_branch: branch that the pull request goes into; the repository's default branch when empty.
        draft: open pull requests as drafts; those of patches that are not verified, or show signs of tampering, always
            are.
        protected: further patterns of files that a patch must not change, such as `deploy/` or `*.tf`.
        allow_ci: propose patches that change CI files and hooks.
        allow_lock_files: propose patches that change lock files.
        allow_build: propose patches that change what builds the project or steers its tests, such as `Makefile`,
            `package.json`, `setup.py` and `conftest.py`.
        allow_paths: patterns of files that every patch may change, whatever the rules say.
        api_url: GitHub's API; GITHUB_API_URL, else https://api.github.com when empty.
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
    """Name and address of `Name <email>`.

    Raises:
        ValueError: it is not of that form.
    """
    found = _AUTHOR.match(text.strip())
    if found is None:
        raise ValueError(f"author {text!r}: write it as `Name <email>`")
    return found[1].strip(), found[2]


def filled(template: str, variables: dict[str, object]) -> str:
    """A template with its variables put in, without blanks around it.

    Raises:
        UsageError: it asks of a variable what that does not have.
    """
    try:
        return fill(template, **variables).strip()
    except TemplateFault as error:
        raise UsageError(str(error)) from None
