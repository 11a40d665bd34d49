"""Damaged run directories: what cannot be read is set aside and reported, and never ends a run."""

import json
import random

import pytest
from doubles import CountingModel

from heats.store.events import read_events
from heats.store.faults import find_faults
from heats.store.store import RunStore


def told(tmp_path):
    return [one.data["text"] for one in read_events(tmp_path / "run" / "events.jsonl") if one.kind == "warning"]


def unfinish(task, *names):
    for name in ("result.json", *names):
        (task / name).unlink()


DEEP = b"[" * 100_000
NEWER = b'{"rollout": "heat-0/rollout-01", "exit": "submitted", "confidence": 0.9}'
POISONS = {
    "cut": b'{"rollout": "heat-0/rol', "empty": b"", "deep": DEEP, "binary": bytes(range(256)), "newer": NEWER,
    "a list": b"[]", "a huge number": b'{"rollout": "x", "exit": null, "steps": ' + b"9" * 5000 + b"}",
    "surrogate": b'{"rollout": "\\ud800", "exit": null}', "not UTF-8": b'{"rollout": "\xff\xfe"}',
}  # fmt: skip
FILES = ["outcome.json", "trajectory.json", "summary.json"]


@pytest.mark.parametrize("poison", POISONS)
async def test_a_poisoned_record_is_set_aside_and_told_and_its_work_done_again(paper_run, tmp_path, poison):
    await paper_run(model=CountingModel([]))
    task = tmp_path / "run" / "tasks" / "one"
    unfinish(task, "heat-0/tournament.json", "heat-1/tournament.json")
    for name in FILES:
        (task / "heat-0" / "rollout-01" / name).write_bytes(POISONS[poison])
    (result,) = await paper_run(model=CountingModel([]))
    assert (result.status, result.selected is not None) == ("unverified", True)
    for name in FILES:
        assert (task / "heat-0" / "rollout-01" / f"{name}.set-aside").read_bytes() == POISONS[poison]
        assert any(f"rollout-01/{name}: " in text and "moved to" in text for text in told(tmp_path))
    if poison == "newer":
        assert any("unknown to this version of heats (confidence)" in text for text in told(tmp_path))


@pytest.mark.parametrize("place", ["rollout-01/outcome.json", "rollout-01/evidence.json", "tournament.json"])
async def test_what_is_no_file_at_all_ends_nothing(paper_run, tmp_path, place):
    await paper_run(model=CountingModel([]))
    task = tmp_path / "run" / "tasks" / "one"
    unfinish(task, "heat-0/tournament.json", "heat-1/tournament.json")
    (task / "heat-0" / place).unlink(missing_ok=True)
    (task / "heat-0" / place).mkdir()
    assert (await paper_run(model=CountingModel([])))[0].selected is not None


@pytest.mark.parametrize("name", ["events.jsonl", "ledger.jsonl", "tasks/one/heat-0/votes.jsonl"])
async def test_bad_lines_of_a_log_are_set_aside_and_the_others_read(paper_run, tmp_path, name):
    await paper_run(model=CountingModel([]))
    unfinish(tmp_path / "run" / "tasks" / "one", "heat-1/tournament.json")
    log = tmp_path / "run" / name
    lines = log.read_bytes().splitlines(keepends=True)
    bad = [b'{"kind": "party", "seq": 7}\n', DEEP + b"\n", b"\xff\xfe\n"]
    log.write_bytes(b"".join([*lines[:2], *bad, *lines[2:], b'{"cut']))
    (result,) = await paper_run(model=CountingModel([]))
    assert result.selected is not None
    assert log.read_bytes().startswith(b"".join(lines))
    assert log.with_name(log.name + ".set-aside").read_bytes() == b"".join([*bad, b'{"cut'])
    assert any(f"{name}: line 3 " in text and "and 3 more" in text for text in told(tmp_path))


async def test_records_that_changed_under_a_finished_tournament_are_noticed(paper_run, tmp_path):
    await paper_run(model=CountingModel([]))
    assert find_faults(tmp_path / "run") == []
    task = tmp_path / "run" / "tasks" / "one"
    summary = task / "heat-0" / "rollout-02" / "summary.json"
    summary.write_text(summary.read_text().replace('"problem": "', '"problem": "The best attempt. '))
    (task / "heat-0" / "rollout-00" / "patch.diff").unlink()
    asked = []
    await paper_run(model=CountingModel(asked))
    assert not asked
    for name in ("rollout-02/summary.json", "rollout-00/patch.diff"):
        assert any(
            f"heat-0/{name}: was changed or removed after the tournament of heat-0 was decided" in text
            for text in told(tmp_path)
        )


async def test_a_run_of_a_newer_version_is_refused_in_one_line(paper_run, tmp_path):
    await paper_run(model=CountingModel([]))
    path = tmp_path / "run" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "store_version": 2}))
    with pytest.raises(BaseException, match="cannot be read by this version of heats: choose another --out"):
        await paper_run(model=CountingModel([]))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
async def test_random_damage_never_ends_a_run(paper_run, tmp_path, seed):
    await paper_run(model=CountingModel([]))
    rng, task = random.Random(seed), tmp_path / "run" / "tasks" / "one"
    unfinish(task)
    paths = sorted(path for path in task.rglob("*") if path.is_file())
    for path in rng.sample(paths, 12):
        data = bytearray(path.read_bytes())
        kind = rng.randrange(3)
        if kind == 0:
            data = data[: rng.randrange(len(data) + 1)]
        elif kind == 1 and data:
            data[rng.randrange(len(data))] = rng.randrange(256)
        else:
            data = bytearray(rng.choice(list(POISONS.values())))
        path.write_bytes(data)
    (result,) = await paper_run(model=CountingModel([]))
    assert result.status in ("unverified", "no_patch")
    find_faults(tmp_path / "run")
    RunStore(tmp_path / "run").task("one").result()
