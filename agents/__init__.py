"""The policy: agents, the chat models they use, and the trajectories they record.

`base.py` defines what an agent is, `llm/base.py` what a chat model is, and `trajectory.py` what is recorded.
"""

from agents.base import Agent, Assignment, SaveStep
from agents.bash_agent import BashAgent
from agents.config import AgentConfig
from agents.errors import AgentsError
from agents.trajectory import Exit, Observation, Step, Trajectory
from agents.watchers import open_watchers
from core.errors import InvalidOptions
from core.registry import Registry

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
    "open_agent",
]

INSTALLED = ("qwen-code", "codex", "claude-code", "gemini-cli", "opencode", "aider", "openhands")
"""The agents of `agents/presets.py`, which takes long to import."""
AGENTS = Registry(
    "agent",
    {
        "bash": "agents.bash_agent:BashAgent",
        "terminal": "agents.terminal.agent:TerminalAgent",
        "noop": "agents.noop:NoopAgent",
        "mini": "agents.mini_agent:MiniAgent",
        **dict.fromkeys(INSTALLED, "agents.presets:InstalledAgent"),
    },
    also=("command:...",),
)


def open_agent(name: str, config: AgentConfig) -> Agent:
    """Construct the agent with the given short name, `module:Class` or `command:...`.

    Raises:
        UnknownPart: there is no such name, module or class; the message lists the names.
        InvalidOptions: `agent.options` do not match the agent's `Options`, or an option of a watcher is wrong; or there
            are watchers, and the agent is none that can be watched.
    """
    open_watchers(config.watchers, config.watcher_options)
    ours = name.startswith("command:") or name in AGENTS.known
    if config.watchers and ours and name not in ("bash", "terminal"):
        raise InvalidOptions(f"agent.watchers: the agent {name} cannot be watched; bash and terminal can")
    if name.startswith("command:"):
        from agents.command import CommandAgent

        return CommandAgent(config)
    agent: Agent = AGENTS.open(name, config, options=config.options, key="agent.options")
    return agent
