"""Jobs at their times."""

from jobs.queue import JobQueue


class Scheduler:
    def __init__(self):
        self._waiting = []
        self._ready = JobQueue()
        self.log = []

    def at(self, when, name, action, priority=0):
        self._waiting.append((when, priority, name, action))

    def run_due(self, now):
        """Run everything whose time has come; returns the names in the order they ran."""
        due = [entry for entry in self._waiting if entry[0] < now]
        self._waiting = [entry for entry in self._waiting if entry not in due]
        for _, priority, name, action in sorted(due, key=lambda entry: entry[0]):
            self._ready.add((name, action), priority)
        ran = []
        while len(self._ready):
            name, action = self._ready.pop()
            action()
            ran.append(name)
        self.log += ran
        return ran

    @property
    def next_time(self):
        """When the next job is due; None when nothing waits."""
        return min((when for when, *_ in self._waiting), default=None)
