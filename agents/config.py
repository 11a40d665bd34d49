"""The agents' settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from agents.choose.config import ChooserConfig
from agents.prompting import Templates
from agents.terminal.config import TerminalConfig
from agents.watchers import WATCHERS
from core.errors import UnknownPart
from core.record import Config
from core.text import checked_template


class CommandConfig(Config):
    """Settings of `command:...`, a command-line agent in the sandbox's image; also of the agents that heats installs.

    Attributes:
        time_limit_s: maximum run time of the command, in seconds.
        trajectory: file in the sandbox to which the command writes its trajectory (ATIF, mini-swe-agent), which counts
            if the gateway saw no request. If unset, the command's output is the record then; `{trajectory}` in the
            command lets heats choose the file.
        gateway: reach the model through the gateway. False passes the server's own address, which needs a sandbox with
            a network; so does a `base_url`.
        base_url: address of the model server as seen from the sandbox; defaults to the model's own.
        forward_env: names of environment variables to pass to the command, including API keys. Anything that runs in
            the sandbox can read them.
    """

    time_limit_s: float = Field(3600.0, gt=0)
    trajectory: str | None = None
    gateway: bool = True
    base_url: str | None = None
    forward_env: tuple[str, ...] = ()


class MiniConfig(Config):
    """Settings of `mini`, which is mini-swe-agent, installed with heats (`heats[mini]`) or in its own environment.

    Attributes:
        python: interpreter of its environment; defaults to heats' own if mini-swe-agent is installed there, else to
            that of the `mini` on PATH.
        config: its configuration, either a file that comes with it (`mini.yaml`, `benchmarks/swebench.yaml`) or a path.
    """

    python: Path | None = None
    config: str = "mini.yaml"


class InstalledConfig(Config):
    """Settings of the agents that heats installs; docs/agents.md lists them.

    Attributes:
        version: version to install; defaults to the one that was tried.
        directory: where they are kept; defaults to `heats/agents` in the user's cache directory.
        settings: file with the agent's own settings, in its own format.
        arguments: further arguments of its command line.
        python: interpreter to copy for an agent written in Python; defaults to one on PATH, or of uv or pyenv.
    """

    version: str | None = Field(None, pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]*$")
    directory: Path | None = None
    settings: Path | None = None
    arguments: tuple[str, ...] = ()
    python: Path | None = None


class AgentConfig(Config):
    """Settings of all agents; each reads those that concern it.

    Attributes:
        name: which agent to use; see `agents.open_agent`.
        step_limit: maximum number of model turns.
        command_timeout_s: timeout in seconds of commands that do not set their own.
        longest_command_s: longest timeout in seconds that a command may set.
        observation_head: characters kept from the beginning of an output.
        observation_tail: characters kept from its end.
        max_format_errors: consecutive turns without a usable call that end the rollout. After the second, the server is
            asked to constrain replies to calls.
        force_calls: allow nothing but calls from the first turn on (`tool_choice: required`, or guided JSON in text).
        text_protocol: use text instead of tool calls for every model; a model can also request this itself.
        templates: prompts of the agents.
        chooser: which of several proposed turns is acted on.
        terminal: settings of the terminal agent.
        command: settings of command-line agents in the sandbox.
        mini: settings of mini-swe-agent.
        installed: settings of the agents that heats installs.
        options: settings of your own agent, which declares them as `Options`.
        watchers: what looks at a rollout after each turn and at submission: `check-again`, `reserve`, `loop-guard`,
            `fresh-start`, `decline` or `module:Class`; see docs/watchers.md. For the agents `bash` and `terminal`.
        watcher_options: settings of watchers by the watcher's name: see "Settings of each watcher" in docs/keys.md.
        repository_tool: put the command `repo` (outlines, definitions and uses of names) into the sandbox and tell the
            agent of it; for every agent, on Docker and bubblewrap. Needs the extra `heats[repo]`.
        repository_prompt: Jinja2 template that tells the agent; receives `command`, its path in the sandbox.
    """

    name: str = "bash"
    step_limit: int = Field(100, gt=0)
    command_timeout_s: float = Field(120.0, gt=0)
    longest_command_s: float = Field(600.0, gt=0)
    observation_head: int = Field(5000, ge=0)
    observation_tail: int = Field(5000, ge=0)
    max_format_errors: int = Field(3, gt=0)
    force_calls: bool = False
    text_protocol: bool = False
    templates: Templates
    chooser: ChooserConfig = ChooserConfig()
    terminal: TerminalConfig | None = None
    command: CommandConfig = CommandConfig()
    mini: MiniConfig = MiniConfig()
    installed: InstalledConfig = InstalledConfig()
    options: Mapping[str, Any] = {}
    watchers: tuple[str, ...] = ()
    watcher_options: Mapping[str, Mapping[str, Any]] = {}
    repository_tool: bool = False
    repository_prompt: str = ""

    @field_validator("repository_prompt")
    @classmethod
    def _fits(cls, value: str) -> str:
        return checked_template(value, {"command"})

    @field_validator("watchers")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(map(WATCHERS.check, names))
        except UnknownPart as error:
            raise ValueError(str(error)) from None
