"""The summarizer's settings; their values and prompts are in `configs/default.yaml` under `summarizer:`."""

from typing import Literal

from pydantic import Field

from core.record import Config


class SummarizerConfig(Config):
    """How trajectories become summaries.

    Attributes:
        method: `model` asks a model; the others are ablations that ask nobody: the last message, the patch, or head
            and tail of the trajectory in place of a summary.
        max_chars: length of a rendered summary.
        step_chars: characters of one step as shown to the model.
        window_chars: characters of trajectory in one request; a longer one is summarised in parts, then merged.
        merge_parts: partial summaries merged in one request.
        statement_chars: characters of the task's statement.
        patch_chars: characters of the patch.
        repairs: further attempts after a reply that does not fit the schema.
        temperature: None leaves the server's default.
        max_tokens: of one reply.
        system: Jinja2 template of the rules; gets nothing.
        user: gets `statement`, `facts`, `patch`, `trajectory`, `part`, `parts`, `nonce`.
        merge: gets `statement`, `drafts`, `nonce`.
        repair: gets `error`.
    """

    method: Literal["model", "last-message", "patch", "head-tail"]
    max_chars: int = Field(ge=200)
    step_chars: int = Field(ge=200)
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
    repair: str
