"""The terminal agent's settings. Their values and prompts are in `configs/default.yaml` under `agent.terminal`."""

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
    """Prompts specific to the terminal agent; it shares task and refinement with the bash agent.

    Attributes:
        system: the system prompt; receives `text_protocol`, `columns`, `rows` and `wait_limit_s`.
        format_error: sent after an unusable turn; receives `problem`, `text_protocol` and `guided`.
        screen: the result of typing; receives `output`, which is the `whole` screen, the `changed` rows of a
            full-screen program, or else what is new; `lost` (the history was too short), `exit_code` (of a command that
            has ended, or None), `running` (the foreground program, empty for the shell), `restarted`, `omitted`
            (characters) and `escaped` (control tokens).
        confirm: sent after the first `submit`; receives `screen`.
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
    """Settings of the terminal, in addition to those of every agent in `AgentConfig`.

    Attributes:
        columns, rows: size of the screen.
        history: lines kept above the screen.
        wait_limit_s: longest single wait, in seconds.
        templates: prompts of the terminal agent.
    """

    columns: int = Field(160, ge=40, le=500)
    rows: int = Field(40, ge=10, le=200)
    history: int = Field(2000, ge=100, le=20000)
    wait_limit_s: float = Field(60.0, gt=0, le=600)
    templates: TerminalTemplates
