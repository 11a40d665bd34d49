"""Files of a run: complete or absent, and safe names."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heats.store.files import LineLog, read_lines, read_record, slug, there_is, write_bytes, write_record
from heats.store.records import Charge


def charge(scope):
    return Charge(scope=scope, usage={"calls": 1})


def test_a_record_round_trips_and_leaves_no_temporary_file(tmp_path):
    path = tmp_path / "deep" / "charge.json"
    write_record(path, charge("run"))
    assert read_record(path, Charge) == charge("run")
    assert [entry.name for entry in path.parent.iterdir()] == ["charge.json"]


def test_a_failed_write_keeps_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failed_write_names_the_file_and_not_its_temporary(tmp_path):
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "file").mkdir()
    with pytest.raises(OSError) as failed:
        write_bytes(tmp_path / "closed" / "file", b"new")
    assert failed.value.filename == str(tmp_path / "closed" / "file")


def test_a_line_that_a_full_disk_cuts_leaves_nothing_for_the_next_one_to_be_glued_to(tmp_path, monkeypatch):
    """`write` may be partial: ignoring its result lost the record and made the log unreadable."""
    log = LineLog(tmp_path / "log.jsonl")
    log.append(charge("first"))
    really = os.write
    monkeypatch.setattr(os, "write", lambda file, data: really(file, data[:5]))
    with pytest.raises(OSError, match="No space"):
        log.append(charge("lost"))
    monkeypatch.undo()
    log.append(charge("third"))
    log.close()
    assert [one.scope for one in read_lines(tmp_path / "log.jsonl", Charge)] == ["first", "third"]


def test_a_text_too_long_for_a_name_names_nothing(tmp_path):
    assert there_is(str(tmp_path))
    assert not there_is(str(tmp_path / "nothing"))
    assert not there_is("word " * 100)
    assert not there_is("a\0b")


@pytest.mark.parametrize("cut", [0, 1, 10, -2])
def test_a_torn_record_reads_as_absent(tmp_path, cut):
    path = tmp_path / "charge.json"
    write_record(path, charge("run"))
    path.write_bytes(path.read_bytes()[:cut])
    assert read_record(path, Charge) is None


def test_a_torn_last_line_is_cut_off_before_the_next_append(tmp_path):
    path = tmp_path / "ledger.jsonl"
    log = LineLog(path)
    log.append(charge("one"))
    log.close()
    path.write_bytes(path.read_bytes() + b'{"scope": "to')
    assert [line.scope for line in read_lines(path, Charge)] == ["one"]
    log = LineLog(path)
    log.append(charge("two\u2028\n"))
    log.close()
    assert [line.scope for line in read_lines(path, Charge)] == ["one", "two\u2028\n"]


@given(st.text(min_size=1))
def test_any_task_id_becomes_one_safe_path_component(name):
    part = slug(name)
    assert part not in (".", "..")
    assert "/" not in part and "\0" not in part
    assert len(part) <= 100


def test_names_that_differ_only_in_unsafe_characters_stay_apart():
    assert slug("a/b") != slug("a:b")
    assert slug("django__django-11099") == "django__django-11099"
