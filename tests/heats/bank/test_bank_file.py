"""A bank as a file: whole lines whatever happens, readable and editable by people."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from heats.bank.entry import Change, Entry, Scope
from heats.bank.store import Bank, exported
from heats.errors import UsageError

WRITER = """
import sys
from pathlib import Path
from heats.bank.entry import Change, Entry
from heats.bank.store import Bank
for number in range(10_000):
    entry = Entry(kind="concept", name=f"{sys.argv[2]} {number}", text="x" * 3000)
    Bank(Path(sys.argv[1])).apply(lambda _: [Change(entry=entry, id=entry.id)] * 3, key=entry.name)
    print(number, flush=True)
"""


def entry(name="a name", text="A text.", **more):
    return Entry(kind="concept", name=name, text=text, **more)


def adding(one):
    return lambda _: [Change(entry=one, id=one.id)]


@pytest.fixture
def bank(tmp_path):
    return Bank(tmp_path / "bank.jsonl")


def test_operations_add_up(bank):
    one, two, three = entry("one"), entry("two"), entry("three")
    for each in (one, two, three):
        bank.apply(adding(each))
    bank.apply(lambda _: [Change(op="merge", id=one.id, entry=entry("one", "Both."), of=(two.id,))])
    bank.apply(lambda _: [Change(op="drop", id=three.id)])
    assert [(each.name, each.text) for each in bank.entries().values()] == [("one", "Both.")]
    assert len(bank.batches()) == 5


def test_a_key_is_applied_once(bank):
    first = bank.apply(adding(entry("one")), key="run/task")
    assert bank.apply(adding(entry("two")), key="run/task") == first
    assert [one.name for one in bank.entries().values()] == ["one"]


@pytest.mark.parametrize(
    "line",
    ['{"kind":"notes","name":"mine","txt":"a typo"}', '{"kind":"notes","name":"mine","text":"no end', "notes", "[]"],
)
def test_a_last_line_that_a_person_got_wrong_is_refused_and_kept(bank, line):
    bank.path.write_text('{"kind": "notes", "name": "a", "text": "x"}\n' + line)
    for use in (bank.entries, lambda: bank.apply(adding(entry("two")))):
        with pytest.raises(UsageError, match="line 2 is not an entry"):
            use()
    assert bank.path.read_text().endswith(line)


@pytest.mark.parametrize("kept", [1, 5, 12, 40, -2])
def test_a_last_line_that_a_killed_writer_left_is_cut_off(bank, kept):
    bank.apply(adding(entry("one")))
    whole = bank.path.read_bytes()
    bank.path.write_bytes(whole + whole[:kept])
    assert [one.name for one in bank.entries().values()] == ["one"]
    bank.apply(adding(entry("two")))
    assert [one.name for one in bank.entries().values()] == ["one", "two"]


def test_people_may_write_a_plain_entry_and_forget_the_line_end(bank):
    bank.path.write_text('{"kind": "notes", "name": "tests", "text": "make test"}')
    bank.apply(adding(entry("two")))
    assert [one.name for one in bank.entries().values()] == ["tests", "two"]


def test_a_mistake_in_the_file_is_named_and_not_skipped(bank):
    bank.path.write_text('{"kind": "notes"}\n' + entry().model_dump_json() + "\n")
    with pytest.raises(UsageError, match="line 1 is not an entry"):
        bank.entries()


def test_an_export_is_a_bank(bank, tmp_path):
    bank.apply(adding(entry("one", scope=Scope(level="repository", of="x"))))
    shared = tmp_path / "shared.jsonl"
    shared.write_bytes(exported(list(bank.entries().values())))
    assert Bank(shared).entries() == bank.entries()


def test_a_bank_that_cannot_be_written_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        Bank(tmp_path / "file" / "bank.jsonl").apply(adding(entry()))


def test_writers_in_one_process_lose_nothing(bank):
    threads = [threading.Thread(target=lambda n=n: bank.apply(adding(entry(f"entry {n}")))) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bank.entries()) == 12


@pytest.mark.slow
def test_killed_writers_leave_whole_lines_and_their_work(bank):
    """Three writers at once, killed with -9 in the middle: what a writer was told is written is there."""
    start = [sys.executable, "-c", WRITER, str(bank.path)]
    writers = [subprocess.Popen([*start, f"w{n}"], stdout=subprocess.PIPE, text=True) for n in range(3)]
    for writer in writers:
        writer.stdout.readline()
    time.sleep(1)
    for writer in writers:
        os.kill(writer.pid, signal.SIGKILL)
    said = {f"w{n} {number}" for n, writer in enumerate(writers) for number in writer.communicate()[0].split()}
    names = [one.name for one in bank.entries().values()]
    assert said <= set(names)
    assert len(names) == len(set(names)) == len(bank.batches())
    bank.apply(adding(entry("after")))
    assert len(bank.entries()) == len(names) + 1
