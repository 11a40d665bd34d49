"""The remote side of git: locate a remote, and push a single commit without running hooks or storing a token."""

import base64
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from heats.errors import RemoteFailed, UsageError
from heats.propose.git import Git, GitFailed, complaint, over_the_network, without_password

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SCP = re.compile(r"^(?:[\w.-]+@)?(?P<host>[\w.-]+):(?P<path>(?!//).+)$")
_SLUG = re.compile(r"^/*(?P<slug>[\w.-]+/[\w.-]+?)(?:\.git)?/*$")


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote as git pushes to it.

    Attributes:
        host: empty for a directory.
        slug: `owner/name`, if the URL ends in one.
    """

    name: str
    url: str
    scheme: str
    host: str
    slug: str

    @property
    def takes_token(self) -> bool:
        """Whether a token may be sent there: over an encrypted connection, or within this machine."""
        return self.scheme == "https" or (self.scheme == "http" and self.host in LOOPBACK)


def find_remote(user: Git, name: str) -> Remote:
    """The remote of this name.

    Raises:
        UsageError: the repository has no such remote.
    """
    if name.startswith("-"):
        raise UsageError(f"--remote: {name!r} is not a valid remote name")
    try:
        url = user.run("remote", "get-url", "--push", name).text
    except GitFailed:
        known = ", ".join(user.run("remote").text.split()) or "none"
        raise UsageError(f"--remote: the repository has no remote {name}; it has: {known}") from None
    return read_url(name, url)


def read_url(name: str, url: str) -> Remote:
    """Parse a remote's URL."""
    parts = urlsplit(url)
    scp = _SCP.match(url) if "://" not in url else None
    if parts.scheme and "://" in url:
        scheme, host, path = parts.scheme.lower(), (parts.hostname or ""), parts.path
    elif scp is not None:
        scheme, host, path = "ssh", scp["host"], scp["path"]
    else:
        scheme, host, path = "file", "", url
    found = _SLUG.match(path) if host else None
    return Remote(name, url, scheme, host, found["slug"] if found else "")


def push(user: Git, remote: Remote, commit: str, branch: str, *, token: str = "", force: bool = False) -> bool:
    """Push one commit as one branch.

    Args:
        user: the user's repository.
        remote: the remote to push to.
        commit: full id of the commit.
        branch: name of the branch.
        token: sent as a header, to this remote's host only, through the environment of the git process.
        force: replace a remote branch of this name.

    Returns:
        False if the remote already had it.

    Raises:
        UsageError: the remote has a different branch of this name and `force` is not set.
        RemoteFailed: git could not push.
    """
    network = over_the_network(user)
    env = _credentials(remote, token) if token and remote.takes_token else {}
    ref = f"refs/heads/{branch}"
    try:
        listed = network.run("ls-remote", "--heads", "--", remote.name, ref, env=env).text.split()
        there = listed[0] if listed else ""
        if there == commit:
            return False
        if there and not force:
            raise UsageError(
                f"{remote.name} has a different branch {branch}: choose another name with --branch, or use --force"
            )
        flags = ("--porcelain", "--no-verify", "--no-signed", "--no-follow-tags", "--recurse-submodules=no")
        lease = f"--force-with-lease={ref}:{there}"
        pushed = network.run("push", *flags, lease, "--", remote.name, f"{commit}:{ref}", env=env, ok=(0, 1, 128))
    except GitFailed as error:
        raise RemoteFailed(_hide(str(error), token)) from None
    if pushed.code:
        said = [line for line in pushed.text.splitlines() if line.startswith("!")]
        why = said[0].split("\t")[-1] if said else complaint(pushed)
        raise RemoteFailed(_hide(f"{remote.name} rejected the branch {branch}: {without_password(why)}", token))
    return True


def _credentials(remote: Remote, token: str) -> dict[str, str]:
    """Configuration for one git process. An empty header first drops any that a checkout may have left behind."""
    parts = urlsplit(remote.url)
    host = parts.netloc.rpartition("@")[2]
    secret = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    key = f"http.{parts.scheme}://{host}/.extraHeader"
    settings = [
        (key, ""),
        (key, f"Authorization: Basic {secret}"),
        ("http.followRedirects", "false"),
        ("credential.helper", ""),
    ]
    before = os.environ.get("GIT_CONFIG_COUNT", "0")
    start = int(before) if before.isdigit() else 0
    numbered = list(enumerate(settings, start))
    fields = {f"GIT_CONFIG_KEY_{number}": name for number, (name, _) in numbered}
    fields |= {f"GIT_CONFIG_VALUE_{number}": value for number, (_, value) in numbered}
    return {"GIT_CONFIG_COUNT": str(start + len(settings)), **fields}


def _hide(text: str, token: str) -> str:
    return text.replace(token, "***") if token else text
