"""Errors of the agents room.

* AgentsError
  + ModelError                 a chat model call produced no usable reply
    - ModelConfigError         unknown model, rejected key, unknown name at the server: never retried
    - ModelUnavailable         the server was unreachable or kept failing until the deadline
    - ContextOverflow          the request exceeds the model's context: never retried unchanged
    - ModelRefused             the server or model refused to answer
      . RequestRejected        the server answers this request with 400, 415 or 422, but has accepted others
    - ToolsNotTaken            the server supports no tools for this model: agents must use text
    - ReplyInvalid             replies remained unusable after all retries
  + AgentUnusable              the agent is missing or does not work where the task runs
  + TrajectoryFormatError      a file is not a trajectory of the expected format
  + LimitExceeded              a ledger's limit is exhausted (carries scope, kind, limit, used)
"""

from typing import Any

from core.errors import ExpectedError


class AgentsError(ExpectedError):
    """Base class of this room's errors."""


class AgentUnusable(AgentsError):
    """The agent cannot run for this task: its command is not in the image, or its own environment is missing."""


class TrajectoryFormatError(AgentsError):
    """A file is not a trajectory of the expected format; the message says where."""


class ModelError(AgentsError):
    """A chat model call produced no usable reply."""


class ModelConfigError(ModelError):
    """The endpoint rejects requests as configured (model name, key, parameters); retrying cannot help."""


class ModelUnavailable(ModelError):
    """The endpoint was unreachable or kept failing until the call's deadline."""


class ContextOverflow(ModelError):
    """The messages exceed the model's context window.

    Attributes:
        prompt: tokens of the messages, if the server reported or could count them.
        limit: tokens of the context window, likewise.
        reply: tokens reserved for the reply.
    """

    def __init__(self, *args: object, prompt: int | None = None, limit: int | None = None, reply: int = 0) -> None:
        self.prompt, self.limit, self.reply = prompt, limit, reply
        super().__init__(*args)

    @property
    def fitting_share(self) -> float | None:
        """Fraction of the prompt that leaves room for the reply, up to half the window; None without token counts."""
        if not self.prompt or not self.limit:
            return None
        return min(1.0, max(self.limit - self.reply, self.limit // 2) / self.prompt)


class ModelRefused(ModelError):
    """The endpoint or the model refused to answer."""


class RequestRejected(ModelRefused):
    """The server rejects this request as malformed or unsupported, but has answered others."""


class ToolsNotTaken(ModelError):
    """The server supports no tools for this model, which from now on reports that it must be asked in text."""


class ReplyInvalid(ModelError):
    """None of the allowed attempts produced a usable reply.

    Attributes:
        reply: the last `Reply`, if it arrived complete and only violated its schema.
    """

    def __init__(self, *args: object, reply: Any = None) -> None:
        self.reply = reply
        super().__init__(*args)


class LimitExceeded(AgentsError):
    """A limit of a ledger is exhausted.

    Attributes:
        scope: name of the ledger, such as `run` or `rollout heat-0/03`.
        kind: `calls`, `tokens`, `cost` or `time`.
        limit: the limit, in the unit of its kind.
        used: the amount used, in the same unit.
    """

    def __init__(self, scope: str, kind: str, limit: float, used: float) -> None:
        self.scope, self.kind, self.limit, self.used = scope, kind, limit, used
        super().__init__(f"{kind} limit of {scope} reached: {used:g} of {limit:g}")
