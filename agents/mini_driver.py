"""Run mini-swe-agent's own loop, in the interpreter of its environment, which does not have heats installed.

Its model and its environment are proxies for heats: each request is a JSON line on standard output, and each answer a
JSON line on standard input. Loop, prompts and submission are mini-swe-agent's, while replies come from heats' client
and ledger, and commands run in heats' sandbox.
"""

import json
import os
import sys
import time
import traceback
from importlib import import_module
from types import SimpleNamespace
from typing import Any


class LineProtocol:
    """The line protocol: requests out, answers in."""

    def __init__(self) -> None:
        # Anything that a library prints must stay out of the protocol.
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def tell(self, **message: Any) -> None:
        """Send a message that needs no answer."""
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()

    def ask(self, **message: Any) -> dict[str, Any]:
        """Send a message and wait for the answer."""
        self.tell(**message)
        return self.hear()

    def hear(self) -> dict[str, Any]:
        """Read the next line; exits the process at end of input."""
        line = sys.stdin.readline()
        if not line:
            os._exit(1)
        heard: dict[str, Any] = json.loads(line)
        return heard


class Model:
    """mini-swe-agent's `Model`, backed by heats."""

    def __init__(self, line: LineProtocol, name: str, config: dict[str, Any]) -> None:
        self._line = line
        self._calls = import_module("minisweagent.models.utils.actions_toolcall")
        self._exceptions = import_module("minisweagent.exceptions")
        known = {key: config[key] for key in ("observation_template", "format_error_template") if key in config}
        default = "<returncode>{{output.returncode}}</returncode>\n<output>\n{{output.output}}</output>"
        templates = {"observation_template": default, "format_error_template": "{{ error }}", **known}
        self.config = SimpleNamespace(model_name=name, **templates)

    def query(self, messages: list[dict[str, Any]], **_: Any) -> dict[str, Any]:
        """Request one reply and parse the commands in it."""
        sent = [{key: value for key, value in one.items() if key != "extra"} for one in messages]
        answer = self._line.ask(ask="reply", messages=sent, tool=self._calls.BASH_TOOL["function"])
        if "ended" in answer:
            extra = {"exit_status": answer["ended"], "submission": ""}
            raise self._exceptions.LimitsExceeded({"role": "exit", "content": answer["ended"], "extra": extra})
        message: dict[str, Any] = answer["message"]
        extra = {"response": {"usage": answer["usage"]}, "cost": answer["cost"], "timestamp": time.time()}
        calls = [
            SimpleNamespace(id=call["id"], function=SimpleNamespace(**call["function"]))
            for call in message.get("tool_calls") or ()
        ]
        try:
            actions = self._calls.parse_toolcall_actions(
                calls,
                format_error_template=self.config.format_error_template,
                template_kwargs={"finish_reason": answer["finish_reason"]},
            )
        except self._exceptions.FormatError as error:
            error.messages[0]["extra"].update(extra)
            raise
        return {**message, "extra": {"actions": actions, **extra}}

    def format_message(self, **fields: Any) -> dict[str, Any]:
        """Return the fields as a message."""
        return fields

    def format_observation_messages(
        self, message: dict[str, Any], outputs: list[dict[str, Any]], template_vars: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Format the results of commands as tool messages.

        Args:
            message: the assistant message that contained the commands.
            outputs: one result per command.
            template_vars: additional variables for the template.
        """
        shown: list[dict[str, Any]] = self._calls.format_toolcall_observation_messages(
            actions=message.get("extra", {}).get("actions", []),
            outputs=outputs,
            observation_template=self.config.observation_template,
            template_vars=template_vars,
        )
        return shown

    def get_template_vars(self, **_: Any) -> dict[str, Any]:
        """Variables for prompts."""
        return vars(self.config)

    def serialize(self) -> dict[str, Any]:
        """Settings to store in the trajectory."""
        return {"info": {"config": {"model": vars(self.config), "model_type": "heats"}}}


class Environment:
    """mini-swe-agent's `Environment`, backed by heats."""

    def __init__(self, line: LineProtocol, config: dict[str, Any], place: dict[str, Any]) -> None:
        self._line, self._place = line, place
        self._exceptions = import_module("minisweagent.exceptions")
        self.config = SimpleNamespace(cwd=place["cwd"], env=config.get("env") or {}, timeout=place["timeout"])

    def execute(self, action: dict[str, Any], cwd: str = "") -> dict[str, Any]:
        """Run one command in the sandbox."""
        command = action.get("command", "")
        output = self._line.ask(ask="run", command=command, cwd=cwd, env=self.config.env)
        first, _, rest = output["output"].lstrip().partition("\n")
        if first.strip() == "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT" and output["returncode"] == 0:
            extra = {"exit_status": "Submitted", "submission": rest}
            raise self._exceptions.Submitted({"role": "exit", "content": rest, "extra": extra})
        return output

    def get_template_vars(self, **_: Any) -> dict[str, Any]:
        """Variables for prompts, which describe the machine."""
        return {**self._place, "env": self.config.env}

    def serialize(self) -> dict[str, Any]:
        """Settings to store in the trajectory."""
        return {"info": {"config": {"environment": vars(self.config), "environment_type": "heats"}}}


def main() -> None:
    """Read the order, run the loop, and report how it ended."""
    line = LineProtocol()
    order = line.hear()
    try:
        play(line, order)
    except Exception:
        line.tell(ask="crashed", error=traceback.format_exc()[-2000:])
    else:
        line.tell(ask="ended")


def play(line: LineProtocol, order: dict[str, Any]) -> None:
    """Run mini-swe-agent's loop once."""
    config = import_module("minisweagent.config").get_config_from_spec(order["config"])
    default = import_module("minisweagent.agents.default")

    class Agent(default.DefaultAgent):  # type: ignore[misc, name-defined]
        """Reports every step to heats instead of saving it to a file."""

        def save(self, path: Any, *more: dict[str, Any]) -> dict[str, Any]:
            document: dict[str, Any] = self.serialize(*more)
            line.tell(ask="saved", document=document)
            return document

    fields = set(default.AgentConfig.model_fields)
    settings = {key: value for key, value in (config.get("agent") or {}).items() if key in fields}
    settings |= {"step_limit": order["step_limit"], "cost_limit": 0.0, "output_path": None}
    model = Model(line, order["model"], config.get("model") or {})
    Agent(model, Environment(line, config.get("environment") or {}, order["place"]), **settings).run(order["task"])


if __name__ == "__main__":
    main()
