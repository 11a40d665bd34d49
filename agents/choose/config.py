"""Settings of step choosers. Their prompts are in `configs/default.yaml` under `agent.chooser:`."""

from collections.abc import Mapping
from typing import Any

from pydantic import field_validator

from core.errors import UnknownPart
from core.record import Config
from core.registry import Registry
from core.text import checked_template

CHOOSERS = Registry(
    "step chooser",
    {
        "one": "agents.choose.one:One",
        "propose": "agents.choose.propose:Propose",
        "speculate": "agents.choose.speculate:Speculate",
    },
)


class ChooserConfig(Config):
    """Which of several proposed turns an agent acts on.

    Attributes:
        name: `one` asks once; `propose` asks several times at turns that edit or submit, and a judge picks; `speculate`
            lets `draft_model` write and the rollout's model score; or `module:Class`.
        options: the chooser's own settings: see "Settings of each step chooser" in docs/keys.md.
        judge: Jinja2 template of the judge's question; receives `nonce` and `proposals`.
        score: Jinja2 template of the scorer's question; receives `nonce` and `proposal`.
    """

    name: str = "one"
    options: Mapping[str, Any] = {}
    judge: str = ""
    score: str = ""

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return CHOOSERS.check(value)
        except UnknownPart as error:
            raise ValueError(str(error)) from None

    @field_validator("judge", "score")
    @classmethod
    def _fits(cls, value: str, info: Any) -> str:
        return checked_template(value, {"nonce", "proposals" if info.field_name == "judge" else "proposal"})
