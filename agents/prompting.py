"""What the agent says: templates, and the care with which untrusted text is put into them.

Templates come from the configuration; issue texts, outputs and summaries are only ever their variables.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationInfo, field_validator

from agents.base import Assignment, BaseRun
from core.record import Config
from core.sanitize import for_model, for_model_counted
from core.text import checked_template, elide, fill
from sandbox.base import ExecResult

_VARIABLES: Mapping[str, frozenset[str]] = {
    "system": frozenset({"text_protocol", "guided", "command_timeout_s"}),
    "task": frozenset({"instruction", "workdir", "test_command", "base", "limits"}),
    "refinement": frozenset({"summaries", "others", "diffs"}),
    "format_error": frozenset({"problem", "text_protocol", "guided"}),
    "observation": frozenset({"output", "status", "exit_code", "timeout_s", "omitted", "escaped", "left_running"}),
}


class Templates(Config):
    """The agent's prompts, as Jinja2 templates.

    Attributes:
        system: variables `text_protocol`, `guided` (text that is one JSON object), `command_timeout_s`. The same for
            all rollouts.
        task: the task as the first user message begins; `instruction`, `workdir`, `test_command` and `base`, a
            `BaseRun` (both may be None), `limits`.
        refinement: follows the task when there are records of earlier attempts; `summaries`, the records, best first,
            `others`, a line on each attempt that was not kept, `diffs`, the folder with the changes (may be empty).
        format_error: after a turn without a usable call; `problem`, `text_protocol`, `guided`.
        observation: what a command did; `output`, `status`, `exit_code`, `timeout_s`, `left_running`, `omitted`
            (characters) and `escaped` (control tokens).
    """

    system: str
    task: str
    refinement: str
    format_error: str
    observation: str

    @field_validator("*")
    @classmethod
    def _fits(cls, value: str, info: ValidationInfo) -> str:
        return checked_template(value, _VARIABLES[str(info.field_name)])


class Prompts:
    """Renders templates, such as those of `Templates`, by name."""

    def __init__(self, templates: Iterable[tuple[str, str]]) -> None:
        self._templates = dict(templates)

    def render(self, name: str, **variables: Any) -> str:
        """Fill in one template.

        Raises:
            TemplateFault: the template names a variable that it is not given, or does what it may not.
        """
        return fill(self._templates[name], **variables)

    def first_user_message(self, assignment: Assignment) -> str:
        """The task, then the refinement context, so that rollouts with and without one share the longest prefix."""
        task = self.render(
            "task",
            instruction=for_model(assignment.instruction),
            workdir=assignment.workdir,
            test_command=assignment.test_command,
            base=_base_for_display(assignment.base),
            limits=assignment.limits,
        )
        if not assignment.refinement:
            return task
        records = [for_model(record) for record in assignment.refinement]
        others = [for_model(other) for other in assignment.others]
        return f"{task}\n\n{self.render('refinement', summaries=records, others=others, diffs=assignment.diffs)}"

    def observation(self, result: ExecResult, *, timeout_s: float, head: int, tail: int) -> str:
        """What the model is shown of a command.

        Args:
            timeout_s: the command's.
            head: characters kept of the output's beginning; `tail` of its end.
        """
        text = result.text()
        shown, omitted = elide(text, head, tail)
        output, escaped = for_model_counted(shown)
        facts: Mapping[str, Any] = {
            "status": result.status,
            "exit_code": result.exit_code,
            "left_running": result.left_running,
            "timeout_s": timeout_s,
        }
        return self.render("observation", output=output, omitted=omitted, escaped=escaped, **facts)


def _base_for_display(base: BaseRun | None) -> BaseRun | None:
    """Ids of tests are untrusted: a project names them."""
    return base and replace(base, failing=tuple(" ".join(for_model(name).split()) for name in base.failing))
