"""The structured summary of one rollout: what judges and refiners read in place of the trajectory.

`SummaryDraft` is what the model writes, constrained by its JSON schema. `Summary` adds `Facts`, which the harness
takes from the trajectory and the patch, and a mark on every claim that the trajectory does not support.
Source: the summary's role is that of S_i in arXiv:2604.16529; the fields are ours.
"""

from typing import Any, Literal

from pydantic import Field

from core.record import Record

SCHEMA_VERSION: Literal[1] = 1


class Hypothesis(Record):
    """An explanation that the attempt considered, and what became of it."""

    text: str = Field(max_length=600)
    fate: Literal["confirmed", "refuted", "open"]


class Claim(Record):
    """Something the attempt ran and what it says came out. `step_id` points into the trajectory."""

    command: str = Field(max_length=600)
    outcome: Literal["passed", "failed", "other"]
    finding: str = Field(max_length=600)
    step_id: int


class SummaryDraft(Record):
    """What the model is asked to write about one trajectory."""

    problem: str = Field(max_length=1200, description="what the attempt took the problem to be")
    hypotheses: tuple[Hypothesis, ...] = Field((), max_length=12)
    decisions: tuple[str, ...] = Field((), max_length=12, description="key decisions and their reasons")
    progress: str = Field("", max_length=1200, description="what was achieved, naming files and functions")
    evidence: tuple[Claim, ...] = Field((), max_length=16, description="commands run and what came out")
    failure_modes: tuple[str, ...] = Field((), max_length=12, description="what went wrong or was tried in vain")
    end_state: str = Field("", max_length=1200, description="state of the tree at the end")
    doubts: tuple[str, ...] = Field((), max_length=12, description="what is still unsure")


class CheckedClaim(Claim):
    """A claim with the harness's finding: does the step exist, and did its command end as claimed?"""

    supported: bool
    note: str = ""


class Facts(Record):
    """Filled by the harness, never by a model."""

    exit: str
    steps: int
    files: tuple[str, ...] = ()
    lines_added: int = 0
    lines_removed: int = 0
    patch_sha256: str = ""
    """Of the stored bytes; empty when there is no patch."""


class Summary(Record):
    """One rollout, compressed. `render()` in `summarizer/render.py` turns it into the text that is read."""

    schema_version: Literal[1] = SCHEMA_VERSION
    rollout_id: str
    problem: str
    hypotheses: tuple[Hypothesis, ...] = ()
    decisions: tuple[str, ...] = ()
    progress: str = ""
    evidence: tuple[CheckedClaim, ...] = ()
    failure_modes: tuple[str, ...] = ()
    end_state: str = ""
    doubts: tuple[str, ...] = ()
    facts: Facts
    source: Literal["model", "harness"] = "model"
    """`harness` when no model summary could be had and one was made from the facts alone."""


def draft_schema() -> dict[str, Any]:
    """JSON schema of `SummaryDraft`: self-contained, closed, every field required, as servers want it."""
    schema = SummaryDraft.model_json_schema()
    for part in (schema, *schema["$defs"].values()):
        part["required"] = list(part["properties"])
        for field in part["properties"].values():
            field.pop("default", None)
    return schema
