from jobs.queue import JobQueue
from jobs.scheduler import Scheduler


def nothing():
    pass


def test_smaller_priority_first():
    queue = JobQueue()
    queue.add("late", 9)
    queue.add("early", 1)
    assert queue.pop() == "early"


def test_equals_keep_their_order():
    queue = JobQueue()
    for job in "abc":
        queue.add(job, 5)
    assert [queue.pop() for _ in "abc"] == ["a", "b", "c"]


def test_cancelled_jobs_are_skipped():
    queue = JobQueue()
    ticket = queue.add("a", 0)
    queue.add("b", 1)
    queue.cancel(ticket)
    assert len(queue) == 1
    assert queue.pop() == "b"


def test_due_exactly_now():
    scheduler = Scheduler()
    scheduler.at(5, "x", nothing)
    assert scheduler.run_due(5) == ["x"]


def test_not_before_its_time():
    scheduler = Scheduler()
    scheduler.at(5, "x", nothing)
    assert scheduler.run_due(4) == []
    assert scheduler.next_time == 5


def test_empty():
    assert JobQueue().pop() is None
    assert Scheduler().next_time is None
