from jobs.queue import JobQueue
from jobs.scheduler import Scheduler


def nothing():
    pass


def test_many_equals():
    queue = JobQueue()
    for number in range(30):
        queue.add(number, number % 3)
    order = [queue.pop() for _ in range(30)]
    assert order == sorted(range(30), key=lambda number: (number % 3, number))


def test_times_then_priorities():
    scheduler = Scheduler()
    scheduler.at(3, "c", nothing)
    scheduler.at(1, "a", nothing)
    scheduler.at(2, "b", nothing, priority=-1)
    scheduler.at(4, "d", nothing)
    assert scheduler.run_due(3) == ["b", "a", "c"]
    assert scheduler.run_due(4) == ["d"]
    assert scheduler.log == ["b", "a", "c", "d"]
    assert scheduler.next_time is None


def test_cancelling_twice_and_after_the_run():
    queue = JobQueue()
    ticket = queue.add("a")
    queue.cancel(ticket)
    queue.cancel(ticket)
    assert len(queue) == 0
    assert queue.pop() is None
    queue.cancel(ticket)
    assert len(queue) == 0
