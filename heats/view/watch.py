"""Follow a run that may still be running: which of its tasks changed since the last look."""

from dataclasses import dataclass, field

from pydantic import ValidationError

from heats.store.events import RunEvent
from heats.store.store import RunStore
from heats.view.live_model import RunView


@dataclass
class Watcher:
    """Reads the events of a run as they arrive; `view` is the run's state according to them."""

    run: RunStore
    view: RunView = field(default_factory=RunView)
    _offset: int = 0

    def look(self) -> set[str]:
        """Ids of the tasks with events since the last look. A line is read once it is complete."""
        path = self.run.events_path
        if not path.exists() or path.stat().st_size <= self._offset:
            return set()
        with path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        changed = set()
        for line in data[:whole].splitlines():
            try:
                event = RunEvent.model_validate_json(line)
            except ValidationError:
                continue
            self.view.apply(event)
            if event.task is not None:
                changed.add(event.task)
        return changed

    @property
    def over(self) -> bool:
        """Whether the run has ended, according to its events."""
        return bool(self.view.status)
