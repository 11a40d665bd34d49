"""The tournament's settings. Their values and prompts are in `configs/default.yaml` under `tournament:`."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from core.record import Config
from core.text import checked_template
from tournament.tally import whole_blocks
from tournament.ties import USUAL, TieBreak

_INQUIRY = frozenset({"shown", "labels", "data", "trees", "workdir", "steps", "command_timeout_s"})
_VARIABLES: Mapping[str, frozenset[str]] = {
    "script_system": frozenset({"shown", "output_chars"}),
    "script_user": frozenset({"data", "labels"}),
    "system": _INQUIRY | {"text_protocol", "guided"},
    "user": _INQUIRY | {"text_protocol", "guided"},
    "last": frozenset({"labels", "text_protocol"}),
    "format_error": frozenset({"problem", "text_protocol", "guided", "labels"}),
}


class ProbeConfig(Config):
    """What a judge with the view `probe` may execute.

    Attributes:
        steps: maximum number of replies in one inquiry, the vote included; 0 runs scripts only.
        command_timeout_s: timeout of one command of an inquiry, in seconds.
        script_timeout_s: timeout of one run of a script, in seconds.
        output_chars: characters shown of a script and of each output.
        script_system, script_user: Jinja2 templates of the request for a script; receive what a judge's receive,
            `script_system` also `output_chars`.
        system, user: Jinja2 templates that open an inquiry; receive `shown`, `labels`, `data`, `trees` (folder of the
            trees), `workdir`, `steps`, `command_timeout_s`, `text_protocol` and `guided`.
        last: Jinja2 template sent before the last reply; receives `labels` and `text_protocol`.
        format_error: Jinja2 template sent after a reply without a usable call; receives `problem`, `text_protocol` and
            `guided`.
    """

    steps: int = Field(15, ge=0)
    command_timeout_s: float = Field(120, gt=0)
    script_timeout_s: float = Field(120, gt=0)
    output_chars: int = Field(3000, ge=200)
    script_system: str
    script_user: str
    system: str
    user: str
    last: str
    format_error: str

    @field_validator("script_system", "script_user", "system", "user", "last", "format_error")
    @classmethod
    def _fits(cls, value: str, info: ValidationInfo) -> str:
        return checked_template(value, _VARIABLES[str(info.field_name)])


class JudgeConfig(Config):
    """What a judge is shown and asked.

    Attributes:
        view: what the judge sees of each candidate: `change` is the diff of its source code, `evidence` what was
            executed on it. `probe` shows the same as `summary+change+evidence`, and has code executed where evidence
            leaves candidates equal.
        probe: settings of the view `probe`.
        candidate_chars: characters per candidate; longer text is cut in the middle, equally for all.
        change_chars: characters of the diff within that; the rest is only counted.
        problem_chars: characters of the problem statement.
        strip_comments: remove comments from displayed diffs.
        second_view: repeat every vote with comments if there are any. The choice without comments counts; a differing
            vote is marked `presentation_sensitive`. Up to twice the requests.
        votes_from: `logprobs` replaces V samples by the model's probability for each label, with one request per
            presentation order; `samples` draws V votes; `auto` uses probabilities if the server provides them and the
            model does not reason before it answers, else samples.
        temperature: sampling temperature of all votes.
        max_tokens: maximum tokens of one vote.
        system: Jinja2 template of the rules; receives `shown`, the field names that each candidate has.
        user: Jinja2 template around `data`, the JSON text with problem and candidates, and `labels`.
        choice_first: Jinja2 template appended to `user` when probabilities are requested.
    """

    view: Literal["summary", "trajectory", "patch", "summary+evidence", "summary+change+evidence", "probe"]
    probe: ProbeConfig
    candidate_chars: int = Field(ge=200)
    change_chars: int = Field(6000, ge=200)
    problem_chars: int = Field(ge=200)
    strip_comments: bool
    second_view: bool = False
    votes_from: Literal["auto", "samples", "logprobs"] = "auto"
    temperature: float = Field(ge=0)
    max_tokens: int = Field(gt=0)
    system: str
    user: str
    choice_first: str


class ScoringConfig(Config):
    """Settings of the selectors that judge one candidate at a time: `pointwise`, `verify` and `critic`.

    Attributes:
        samples: scores or verifications per candidate.
        score_system, verify_system, critic_system: Jinja2 templates of the rules.
        user: Jinja2 template; receives `data` and `labels`, like the judge's.
    """

    samples: int = Field(gt=0)
    score_system: str
    verify_system: str
    critic_system: str
    user: str


class AdaptiveConfig(Config):
    """The selector `adaptive`: votes until one candidate leads.

    Attributes:
        margin: votes by which it must lead.
        votes: maximum number of votes per comparison.
    """

    margin: int = Field(ge=1)
    votes: int = Field(ge=1)


class TournamentConfig(Config):
    """How candidates are selected.

    Attributes:
        selector: a name from `tournament.registry.SELECTORS`, or `module:Class` for your own.
        options: settings of the selector, if it declares `Options`.
        group_size: G, candidates compared at once.
        votes: V, votes per comparison; raised to a multiple of G so that every presentation order is equally frequent.
        merge: which candidates enter as one. `source`: those whose patches make the same change to source code,
            regardless of tests, documentation, change logs, comments and formatting; `exact`: those whose patches
            produce the same tree.
        ties: tie-breaks, tried in order. `more-copies`: the change that more candidates made; `earlier-block`: the one
            that got its last vote a block of G votes earlier; `fewer-edits`: the one that changed fewer lines;
            `smaller-patch`: the one with the smaller patch. Remaining ties are decided at random.
        early_stop: `balanced` stops after the block of G votes that makes the winner certain; `never` casts all V.
    """

    selector: str
    options: Mapping[str, Any] = {}
    group_size: int = Field(ge=2)
    votes: int = Field(ge=1)
    merge: Literal["source", "exact"] = "source"
    ties: tuple[TieBreak, ...] = USUAL
    early_stop: Literal["never", "balanced"]
    adaptive: AdaptiveConfig
    judge: JudgeConfig
    scoring: ScoringConfig

    @property
    def full_match(self) -> int:
        """Number of votes in a full match of G candidates."""
        return whole_blocks(self.votes, self.group_size)

    @field_validator("early_stop", mode="before")
    @classmethod
    def _no_lean(cls, value: Any) -> Any:
        if value == "lean":
            raise ValueError("`lean` could stop before every order was shown equally often: use `balanced`")
        return value

    @field_validator("ties", mode="before")
    @classmethod
    def _no_single_order(cls, value: Any) -> Any:
        if isinstance(value, list | tuple) and "earlier-vote" in value:
            raise ValueError("`earlier-vote` lets one order decide a tie: use `earlier-block`")
        return value
