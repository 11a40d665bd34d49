"""The terminal agent's settings; their values and prompts are in `configs/default.yaml` under `agent.terminal`."""

from collections.abc import Mapping

from pydantic import Field, ValidationInfo, field_validator

from core.record import Config
from core.text import checked_template

_VARIABLES: Mapping[str, frozenset[str]] = {
    "system": frozenset({"text_protocol", "columns", "rows", "wait_limit_s"}),
    "format_error": frozenset({"problem", "text_protocol", "guided"}),
    "screen": frozenset(
        {"output", "whole", "changed", "lost", "exit_code", "running", "restarted", "omitted", "escaped"}
    ),
    "confirm": frozenset({"screen"}),
}


class TerminalTemplates(Config):
    """Its own prompts; the task's and the refinement's are the bash agent's.

    Attributes:
        system: variables `text_protocol`, `columns`, `rows`, `wait_limit_s`.
        format_error: after a turn that could not be used; `problem`, `text_protocol`, `guided`.
        screen: what typing did; `output`, `whole` (the screen as it is) or `changed` (rows of a full-screen program),
            else what is new on it; `lost` (the history was too short), `exit_code` (of a command that has ended, may be
            None), `running` (the foreground program, empty for the shell), `restarted`, `omitted` (characters),
            `escaped` (control tokens).
        confirm: after the first `submit`; `screen`.
    """

    system: str
    format_error: str
    screen: str
    confirm: str

    @field_validator("*")
    @classmethod
    def _fits(cls, value: str, info: ValidationInfo) -> str:
        return checked_template(value, _VARIABLES[str(info.field_name)])


class TerminalConfig(Config):
    """The terminal, beside what `AgentConfig` says for every agent.

    Attributes:
        columns, rows: size of the screen.
        history: lines that are kept above the screen.
        wait_limit_s: the longest single wait, in seconds.
    """

    columns: int = Field(160, ge=40, le=500)
    rows: int = Field(40, ge=10, le=200)
    history: int = Field(2000, ge=100, le=20000)
    wait_limit_s: float = Field(60.0, gt=0, le=600)
    templates: TerminalTemplates
