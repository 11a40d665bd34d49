"""Settings of the agents."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from agents.prompting import Templates
from agents.terminal.config import TerminalConfig
from core.record import Config


class CommandConfig(Config):
    """Of a command-line agent in the sandbox's image, `command:...`.

    Attributes:
        time_limit_s: seconds that the command may take.
        trajectory: file in the sandbox that the command writes its trajectory to (ATIF, mini-swe-agent); without it
            what the command prints is the record. `{trajectory}` in the command has heats choose the file.
        base_url: the model's server as the sandbox reaches it; the model's own without it.
        forward_env: names of variables of heats' environment that the command gets, keys among them. What is
            forwarded is no secret any more for whatever runs in the sandbox.
    """

    time_limit_s: float = Field(3600.0, gt=0)
    trajectory: str | None = None
    base_url: str | None = None
    forward_env: tuple[str, ...] = ()


class MiniConfig(Config):
    """Of mini-swe-agent, `mini`: installed with heats (`heats[mini]`) or in an environment of its own.

    Attributes:
        python: interpreter of the environment it is in; else heats' own where it is there, else that of `mini` on PATH.
        config: its configuration: a file of its own (`mini.yaml`, `benchmarks/swebench.yaml`) or a path.
    """

    python: Path | None = None
    config: str = "mini.yaml"


class AgentConfig(Config):
    """The settings of all agents; each reads what concerns it.

    Attributes:
        name: which agent; see `agents.open_agent`.
        step_limit: model turns.
        command_timeout_s: seconds per command that names no limit of its own; `longest_command_s` is the most that a
            command may name.
        observation_head: characters kept of an output's beginning; `observation_tail` of its end.
        max_format_errors: turns in a row without a usable call that end the attempt. After the second, the server is
            asked to allow nothing but calls.
        force_calls: it is asked so from the first turn on (`tool_choice: required`, or guided JSON in text).
        terminal: of the terminal agent.
        text_protocol: text in place of tool calls, for every model; a model can ask for it itself.
        command: of agents that are a command in the sandbox.
        mini: of mini-swe-agent.
        options: settings of an agent of your own, which declares them as `Options`.
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
    terminal: TerminalConfig | None = None
    command: CommandConfig = CommandConfig()
    mini: MiniConfig = MiniConfig()
    options: Mapping[str, Any] = {}
