"""Render the agent's prompts, sanitizing untrusted text before it is inserted.

Templates come from the configuration. Issue texts, outputs and summaries are only ever template variables.
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
    "refinement": frozenset({"summaries", "others", "diffs", "notes", "role", "started_from"}),
    "format_error": frozenset({"problem", "text_protocol", "guided"}),
    "observation": frozenset({"output", "status", "exit_code", "timeout_s", "omitted", "escaped", "left_running"}),
}


class Templates(Config):
    """The agent's prompts, as Jinja2 templates.

    Attributes:
        system: the system prompt, the same for all rollouts; receives `text_protocol`, `guided` (text that is one JSON
            object) and `command_timeout_s`.
        task: the start of the first user message; receives `instruction`, `workdir`, `limits`, and `test_command` and
            `base`, a `BaseRun`, both of which may be None.
        refinement: follows the task if there are records of earlier rollouts; receives `summaries`, the records, best
            first, `others`, one line for each rollout that was not kept, `diffs`, the folder with the changes, which
            may be empty, `notes` (true if `summaries` are other texts about earlier rollouts), `role`, what to do with
            them, if not the usual, and `started_from`, the attempt whose change is in the tree, which may be empty.
        format_error: sent after a turn without a usable call; receives `problem`, `text_protocol` and `guided`.
        observation: the result of a command; receives `output`, `status`, `exit_code`, `timeout_s`, `left_running`,
            `omitted` (characters) and `escaped` (control tokens).
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
            TemplateFault: the template uses an unknown variable, or does something forbidden.
        """
        return fill(self._templates[name], **variables)

    def first_user_message(self, assignment: Assignment) -> str:
        """Render the task, then any refinement context, so that all rollouts share the longest possible prefix."""
        task = self.render(
            "task",
            instruction=for_model(assignment.instruction),
            workdir=assignment.workdir,
            test_command=assignment.test_command,
            base=_base_for_display(assignment.base),
            limits=assignment.limits,
        )
        if assignment.knowledge:
            task = f"{task}\n\n{for_model(assignment.knowledge)}"
        if not assignment.refinement:
            return task
        records = [for_model(record) for record in assignment.refinement]
        others = [for_model(other) for other in assignment.others]
        more = {"notes": assignment.notes, "role": assignment.role, "started_from": assignment.started_from}
        told = self.render("refinement", summaries=records, others=others, diffs=assignment.diffs, **more)
        return f"{task}\n\n{told}"

    def observation(self, result: ExecResult, *, timeout_s: float, head: int, tail: int) -> str:
        """Render the result of a command for the model.

        Args:
            result: the result.
            timeout_s: the command's timeout in seconds.
            head: characters kept from the beginning of the output.
            tail: characters kept from its end.
        """
        text = result.text()
        shown, omitted = elide(text, head, tail)
        output, escaped = for_model_counted(shown)
        if len(output) > 1.5 * (head + tail):  # binary output: every escaped character takes the place of six
            output, further = elide(output, head, tail)
            omitted += further
        facts: Mapping[str, Any] = {
            "status": result.status,
            "exit_code": result.exit_code,
            "left_running": result.left_running,
            "timeout_s": timeout_s,
        }
        return self.render("observation", output=output, omitted=omitted, escaped=escaped, **facts)


def _base_for_display(base: BaseRun | None) -> BaseRun | None:
    """Sanitize test IDs, which are untrusted because the project chooses them."""
    return base and replace(base, failing=tuple(" ".join(for_model(name).split()) for name in base.failing))
