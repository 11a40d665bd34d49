"""The tournament's settings; their values and prompts are in `configs/default.yaml` under `tournament:`."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from core.record import Config
from tournament.tally import whole_blocks
from tournament.ties import USUAL, TieBreak


class JudgeConfig(Config):
    """What a judge is shown and asked.

    Attributes:
        view: what it sees of each candidate: `change` is the diff of its source, `evidence` what was executed on it.
        candidate_chars: characters of one candidate's text; more is cut in the middle, for all the same.
        change_chars: characters of its diff in that; what does not fit is counted in words.
        problem_chars: characters of the problem statement.
        strip_comments: leave comments of diffs out of what is shown.
        second_view: ask for every vote a second time, with comments, where there are any; what is chosen without them
            counts, and a vote that differs is marked as `presentation_sensitive`. Up to twice the requests.
        votes_from: `logprobs` takes the model's probability for each label in place of V samples, by one request for
            each order; `samples` draws V votes; `auto` takes probabilities where the server gives them and the model
            does not think before it answers, else samples.
        temperature: of the votes; the same for all.
        max_tokens: of one vote.
        system: Jinja2 template of the rules; gets `shown`, the names of the fields that each candidate has.
        user: Jinja2 template around `data`, the JSON text with problem and candidates, and `labels`.
        choice_first: Jinja2 template that follows `user` where probabilities are asked for.
    """

    view: Literal["summary", "trajectory", "patch", "summary+evidence", "summary+change+evidence"]
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
    """The selectors that judge one candidate at a time, `pointwise` and `verify`.

    Attributes:
        samples: scores or verifications of one candidate.
        score_system, verify_system: Jinja2 templates of the rules.
        user: Jinja2 template; gets `data` and `labels`, as the judge's does.
    """

    samples: int = Field(gt=0)
    score_system: str
    verify_system: str
    user: str


class AdaptiveConfig(Config):
    """The selector `adaptive`: votes until somebody leads by `margin`, at most `votes` of them."""

    margin: int = Field(ge=1)
    votes: int = Field(ge=1)


class TournamentConfig(Config):
    """How candidates are selected.

    Attributes:
        selector: a name of `tournament.registry.SELECTORS`, or `module:Class` of your own.
        options: settings of a selector of your own, which declares them as `Options`.
        group_size: G, candidates compared at once.
        votes: V, votes of one comparison; raised to a multiple of G, so that every order is shown equally often.
        merge: which candidates enter as one. `source`: those whose patches make the same change to source code,
            whatever they do to tests, documentation, change logs, comments and formatting; `exact`: those whose
            patches make the same tree.
        ties: who wins where votes do not say, the first that does. `more-copies`: whose change more candidates made;
            `earlier-block`: who had its last vote a block of G votes earlier; `fewer-edits`: who changed fewer lines;
            `smaller-patch`: whose patch is smaller. Then a lot.
        early_stop: `balanced` stops after the block of G votes that makes the winner sure; `never` casts all V.
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
        """Votes of a full match of G candidates."""
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
