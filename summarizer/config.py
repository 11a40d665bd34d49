"""The summarizer's settings. Their values and prompts are in `configs/default.yaml` under `summarizer:`."""

from typing import Literal

from pydantic import Field

from core.record import Config


class SummarizerConfig(Config):
    """How trajectories become summaries.

    Attributes:
        method: `model` asks a model about the trajectory. `conversation` continues the rollout's own conversation,
            which the server has in its prefix cache, and falls back to `model` if it does not fit or heats did not
            conduct it. The others are ablations without a model: the last message, the patch, or head and tail of the
            trajectory in place of a summary.
        when: `read` summarizes only rollouts that a judge or refiner reads; `always` summarizes all.
        max_chars: length of a rendered summary.
        step_chars: average characters per step; actions get more of them, output that was merely read gets fewer.
        least_chars: minimum characters of trajectory in one request, regardless of the number of steps.
        window_chars: maximum characters of trajectory in one request; a longer one is summarized in parts and merged.
        merge_parts: partial summaries merged in one request.
        statement_chars: characters of the task's statement.
        patch_chars: characters of the patch; its tests and documentation are only counted.
        repairs: additional attempts after a reply that does not match the schema.
        temperature: None leaves the server's default.
        max_tokens: maximum tokens of one reply.
        system: Jinja2 template of the rules, without variables.
        user: Jinja2 template; receives `statement`, `trajectory`, `part`, `parts`, `nonce`, `facts` and `patch`. The
            last two are empty if they belong to the merge request.
        merge: Jinja2 template; receives `statement`, `drafts`, `nonce`, `facts` and `patch`.
        conversation: Jinja2 template; receives `rules` (`system` as rendered), `facts`, `patch`, and `steps`, the
            numbered commands.
        repair: Jinja2 template; receives `error`.
    """

    method: Literal["model", "conversation", "last-message", "patch", "head-tail"]
    when: Literal["read", "always"] = "read"
    max_chars: int = Field(ge=200)
    step_chars: int = Field(ge=100)
    least_chars: int = Field(4000, ge=1000)
    window_chars: int = Field(ge=1000)
    merge_parts: int = Field(ge=2)
    statement_chars: int = Field(ge=200)
    patch_chars: int = Field(ge=200)
    repairs: int = Field(ge=0)
    temperature: float | None = Field(ge=0)
    max_tokens: int = Field(gt=0)
    system: str
    user: str
    merge: str
    conversation: str
    repair: str
