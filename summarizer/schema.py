"""The structured summary of one rollout, which judges and refiners read instead of the trajectory.

A model writes the `SummaryDraft`, constrained by its JSON schema. `Summary` adds `Facts`, which the harness derives
from trajectory and patch, and marks each claim by what the trajectory shows. The docstrings of `Hypothesis`, `Claim`
and `SummaryDraft` are part of that schema, so the model reads them.
Source: the summary plays the role of S_i in arXiv:2604.16529; the fields are our own.
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
    """A claim with the result of checking it.

    Attributes:
        mark: `contradicted` only if the record shows the opposite; `unconfirmed` if it shows neither.
        note: the reason, unless it is confirmed.
    """

    mark: Mark
    note: str = ""


class Facts(Record):
    """Facts filled in by the harness, never by a model."""

    exit: str
    steps: int
    files: tuple[str, ...] = ()
    lines_added: int = 0
    lines_removed: int = 0
    patch_sha256: str = ""
    """Digest of the stored bytes; empty if there is no patch."""


class Summary(Record):
    """One rollout, compressed. `summarizer.render.render` turns it into text."""

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
    """`harness` if no model summary was available and this was built from facts alone."""

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("schema_version") == 1:
            return _upgraded(data)
        return data


def _upgraded(data: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a summary of schema version 1.

    Its claims did not name the tree and its marks were often wrong about true claims, so none counts as contradicted.
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
    """JSON schema of `SummaryDraft` in the form servers require: self-contained, closed, with all fields required."""
    schema = SummaryDraft.model_json_schema()
    for part in (schema, *schema["$defs"].values()):
        part["required"] = list(part["properties"])
        for field in part["properties"].values():
            field.pop("default", None)
    return schema
