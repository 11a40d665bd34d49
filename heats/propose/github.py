"""The part of GitHub's API that a pull request needs. The token is sent in one header and nowhere else."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from core.sanitize import one_line
from heats.errors import PreflightFailed, RemoteFailed, UsageError
from heats.propose.remote import LOOPBACK, Remote

PUBLIC_API = "https://api.github.com"
TOKEN_VARIABLES = ("GH_TOKEN", "GITHUB_TOKEN")
_TIMEOUT_S = 30
_LARGEST_REPLY = 8 << 20


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request; `created` is False if it was already open."""

    number: int
    url: str
    created: bool


@dataclass(frozen=True, slots=True)
class GitHub:
    """One repository behind one API."""

    api: str
    slug: str
    token: str = field(repr=False)

    def default_branch(self) -> str:
        """The default target branch of pull requests."""
        return str(self._call("GET", "").get("default_branch") or "main")

    def find(self, head: str) -> PullRequest | None:
        """An open pull request from `owner:branch`."""
        query = urlencode({"state": "open", "head": head})
        found = self._call("GET", f"/pulls?{query}")
        return _read_pull(found[0], created=False) if isinstance(found, list) and found else None

    def create(self, fields: Mapping[str, Any]) -> PullRequest:
        """Open a pull request: `title`, `body`, `head`, `base`, `draft`."""
        return _read_pull(self._call("POST", "/pulls", fields), created=True)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        url = f"{self.api}/repos/{quote(self.slug)}{path}"
        request = urllib.request.Request(  # noqa: S310 - `open_github` lets https and loopback pass only
            url,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={
                "Accept": "application/vnd.github+json",
                "Content-Type": "application/json",
                "User-Agent": "heats",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        what = f"{method} {urlsplit(url).netloc} {self.slug}"
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=_TIMEOUT_S) as reply:
                return json.loads(reply.read(_LARGEST_REPLY))
        except urllib.error.HTTPError as error:
            with error:
                raise RemoteFailed(f"{what}: {_refusal(error, self.token)}") from None
        except (OSError, HTTPException, ValueError, RecursionError) as error:
            reason = getattr(error, "reason", None) or error
            raise RemoteFailed(
                f"{what}: unusable answer ({one_line(str(reason))}); run the same command to try again"
            ) from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: requests carry a token."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _refusal(error: urllib.error.HTTPError, token: str) -> str:
    try:
        reply = json.loads(error.read(1 << 20))
        details = [one.get("message", one.get("code", "")) for one in reply.get("errors", ()) if isinstance(one, dict)]
        said = "; ".join(str(text) for text in [reply.get("message", ""), *details] if text)
    except (OSError, ValueError, AttributeError, HTTPException, RecursionError):
        said = ""
    hints = {
        401: "the token is not valid",
        403: "the token lacks permission, or the rate limit is reached",
        404: "the repository does not exist, or the token cannot see it",
        422: "GitHub rejected the request",
    }
    hint = hints.get(
        error.code, "GitHub answered with a redirect, which is not followed" if 300 <= error.code < 400 else ""
    )
    text = f"{error.code} {hint}".strip() + (f" ({one_line(said, 300)})" if said else "")
    return text.replace(token, "***")


def _read_pull(reply: Any, *, created: bool) -> PullRequest:
    try:
        return PullRequest(int(reply["number"]), one_line(str(reply["html_url"]), 500), created)
    except (KeyError, TypeError, ValueError):
        raise RemoteFailed("GitHub's answer does not describe a pull request") from None


def read_token() -> str:
    """The token from the environment; empty if there is none."""
    return next((os.environ[name].strip() for name in TOKEN_VARIABLES if os.environ.get(name, "").strip()), "")


def find_api(api_url: str = "") -> str:
    """The API's URL: the given one, else GITHUB_API_URL, else GitHub's own.

    Raises:
        UsageError: it is not safe for a token.
    """
    api = (api_url or os.environ.get("GITHUB_API_URL", "") or PUBLIC_API).rstrip("/")
    parts = urlsplit(api)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise UsageError(f"--api-url: {one_line(api)} is not https")
    if parts.username or parts.password or parts.query:
        raise UsageError("--api-url: must not contain a user, password or query")
    return api


def push_token(remote: Remote, api_url: str = "") -> str:
    """The token, if the remote is on the API's host; a token goes nowhere else."""
    token = read_token()
    return token if token and remote.takes_token and remote.host == _web_host(find_api(api_url)) else ""


def _web_host(api: str) -> str:
    return (urlsplit(api).hostname or "").removeprefix("api.")


def open_github(remote: Remote, *, api_url: str = "", slug: str = "") -> GitHub:
    """Open the API for a remote.

    Args:
        remote: the remote.
        api_url: URL of the API; if empty, GITHUB_API_URL, else GitHub's own.
        slug: `owner/name` of the repository that gets the pull request; if empty, the remote's own.

    Raises:
        PreflightFailed: there is no token.
        UsageError: the URL is not safe for a token, or the remote is not on the API's host.
    """
    token = read_token()
    if not token:
        raise PreflightFailed(f"--pr needs a token in the environment: {' or '.join(TOKEN_VARIABLES)}")
    api = find_api(api_url)
    host = _web_host(api)
    if not slug and (remote.host != host or not remote.slug):
        raise UsageError(
            f"the remote {remote.name} is not a repository on {host}: give --github-repo OWNER/NAME, "
            "and --api-url or GITHUB_API_URL for another server"
        )
    chosen = slug or remote.slug
    if chosen.count("/") != 1 or not all(chosen.split("/")) or any(char in chosen for char in "?#%\\ "):
        raise UsageError(f"--github-repo: {chosen!r} is not OWNER/NAME")
    return GitHub(api, chosen, token)
