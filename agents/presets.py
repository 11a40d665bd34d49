"""Agents that people use, by name: how each is installed, started, and led to the gateway.

They are packages from npm and PyPI, kept once on this machine (`kit.py`) and mounted read-only into every sandbox, so
that images need neither them nor a network. Each gets a settings folder of its own, outside the project.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal

from agents.command import CommandAgent
from agents.config import AgentConfig
from agents.errors import AgentUnusable
from agents.kit import Recipe, hold, kits_directory, place_of, provide
from agents.kit_npm import NODE, NODE_VERSION, NpmRecipe, cpu
from agents.kit_python import PYTHON, PythonRecipe

KIT = "/opt/heats/agent"
"""Where a sandbox sees the agent's files."""
# Isolated: Python must not take the project's modules, nor its settings, for the agent's.
_PYTHON = f"{{kit}}/{PYTHON} -I -B -X utf8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One agent; texts have the placeholders of `CommandAgent`.

    Attributes:
        package: its package, on npm or PyPI.
        version: the version that was tried.
        program: how it is started; with `--version` it prints its version.
        command: its arguments; it reads the task from standard input unless they name `{instruction}`.
        runtime: what it brings along to run on: `node`, `python`, or nothing, if it is a program itself.
        pythons: versions of Python with which it works, the best first.
        env: its environment.
        settings: path of its settings file, in the rollout's own folder.
        given: contents of that file, unless the user has one; `files` are there in any case.
    """

    package: str
    version: str
    program: str
    command: str
    settings: str
    runtime: Literal["", "node", "python"] = ""
    pythons: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    given: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


PRESETS: Mapping[str, Preset] = {
    "qwen-code": Preset(
        package="@qwen-code/qwen-code",
        version="0.24.4",
        runtime="node",
        program=f"{{kit}}/{NODE} {{kit}}/node_modules/@qwen-code/qwen-code/cli-entry.js",
        command="--yolo --auth-type openai --model {model} --chat-recording=false --prompt ''",
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
        program="{kit}/node_modules/@openai/codex-linux-*/vendor/*/bin/codex",
        command="exec --skip-git-repo-check --ephemeral "
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
        program="{kit}/node_modules/@anthropic-ai/claude-code-linux-{cpu}/claude",
        command="--print --permission-mode bypassPermissions --no-session-persistence "
        "--settings {folder}/claude/settings.json --model {model}",
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
        runtime="node",
        program=f"{{kit}}/{NODE} {{kit}}/node_modules/@google/gemini-cli/bundle/gemini.js",
        command="--yolo --skip-trust --model {model} --prompt ''",
        env={"GEMINI_CLI_HOME": "{folder}/gemini", "GEMINI_CLI_NO_RELAUNCH": "1", "GEMINI_SANDBOX": "false"},
        settings="gemini/.gemini/settings.json",
        given='{"privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false}, '
        '"general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false}, '
        '"security": {"auth": {"selectedType": "gemini-api-key"}}}\n',
    ),
    "opencode": Preset(
        package="opencode-ai",
        version="1.18.33",
        program="{kit}/node_modules/opencode-linux-{cpu}/bin/opencode",
        command="run --auto --pure --model heats/model",
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
    "aider": Preset(
        package="aider-chat",
        version="0.86.2",
        runtime="python",
        pythons=("3.12", "3.11"),
        # Its cache of the repository's names would lie in the project.
        program=f"{_PYTHON} -c 'import sys; from aider.repomap import RepoMap; "
        "RepoMap.TAGS_CACHE_DIR = sys.argv.pop(1); from aider.main import main; sys.exit(main())' {folder}/aider/names",
        command="--config {folder}/aider/aider.conf.yml --model openai/{model} --weak-model openai/{model} "
        "--message-file {instruction} --test-cmd {test} --auto-test "
        "--yes-always --no-auto-commits --no-dirty-commits --no-gitignore --no-pretty --no-fancy-input --no-analytics "
        "--no-check-update --no-show-release-notes --no-show-model-warnings --no-detect-urls --disable-playwright "
        "--model-metadata-file {folder}/aider/models.json --input-history-file {folder}/aider/input "
        "--chat-history-file {folder}/aider/chat.md --env-file {folder}/aider/env",
        env={"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        settings="aider/aider.conf.yml",
        given="edit-format: diff\n",
        files={
            "aider/models.json": '{"openai/{model}": {"litellm_provider": "openai", "mode": "chat", '
            '"max_input_tokens": {context}, "max_output_tokens": {reply}, "max_tokens": {reply}}}\n'
        },
    ),
    "openhands": Preset(
        package="openhands",
        version="1.16.0",
        runtime="python",
        pythons=("3.12",),
        program=f"{_PYTHON} -m openhands_cli.entrypoint",
        command="--headless --always-approve --override-with-envs --file {instruction}",
        env={
            "LLM_API_KEY": "{key}",
            "LLM_BASE_URL": "{base_url}",
            "LLM_MODEL": "openai/{model}",
            "OPENHANDS_PERSISTENCE_DIR": "{folder}/openhands",
            "PERSISTENCE_DIR": "{folder}/openhands",
            "OPENHANDS_SUPPRESS_BANNER": "1",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "DO_NOT_TRACK": "1",
        },
        settings="openhands/cli_config.json",
        given="{}\n",
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
        self._program = self.preset.program.replace("{cpu}", cpu())
        self.command = " ".join([self._program, self.preset.command, *map(shlex.quote, config.installed.arguments)])
        self.env = self.preset.env
        self.files = {**self.preset.files, self.preset.settings: self._settings()}
        self.node = f"{KIT}/{NODE}" if self.preset.runtime == "node" else ""
        self.python = f"{KIT}/{PYTHON}" if self.preset.runtime == "python" else ""
        self._held = False

    @property
    def version(self) -> str:
        """The version that is used."""
        return self._own.version or self.preset.version

    @property
    def version_command(self) -> str:
        """What prints the agent's version in a sandbox, if it can run there."""
        return f"{self._program} --version".replace("{kit}", KIT).replace("{folder}", "/tmp/heats-version")  # noqa: S108

    @property
    def recipe(self) -> Recipe:
        """How the agent is installed."""
        preset, given = self.preset, self._own
        if preset.runtime == "python":
            tried = self.version == preset.version
            packages = _pins(self.name) if tried else (f"{preset.package}=={self.version}",)
            return PythonRecipe(packages, preset.pythons, pinned=tried, python=given.python)
        node = [f"node-linux-{cpu()}@{NODE_VERSION}"] if preset.runtime == "node" else []
        return NpmRecipe((f"{preset.package}@{self.version}", *node))

    @property
    def place(self) -> Path:
        """The folder in which the agent is kept, whether or not it is installed."""
        return place_of(kits_directory(self._own.directory), self.name, self.recipe)

    async def mounts(self) -> Mapping[str, str]:
        """Install the agent unless it is here already; see `BringsFiles`.

        Raises:
            AgentUnusable: it cannot be installed.
        """
        kit = await provide(self.place.parent, self.name, self.recipe)
        if not self._held:
            await hold(kit, self)
            self._held = True
            await provide(self.place.parent, self.name, self.recipe)  # in case it was removed before it was held
        return {str(kit): KIT}

    def _settings(self) -> str:
        path = self._own.settings
        if path is None:
            return self.preset.given
        try:
            return Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise AgentUnusable(f"agent.installed.settings: {path} cannot be read: {error}") from error


def _pins(name: str) -> tuple[str, ...]:
    """The packages of an agent's tried version, from the time when it was tried."""
    listed = resources.files("agents").joinpath("pins", f"{name}.txt").read_text(encoding="utf-8")
    return tuple(listed.split())
