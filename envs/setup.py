"""A task's set-up command: run it, keep secrets out of what it leaves, and say clearly why it failed."""

import asyncio
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from envs.base import Task
from envs.errors import SetupFailed, TaskError
from sandbox.base import ExecResult, Sandbox

_CA_FILES = frozenset(
    {"CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"}
)
"""Variables that name a file with certificate authorities. The file itself goes into the set-up's /tmp."""

_CACHES = {"PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "npm_config_cache": "/tmp/npm-cache"}  # noqa: S108 - inside the sandbox
_SECRET_CHARS = 6
"""Shorter values would be found everywhere."""
_LAST_LINES, _TELLING_LINES = 5, 2
_ERROR = re.compile(r"\b(?:fatal )?error: |\w+Error\b: |command .*failed|not found|No such file", re.IGNORECASE)
_CHATTER = re.compile(r"npm (?:notice|warn)\b|npm (?:error|ERR!) A complete log of this run", re.IGNORECASE)
"""Lines that npm prints around an error, which would push it out."""
_NEEDS_NETWORK = re.compile(
    r"name resolution|getaddrinfo|ENOTFOUND|EAI_AGAIN|Network is unreachable|Could not resolve|dial tcp|ConnectionError"
    r"|NewConnectionError|No matching distribution|failed to fetch|Could not fetch",
    re.IGNORECASE,
)


async def run_setup(task: Task, sandbox: Sandbox, *, secrets: Mapping[str, str] | None = None) -> None:
    """Run a task's set-up command, if it has one.

    Args:
        task: the task.
        sandbox: sandbox with the task's tree.
        secrets: environment variables for this command alone, whose values must not stay in the sandbox.

    Raises:
        SetupFailed: the command failed, or left the value of a secret in a file.
        SandboxError
    """
    if not task.setup:
        return
    given = await _with_ca_files(sandbox, secrets or {})
    hidden = {name: value for name, value in (secrets or {}).items() if name not in _CA_FILES}
    await sandbox.exec("touch /tmp/heats-setup-start", timeout=60, cwd="/")
    result = await sandbox.exec(
        task.setup, timeout=task.setup_timeout_s, cwd=task.runs_in, env=_CACHES | given, merge_stderr=True
    )
    await sandbox.kill_all()
    if not result.ok:
        raise SetupFailed(explain(task, result, hidden))
    await _refuse_kept_secrets(task, sandbox, hidden)


def secrets_of(task: Task) -> dict[str, str]:
    """The variables that a task's set-up asks for by name, from this process's environment.

    Raises:
        TaskError: one of them is not set.
    """
    if missing := [name for name in task.setup_env if name not in os.environ]:
        raise TaskError(f"--setup-env {missing[0]}: no such variable is set in the environment of heats")
    return {name: os.environ[name] for name in task.setup_env}


def explain(task: Task, result: ExecResult, secrets: Mapping[str, str]) -> str:
    """Say in one line why a set-up failed, with the last lines of its output.

    Args:
        task: the task.
        result: the result of its set-up command.
        secrets: values that must not be shown, by name.
    """
    text = result.text()
    for name, value in secrets.items():
        text = text.replace(value, f"${name}") if value else text
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not _CHATTER.match(line)] or lines
    telling = [line for line in lines[:-_LAST_LINES] if _ERROR.search(line)][-_TELLING_LINES:]
    lines = [*telling, *lines[-_LAST_LINES:]]
    how = f"exit code {result.exit_code}" if result.status == "exited" else result.status
    if result.status == "timeout":
        how = f"not done within {task.setup_timeout_s:g} s"
    said = " | ".join(line[:200] for line in lines) or "it printed nothing"
    network = ""
    if task.setup_network == "none":
        needs = "it seems to need one: " if _NEEDS_NETWORK.search(text) else ""
        network = f". Sandboxes have no network; {needs}--setup-network bridge gives one to the set-up alone"
    return f"the set-up failed ({how}): {task.setup}: {said}{network}"


async def _with_ca_files(sandbox: Sandbox, secrets: Mapping[str, str]) -> dict[str, str]:
    """The variables as the set-up needs them: with files of certificate authorities where it can read them."""
    given = dict(secrets)
    for name in _CA_FILES & set(secrets):
        try:
            data = await asyncio.to_thread(Path(secrets[name]).read_bytes)
        except OSError:
            continue
        given[name] = f"/tmp/heats-{name}.pem"  # noqa: S108 - inside the sandbox, and not kept
        await sandbox.write_file(given[name], data)
    return given


async def _refuse_kept_secrets(task: Task, sandbox: Sandbox, secrets: Mapping[str, str]) -> None:
    """Fail if a file that was written since the start of the set-up contains a secret's value."""
    for name, value in secrets.items():
        if len(value) < _SECRET_CHARS:
            continue
        where = f'/ "$HOME" /venv {shlex.quote(task.workdir)}'
        search = (
            f"find {where} -xdev -type f -cnewer /tmp/heats-setup-start ! -path '/proc/*' ! -path '/tmp/heats-*' "
            "-print0 2>/dev/null | xargs -0 -r grep -lF -f /tmp/heats-secret -- 2>/dev/null | head -n 1"
        )
        await sandbox.write_file("/tmp/heats-secret", value.encode() + b"\n")  # noqa: S108 - not kept
        found = await sandbox.exec(search, timeout=300, cwd="/")
        await sandbox.exec("rm -f /tmp/heats-secret", timeout=60, cwd="/")
        if path := found.text().strip():
            raise SetupFailed(
                f"the set-up wrote the value of {name} to {path}, and what it leaves is kept: "
                "remove that file at the end of the set-up"
            )
