"""What a resumed run takes over from before, and what it must not."""

from doubles import CountingModel

from heats.runner.run import Work, _by_task
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
