"""What can go wrong in the agents room.

* AgentsError
  + ModelError                 a chat model call that did not give a usable reply
    - ModelConfigError         unknown model, rejected key, unknown name at the server: never retried
    - ModelUnavailable         the server could not be reached or kept failing until the deadline
    - ContextOverflow          the request does not fit the model's context: never retried as is
    - ModelRefused             the server or model refused to answer
      . RequestRejected        the server answers 400, 415 or 422 to this request, though it has taken others
    - ToolsNotTaken            the server takes no tools for this model: agents have to ask in text
    - ReplyInvalid             replies stayed unusable after the retries
  + AgentUnusable              an agent that is not there, or does not work, where the task is
  + TrajectoryFormatError      a file is not a trajectory of the format it was read as
  + LimitExceeded              a ledger's limit is used up (carries scope, kind, limit, used)
"""

from typing import Any

from core.errors import ExpectedError


class AgentsError(ExpectedError):
    """Base of this room's errors."""


class AgentUnusable(AgentsError):
    """The agent cannot be run for this task: its command is not in the image, or its own environment is not there."""


class TrajectoryFormatError(AgentsError):
    """A file is not a trajectory of the format it was read as; the message says where."""


class ModelError(AgentsError):
    """A chat model call did not give a usable reply."""


class ModelConfigError(ModelError):
    """The endpoint rejects the request as configured (model name, key, parameters); asking again cannot help."""


class ModelUnavailable(ModelError):
    """The endpoint could not be reached, or kept failing, until the call's deadline."""


class ContextOverflow(ModelError):
    """The messages do not fit the model's context window.

    Attributes:
        prompt: tokens of the messages, where the server said so or was able to count them.
        limit: tokens of the context window, likewise.
        reply: tokens that the reply was to have.
    """

    def __init__(self, *said: object, prompt: int | None = None, limit: int | None = None, reply: int = 0) -> None:
        self.prompt, self.limit, self.reply = prompt, limit, reply
        super().__init__(*said)

    @property
    def fitting_share(self) -> float | None:
        """Part of the prompt that leaves room for the reply, or for half a window of it; None where nobody counted."""
        if not self.prompt or not self.limit:
            return None
        return min(1.0, max(self.limit - self.reply, self.limit // 2) / self.prompt)


class ModelRefused(ModelError):
    """The endpoint or the model refused to answer."""


class RequestRejected(ModelRefused):
    """The server rejects this request as malformed or unsupported; it has answered other requests."""


class ToolsNotTaken(ModelError):
    """The server takes no tools for this model; the model says from now on that it is asked in text."""


class ReplyInvalid(ModelError):
    """No reply of the allowed attempts could be used.

    Attributes:
        reply: the last `Reply`, where one arrived whole and only broke its schema.
    """

    def __init__(self, *said: object, reply: Any = None) -> None:
        self.reply = reply
        super().__init__(*said)


class LimitExceeded(AgentsError):
    """A limit of a ledger is used up.

    Attributes:
        scope: name of the ledger whose limit it is, such as `run` or `rollout heat-0/03`.
        kind: `calls`, `tokens`, `cost` or `time`.
    """

    def __init__(self, scope: str, kind: str, limit: float, used: float) -> None:
        self.scope, self.kind, self.limit, self.used = scope, kind, limit, used
        super().__init__(f"{kind} limit of {scope} reached: {used:g} of {limit:g}")
