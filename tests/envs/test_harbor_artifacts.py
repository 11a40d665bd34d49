"""Archives from an agent's container: what may be unpacked for the verifier."""

import io
import tarfile

import pytest

from envs.harbor.artifacts import checked
from envs.harbor.taskfile import read_task_file


def member(name, kind=tarfile.REGTYPE, link="", mode=0o644, data=b""):
    one = tarfile.TarInfo(name)
    one.type, one.linkname, one.mode, one.size = kind, link, mode, len(data)
    return one, data


def archive(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.GNU_FORMAT) as made:
        for one, data in members:
            made.addfile(one, io.BytesIO(data))
    return out.getvalue()


def names(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        return found.getnames()


@pytest.mark.parametrize(
    "bad",
    [
        [member("/etc/passwd")],
        [member("../x")],
        [member("a/../../x")],
        [member("x", tarfile.SYMTYPE, "/etc")],
        [member("a/x", tarfile.SYMTYPE, "../../etc")],
        [member("x", tarfile.SYMTYPE, "a/../..")],
        [member("x", tarfile.LNKTYPE, "/etc/passwd")],
        [member("x", tarfile.FIFOTYPE)],
        [member("x", tarfile.CHRTYPE)],
    ],
)
def test_what_could_lead_out_or_is_no_plain_file_is_left_out_and_the_rest_stays(bad):
    data, refused = checked(archive(member("good", data=b"1"), *bad))
    assert (names(data), len(refused)) == (["good"], 1)


def test_nothing_is_unpacked_through_a_link():
    members = [member("d", tarfile.DIRTYPE), member("link", tarfile.SYMTYPE, "d"), member("link/x", data=b"1")]
    data, refused = checked(archive(*members))
    assert (names(data), refused) == (["d", "link"], ("link/x: it lies behind a link or a file",))


def test_privileges_and_owners_do_not_travel():
    one, data = member("tool", mode=0o6777, data=b"1")
    one.uid, one.uname = 1000, "agent"
    made, _ = checked(archive((one, data)))
    with tarfile.open(fileobj=io.BytesIO(made)) as found:
        (tool,) = found.getmembers()
        assert (tool.mode, tool.uid, tool.uname) == (0o755, 0, "")
        assert found.extractfile(tool).read() == b"1"


@pytest.mark.parametrize("name", ["x" * 300, "d\udcff\udcfe", "umläut", "line\nbreak"])
def test_any_name_survives(name):
    assert names(checked(archive(member(name, data=b"1")))[0]) == [name]


def test_something_else_than_an_archive_is_refused():
    with pytest.raises(ValueError, match="not a tar archive"):
        checked(b"x" * 2048)


@pytest.mark.parametrize(
    ("entries", "sources"),
    [
        ('"/a"', ["/logs/artifacts", "/a"]),
        ('"/a", "/a/b", "/ab"', ["/logs/artifacts", "/a", "/ab"]),
        ('{ source = "/a", destination = "x" }, { source = "/b", destination = "x/y" }', ["/logs/artifacts", "/a"]),
        ('{ source = "/logs/artifacts/", exclude = ["*.tmp"] }', ["/logs/artifacts/"]),
    ],
)
def test_of_artifacts_that_overlap_the_first_counts(entries, sources):
    assert [one.source for one in read_task_file(f"artifacts = [{entries}]").carried()] == sources
