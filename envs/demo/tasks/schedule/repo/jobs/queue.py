"""A priority queue that keeps the order of equals."""

import heapq
import itertools


class JobQueue:
    """Smaller priorities come first; equal ones in the order they were added."""

    def __init__(self):
        self._heap = []
        self._numbers = itertools.count(start=1, step=-1)
        self._cancelled = set()

    def __len__(self):
        return len(self._heap) - len(self._cancelled)

    def add(self, job, priority=0):
        """Return a ticket with which the job can be cancelled."""
        number = next(self._numbers)
        heapq.heappush(self._heap, (priority, number, job))
        return number

    def cancel(self, ticket):
        if any(number == ticket for _, number, _ in self._heap):
            self._cancelled.add(ticket)

    def pop(self):
        """Remove and return the next job; None when there is none."""
        while self._heap:
            _, number, job = heapq.heappop(self._heap)
            if number in self._cancelled:
                self._cancelled.discard(number)
                continue
            return job
        return None
