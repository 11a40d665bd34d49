"""One proposal a turn."""

from agents.choose.base import Choice, Turn
from agents.choose.config import ChooserConfig


class One:
    """Asks once and acts on the reply."""

    def __init__(self, config: ChooserConfig) -> None: ...

    async def choose(self, turn: Turn) -> Choice:
        """See `StepChooser.choose`."""
        return await turn.ask(), ()
