"""The watcher `check-again`: one more look before a submission counts."""

from agents.watchers.base import AtCall, Refuse, Seen, Watcher
from core.record import Config
from core.text import fill


class CheckAgain(Watcher):
    """Refuses the first submission with a request to check it. The second counts.

    Sources: Thinking vs. Doing, arXiv:2506.07976; SPOC, arXiv:2506.06923.
    """

    class Options(Config):
        """Settings.

        Attributes:
            times: number of submissions to refuse.
            text: the request, a template; receives `test_command`, which may be None.
        """

        times: int = 1
        text: str

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def at_submission(self, seen: Seen) -> AtCall:
        """Refuse as often as configured, but never when no turn is left to submit again."""
        if seen.turns_left < 1 or seen.refused_by(self.name) >= self.options.times:
            return None
        return Refuse(fill(self.options.text, test_command=seen.test_command).strip())
