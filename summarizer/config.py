"""The summarizer's settings; their values and prompts are in `configs/default.yaml` under `summarizer:`."""

from typing import Literal

from pydantic import Field

from core.record import Config


class SummarizerConfig(Config):
    """How trajectories become summaries.

    Attributes:
        method: `model` asks a model about the trajectory; `conversation` asks the rollout's own model in its own
            conversation, which a server has in its prefix cache, and falls back to `model` where that does not fit or
            heats did not lead the conversation. The others are ablations that ask nobody: the last message, the patch,
            or head and tail of the trajectory in place of a summary.
        when: `read` makes a summary once a judge or a refiner reads it, and none otherwise; `always` makes all.
        max_chars: length of a rendered summary.
        step_chars: characters of one step, on average: what an attempt did gets more of them, what it read gets less.
        least_chars: characters of trajectory in one request, at least, however few steps there are.
        window_chars: characters of trajectory in one request, at most; a longer one is summarised in parts, then
            merged.
        merge_parts: partial summaries merged in one request.
        statement_chars: characters of the task's statement.
        patch_chars: characters of the patch; its tests and documents are counted in words.
        repairs: further attempts after a reply that does not fit the schema.
        temperature: None leaves the server's default.
        max_tokens: of one reply.
        system: Jinja2 template of the rules; gets nothing.
        user: gets `statement`, `trajectory`, `part`, `parts`, `nonce`, `facts` and `patch`; the last two are empty
            where the merge has them.
        merge: gets `statement`, `drafts`, `nonce`, `facts`, `patch`.
        conversation: gets `rules` (`system` as rendered), `facts`, `patch`, and `steps`, the commands by their numbers.
        repair: gets `error`.
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
