"""The policy: agents, the chat models they ask, and the trajectories they leave.

`base.py` says what an agent is, `llm/base.py` what a chat model is, `trajectory.py` what is recorded.
"""

import importlib
from collections.abc import Mapping

from agents.base import Agent, Assignment, SaveStep
from agents.bash_agent import BashAgent
from agents.config import AgentConfig
from agents.errors import AgentsError, UnknownAgent
from agents.trajectory import Exit, Observation, Step, Trajectory

__all__ = [
    "AGENTS",
    "Agent",
    "AgentConfig",
    "AgentsError",
    "Assignment",
    "BashAgent",
    "Exit",
    "Observation",
    "SaveStep",
    "Step",
    "Trajectory",
    "UnknownAgent",
    "open_agent",
]

AGENTS: Mapping[str, str] = {
    "bash": "agents.bash_agent:BashAgent",
    "terminal": "agents.terminal.agent:TerminalAgent",
    "noop": "agents.noop:NoopAgent",
    "mini": "agents.mini_agent:MiniAgent",
}
"""Agents by short name -> `module:Class`."""


def open_agent(name: str, config: AgentConfig) -> Agent:
    """The agent of a short name or of `module:Class`, made with `config`.

    Raises:
        UnknownAgent: there is no such name, module or class; the message lists the names.
    """
    if name.startswith("command:"):
        from agents.command import CommandAgent

        return CommandAgent(config)
    target = AGENTS.get(name, name)
    module, _, attribute = target.partition(":")
    if not attribute:
        raise UnknownAgent(
            f"unknown agent {name!r}; known: {', '.join(AGENTS)}, command:..., or module:Class for your own"
        )
    try:
        made = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UnknownAgent(f"agent {name!r} cannot be loaded: {error}") from error
    agent: Agent = made(config)
    return agent
