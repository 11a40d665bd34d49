"""What the agent says: templates, and the care with which untrusted text is put into them.

Templates come from the configuration; issue texts, outputs and summaries are only ever their variables.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import SandboxedEnvironment
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from agents.base import Assignment, BaseRun
from sandbox.base import ExecResult

_CONTROL_TOKENS = re.compile(
    r"<(?=\|[^\s|<>]{1,40}\|>)"
    r"|<(?=｜[^<>｜]{1,40}｜>)"
    r"|<(?=/?(?:think|thinking|tool_call|tool_calls|tool_response|function_call|start_of_turn|end_of_turn|s|eos|bos)>)"
    r"|<(?=/?(?:function|parameter)(?:=[^<>]{0,40})?>)"
    r"|<(?=</?SYS>>)"
    r"|\[(?=/?(?:INST|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS|SYSTEM_PROMPT)\])"
)
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


_VARIABLES: Mapping[str, frozenset[str]] = {
    "system": frozenset({"text_protocol", "command_timeout_s"}),
    "task": frozenset({"instruction", "workdir", "test_command", "base", "limits"}),
    "refinement": frozenset({"summaries", "others", "diffs"}),
    "format_error": frozenset({"problem", "text_protocol"}),
    "observation": frozenset({"output", "status", "exit_code", "timeout_s", "omitted", "escaped", "left_running"}),
}


class TemplateFault(ValueError):
    """A template is broken, or names a variable that it is not given."""


class Templates(BaseModel):
    """The agent's prompts, as Jinja2 templates.

    Attributes:
        system: variables `text_protocol`, `command_timeout_s`. The same for all rollouts.
        task: the task as the first user message begins; `instruction`, `workdir`, `test_command` and `base`, a
            `BaseRun` (both may be None), `limits`.
        refinement: follows the task when there are records of earlier attempts; `summaries`, the records, best first,
            `others`, a line on each attempt that was not kept, `diffs`, the folder with the changes (may be empty).
        format_error: after a turn without a usable call; `problem`, `text_protocol`.
        observation: what a command did; `output`, `status`, `exit_code`, `timeout_s`, `left_running`, `omitted`
            (characters) and `escaped` (control tokens).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str
    task: str
    refinement: str
    format_error: str
    observation: str

    @field_validator("*")
    @classmethod
    def _fits(cls, value: str, info: ValidationInfo) -> str:
        return checked_template(value, _VARIABLES[str(info.field_name)])


def checked_template(text: str, known: Collection[str]) -> str:
    """The template, if it can be read and names only variables that it is given.

    Raises:
        ValueError
    """
    try:
        used = meta.find_undeclared_variables(_environment().parse(text))
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"broken template: {error}") from error
    if not used <= set(known):
        raise ValueError(f"unknown variables {sorted(used - set(known))}; known here: {sorted(known)}")
    return text


def _environment() -> SandboxedEnvironment:
    return SandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # prompts are plain text, not HTML
    )


class Prompts:
    """Renders templates, such as those of `Templates`, by name."""

    def __init__(self, templates: Iterable[tuple[str, str]]) -> None:
        environment = _environment()
        self._templates = {name: environment.from_string(text) for name, text in templates}

    def render(self, name: str, **variables: Any) -> str:
        """One template with its variables, which are not rendered themselves.

        Raises:
            TemplateFault: the template names a variable that it is not given, or does what it may not.
        """
        try:
            return self._templates[name].render(variables)
        except jinja2.TemplateError as error:
            raise TemplateFault(f"template {name!r}: {error}") from error

    def first_user_message(self, assignment: Assignment) -> str:
        """The task, then the refinement context, so that rollouts with and without one share the longest prefix."""
        task = self.render(
            "task",
            instruction=defused(assignment.instruction)[0],
            workdir=assignment.workdir,
            test_command=assignment.test_command,
            base=_base_for_display(assignment.base),
            limits=assignment.limits,
        )
        if not assignment.refinement:
            return task
        records = [defused(record)[0] for record in assignment.refinement]
        others = [defused(other)[0] for other in assignment.others]
        return f"{task}\n\n{self.render('refinement', summaries=records, others=others, diffs=assignment.diffs)}"

    def observation(self, result: ExecResult, *, timeout_s: float, head: int, tail: int) -> str:
        """What the model is shown of a command.

        Args:
            timeout_s: the command's.
            head: characters kept of the output's beginning; `tail` of its end.
        """
        text = result.text()
        shown, omitted = elide(text, head, tail)
        output, escaped = defused(shown)
        facts: Mapping[str, Any] = {
            "status": result.status,
            "exit_code": result.exit_code,
            "left_running": result.left_running,
            "timeout_s": timeout_s,
        }
        return self.render("observation", output=output, omitted=omitted, escaped=escaped, **facts)


def _base_for_display(base: BaseRun | None) -> BaseRun | None:
    """Ids of tests are untrusted: a project names them."""
    return base and replace(base, failing=tuple(" ".join(defused(name)[0].split()) for name in base.failing))


def elide(text: str, head: int, tail: int) -> tuple[str, int]:
    """Keep `head` and `tail` characters, the cut stated in between; also how many were left out."""
    omitted = len(text) - head - tail
    if omitted <= 0:
        return text, 0
    return f"{text[:head]}\n[... {omitted} characters left out ...]\n{text[len(text) - tail :]}", omitted


def defused(text: str) -> tuple[str, int]:
    """Untrusted text made safe to show to a model, and how many of its control tokens were escaped.

    Terminal sequences go, other control characters and lone surrogates become U+FFFD, and whatever a chat template or
    tokenizer could take for structure gets a backslash after its first character.
    """
    sound = _UNPRINTABLE.sub("\ufffd", _TERMINAL.sub("", text))
    return _CONTROL_TOKENS.subn(lambda match: match.group() + "\\", sound)
