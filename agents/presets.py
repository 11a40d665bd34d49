"""Agents that people use, by name: how each is installed, started, and led to the gateway.

They are npm packages, kept once on this machine (`kit.py`) and mounted read-only into every sandbox, so that images
need neither them nor a network. Each gets a settings folder of its own, outside the project.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agents.command import CommandAgent
from agents.config import AgentConfig
from agents.errors import AgentUnusable
from agents.kit import NODE, NODE_VERSION, cpu, provide
from sandbox.config import cache_directory

KIT = "/opt/heats/agent"
"""Where a sandbox sees the agent's files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One agent; texts have the placeholders of `CommandAgent`.

    Attributes:
        package: its npm package.
        version: the version that was tried.
        command: its command line, which reads the task from standard input.
        needs_node: whether it is a Node.js program.
        env: its environment.
        settings: path of its settings file, in the rollout's own folder.
        given: contents of that file, unless the user has one; `files` are there in any case.
    """

    package: str
    version: str
    command: str
    settings: str
    needs_node: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    given: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


PRESETS: Mapping[str, Preset] = {
    "qwen-code": Preset(
        package="@qwen-code/qwen-code",
        version="0.24.4",
        needs_node=True,
        command=f"{{kit}}/{NODE} {{kit}}/node_modules/@qwen-code/qwen-code/cli-entry.js --yolo --auth-type openai "
        "--model {model} --chat-recording=false --prompt ''",
        env={
            "QWEN_HOME": "{folder}/qwen",
            "QWEN_RUNTIME_DIR": "{folder}/qwen",
            "QWEN_CODE_NO_RELAUNCH": "1",
            "QWEN_CODE_DISABLE_UPDATE_CHECK": "1",
        },
        settings="qwen/settings.json",
        given='{"privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false}, '
        '"general": {"enableAutoUpdate": false}, "model": {"generationConfig": {"contextWindowSize": {context}}}}\n',
    ),
    "codex": Preset(
        package="@openai/codex",
        version="0.171.0",
        command="{kit}/node_modules/@openai/codex-linux-*/vendor/*/bin/codex exec --skip-git-repo-check --ephemeral "
        "--color never --dangerously-bypass-approvals-and-sandbox --model {model} -c model_provider=heats "
        "-c model_context_window={context} "
        "-c model_providers.heats.name=heats -c model_providers.heats.base_url={base_url} "
        "-c model_providers.heats.env_key=HEATS_API_KEY -c model_providers.heats.wire_api=responses -",
        env={"CODEX_HOME": "{folder}/codex"},
        settings="codex/config.toml",
        given='web_search = "disabled"\ncheck_for_update_on_startup = false\n[analytics]\nenabled = false\n',
    ),
    "claude-code": Preset(
        package="@anthropic-ai/claude-code",
        version="2.1.332",
        command="{kit}/node_modules/@anthropic-ai/claude-code-linux-{cpu}/claude --print "
        "--permission-mode bypassPermissions --no-session-persistence --settings {folder}/claude/settings.json "
        "--model {model}",
        env={
            "CLAUDE_CONFIG_DIR": "{folder}/claude",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
            "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "{context}",
            "ANTHROPIC_SMALL_FAST_MODEL": "{model}",
            "DISABLE_AUTOUPDATER": "1",
            # It refuses to work without questions as root anywhere but in a sandbox.
            "IS_SANDBOX": "1",
        },
        settings="claude/settings.json",
        given="{}\n",
    ),
    "gemini-cli": Preset(
        package="@google/gemini-cli",
        version="0.61.0",
        needs_node=True,
        command=f"{{kit}}/{NODE} {{kit}}/node_modules/@google/gemini-cli/bundle/gemini.js --yolo --skip-trust "
        "--model {model} --prompt ''",
        env={"GEMINI_CLI_HOME": "{folder}/gemini", "GEMINI_CLI_NO_RELAUNCH": "1", "GEMINI_SANDBOX": "false"},
        settings="gemini/.gemini/settings.json",
        given='{"privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false}, '
        '"general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false}, '
        '"security": {"auth": {"selectedType": "gemini-api-key"}}}\n',
    ),
    "opencode": Preset(
        package="opencode-ai",
        version="1.18.33",
        command="{kit}/node_modules/opencode-linux-{cpu}/bin/opencode run --auto --pure --model heats/model",
        env={
            "XDG_CONFIG_HOME": "{folder}/opencode/config",
            "XDG_DATA_HOME": "{folder}/opencode/data",
            "XDG_STATE_HOME": "{folder}/opencode/state",
            "XDG_CACHE_HOME": "{folder}/opencode/cache",
            "OPENCODE_CONFIG": "{folder}/opencode/provider.json",
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        },
        settings="opencode/config/opencode/opencode.json",
        given="{}\n",
        files={
            "opencode/provider.json": '{"autoupdate": false, "share": "disabled", "provider": {"heats": {"npm": '
            '"@ai-sdk/openai-compatible", "name": "heats", "options": {"baseURL": "{base_url}", "apiKey": "{key}"}, '
            '"models": {"model": {"id": "{model}", "name": "model", "tool_call": true, '
            '"limit": {"context": {context}, "output": {reply}}}}}}}\n'
        },
    ),
}


class InstalledAgent(CommandAgent):
    """An agent that heats installs; see `PRESETS`."""

    needs_model = True
    kit = KIT

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self.name = config.name
        self.preset = PRESETS[config.name]
        self._own = config.installed
        command = self.preset.command.replace("{cpu}", cpu())
        self.command = " ".join([command, *map(shlex.quote, config.installed.arguments)])
        self.env = self.preset.env
        self.files = {**self.preset.files, self.preset.settings: self._settings()}
        self.node = f"{KIT}/{NODE}" if self.preset.needs_node else ""

    @property
    def version(self) -> str:
        """The version that is used."""
        return self._own.version or self.preset.version

    async def mounts(self) -> Mapping[str, str]:
        """Install the agent unless it is here already; see `BringsFiles`.

        Raises:
            AgentUnusable: it cannot be installed.
        """
        packages = [f"{self.preset.package}@{self.version}"]
        packages += [f"node-linux-{cpu()}@{NODE_VERSION}"] if self.preset.needs_node else []
        directory = self._own.directory or cache_directory() / "agents"
        return {str(await provide(directory, self.name, packages)): KIT}

    def _settings(self) -> str:
        path = self._own.settings
        if path is None:
            return self.preset.given
        try:
            return Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise AgentUnusable(f"agent.installed.settings: {path} cannot be read: {error}") from error
