"""The event stream: ordered, durable, readable while it is written."""

from heats.store.events import EventLog, read_events


def test_events_are_numbered_on_over_a_restart(tmp_path):
    path = tmp_path / "events.jsonl"
    first = EventLog(path)
    first.emit("run_started", tasks=["a"])
    first.emit("task_started", task="a")
    first.close()
    path.write_bytes(path.read_bytes() + b'{"seq": 3, "ti')
    second = EventLog(path)
    second.emit("run_resumed")
    second.close()
    assert [(event.seq, event.kind) for event in read_events(path)] == [
        (1, "run_started"),
        (2, "task_started"),
        (3, "run_resumed"),
    ]


def test_listeners_hear_what_the_file_holds(tmp_path):
    log, heard = EventLog(tmp_path / "events.jsonl"), []
    log.listen(heard.append)
    log.emit("votes", task="a", heat=0, match="r0-m0", choices=["heat-0/rollout-00", None])
    log.close()
    assert heard == list(read_events(tmp_path / "events.jsonl"))
