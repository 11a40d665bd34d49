"""The structured summary of one rollout: what judges and refiners read in place of the trajectory.

`SummaryDraft` is what the model writes, constrained by its JSON schema. `Summary` adds `Facts`, which the harness
takes from the trajectory and the patch, and a mark on every claim that says what the trajectory makes of it.
Source: the summary's role is that of S_i in arXiv:2604.16529; the fields are ours.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from core.record import Record

SCHEMA_VERSION: Literal[2] = 2

ClaimedOutcome = Literal["reproduces", "passes", "regresses", "other"]
ClaimedTree = Literal["base", "changed", "other"]
Mark = Literal["confirmed", "contradicted", "unconfirmed"]


class Hypothesis(Record):
    """An explanation that the attempt considered, and what became of it."""

    text: str = Field(max_length=600)
    fate: Literal["confirmed", "refuted", "open"]


class Claim(Record):
    """Something the attempt ran and what it says came out.

    Attributes:
        step_id: the step that ran it.
        tree: the state of the tree it ran on: `base` without the attempt's change, `changed` with it.
        outcome: `reproduces` the problem, `passes`, `regresses` (something that worked before fails), or `other`.
    """

    command: str = Field(max_length=600)
    step_id: int
    tree: ClaimedTree
    outcome: ClaimedOutcome
    finding: str = Field(max_length=600)


class SummaryDraft(Record):
    """What the model is asked to write about one trajectory."""

    problem: str = Field(max_length=1200, description="what the attempt took the problem to be")
    hypotheses: tuple[Hypothesis, ...] = Field((), max_length=12)
    decisions: tuple[str, ...] = Field((), max_length=12, description="key decisions and their reasons")
    progress: str = Field("", max_length=1200, description="what was achieved, naming files and functions")
    evidence: tuple[Claim, ...] = Field((), max_length=16, description="commands run and what came out")
    end_state: str = Field("", max_length=1200, description="state of the tree at the end")
    doubts: tuple[str, ...] = Field((), max_length=12, description="what failed, was left open or may break")


class CheckedClaim(Claim):
    """A claim and what the record makes of it.

    Attributes:
        mark: `contradicted` only where the record shows the opposite; `unconfirmed` where it shows neither.
        note: why it is not confirmed.
    """

    mark: Mark
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

    schema_version: Literal[2] = SCHEMA_VERSION
    rollout_id: str
    problem: str
    hypotheses: tuple[Hypothesis, ...] = ()
    decisions: tuple[str, ...] = ()
    progress: str = ""
    evidence: tuple[CheckedClaim, ...] = ()
    end_state: str = ""
    doubts: tuple[str, ...] = ()
    facts: Facts
    source: Literal["model", "harness"] = "model"
    """`harness` when no model summary could be had and one was made from the facts alone."""

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("schema_version") == 1:
            return _upgraded(data)
        return data


def _upgraded(data: Mapping[str, Any]) -> dict[str, Any]:
    """A summary of schema version 1 in today's fields.

    Its claims did not name the tree, and its marks were often wrong about true claims: none counts as contradicted.
    """
    kept = {name: value for name, value in data.items() if name != "failure_modes"}
    doubts = (*data.get("failure_modes", ()), *data.get("doubts", ()))
    return {
        **kept,
        "schema_version": SCHEMA_VERSION,
        "doubts": doubts,
        "evidence": [_upgraded_claim(claim) for claim in data.get("evidence", ())],
    }


def _upgraded_claim(claim: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in claim.items() if name not in ("supported", "outcome")}
    failed, passed = claim.get("outcome") == "failed", claim.get("outcome") == "passed"
    return {
        **kept,
        "tree": "other",
        "outcome": "passes" if passed else "other",
        "finding": f"failed: {claim.get('finding', '')}"[:600] if failed else claim.get("finding", ""),
        "mark": "confirmed" if claim.get("supported") else "unconfirmed",
    }


def draft_schema() -> dict[str, Any]:
    """JSON schema of `SummaryDraft`: self-contained, closed, every field required, as servers want it."""
    schema = SummaryDraft.model_json_schema()
    for part in (schema, *schema["$defs"].values()):
        part["required"] = list(part["properties"])
        for field in part["properties"].values():
            field.pop("default", None)
    return schema
