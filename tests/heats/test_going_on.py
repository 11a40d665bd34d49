"""What a resumed run takes over from before, and what it must not."""

from collections import Counter

from doubles import CountingModel

from heats.runner.run import Work, _by_task
from heats.store.events import EventLog, read_events
from heats.store.store import RunStore


async def test_the_log_of_a_broken_database_is_not_played_into_the_next(paper_run, tmp_path):
    await paper_run(model=CountingModel([]))
    database = tmp_path / "run" / "checkpoints.sqlite"
    database.write_bytes(b"not a database, not even nearly" * 100)
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).write_bytes(b"of the broken one")
    (tmp_path / "run" / "tasks" / "one" / "result.json").unlink()
    await paper_run(model=CountingModel([]))
    assert database.with_suffix(".broken").exists()
    assert not any(b"of the broken" in path.read_bytes() for path in database.parent.glob("checkpoints.sqlite-*"))


async def test_what_a_task_has_spent_is_not_told_of_one_whose_id_goes_on(paper_run, tmp_path):
    """Charges were matched by the prefix of their scope: those of `a/heat-1` also counted against the limit of `a`."""
    await paper_run("a", "a/b", model=CountingModel([]))
    charges = RunStore(tmp_path / "run").charges()
    assert {charge.task for charge in charges} == {"a", "a/b"}
    work = Work(services=None, store=None, charges=_by_task(charges), request=None, board=None)
    assert len(work.charges["a"]) + len(work.charges["a/b"]) == len(charges)


async def test_events_that_a_killed_process_did_not_write_any_more_are_written_by_the_next(paper_run, tmp_path):
    def played(kind):
        return Counter((event.task, event.rollout) for event in read_events(log) if event.kind == kind)

    log, kinds = tmp_path / "run" / "events.jsonl", ("rollout_finished", "task_finished")
    await paper_run("one", "two", model=CountingModel([]))
    before = {kind: played(kind) for kind in kinds}
    assert len(before["rollout_finished"]) == 16 and len(before["task_finished"]) == 2
    for kind in kinds:
        lines = log.read_text().splitlines(keepends=True)
        last = max(number for number, line in enumerate(lines) if f'"kind":"{kind}"' in line.replace(": ", ":"))
        log.write_text("".join(lines[:last] + lines[last + 1 :]))
        assert played(kind) != before[kind]
        await paper_run("one", "two", model=CountingModel([]))
        assert played(kind) == before[kind]


async def test_a_heat_that_goes_on_does_not_announce_again_what_it_has_announced(paper_run, tmp_path):
    log = tmp_path / "run" / "events.jsonl"
    await paper_run(model=CountingModel([]))
    (heat, *_) = [event for event in read_events(log) if event.kind == "heat_started"]
    events = EventLog(log)
    events.emit("heat_started", task=heat.task, **heat.data)
    events.close()
    await paper_run(model=CountingModel([]))
    assert set(Counter(event.rollout for event in read_events(log) if event.kind == "rollout_finished").values()) == {1}
