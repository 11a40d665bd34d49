"""Nothing that `heats serve` starts outlives it, whichever process is killed and however."""

import os
import signal
import subprocess
import sys
import time

import pytest

from heats.serving import guard

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what descends from a process is found in /proc")

# A server with an engine in a separate session, as stubborn as can be.
ENGINE = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
SERVER = f"""
import os, signal, subprocess, sys, time
if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
engine = subprocess.Popen([sys.executable, "-c", {ENGINE!r}], start_new_session=True, stdout=subprocess.PIPE)
engine.stdout.readline()
print(os.getpid(), engine.pid, flush=True)
if "--fail" in sys.argv:
    sys.exit(3)
time.sleep(600)
"""


def lives(process):
    """Whether a process exists and is not a zombie."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def gone_within(processes, seconds):
    deadline = time.monotonic() + seconds
    while any(map(lives, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(lives, processes))


class Started:
    """A guarded server, the end of the pipe that keeps it alive, and its processes."""

    def __init__(self, *more, grace_s=30):
        theirs, self.lifeline = os.pipe()
        command = [sys.executable, "-I", "-S", guard.__file__, str(theirs), str(grace_s)]
        command += [sys.executable, "-c", SERVER, *more]
        self.process = subprocess.Popen(command, pass_fds=[theirs], stdout=subprocess.PIPE, text=True)
        os.close(theirs)
        self.server, self.engine = map(int, self.process.stdout.readline().split())

    def close(self):
        os.close(self.lifeline)
        self.lifeline = None

    def end(self):
        self.process.stdout.close()
        return self.process.wait(60)


@pytest.fixture
def start():
    made = []

    def begin(*more, **settings):
        made.append(Started(*more, **settings))
        return made[-1]

    yield begin
    for one in made:
        if one.lifeline is not None:
            one.close()
        one.end()
        for process in (one.server, one.engine):
            if lives(process):
                os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize("settings", [((), 30), (("--stubborn",), 0.1)])
def test_all_ends_when_the_other_end_of_the_pipe_is_closed(start, settings):
    started = start(*settings[0], grace_s=settings[1])
    assert lives(started.server) and lives(started.engine)
    started.close()
    assert gone_within([started.process.pid, started.server, started.engine], 60)


def test_a_signal_is_passed_on_and_what_the_command_leaves_behind_is_killed(start):
    started = start()
    started.process.terminate()
    assert started.end() == 128 + signal.SIGTERM
    assert gone_within([started.server, started.engine], 60)


def test_a_second_signal_kills_what_did_not_heed_the_first(start):
    started = start("--stubborn")
    started.process.terminate()
    assert not gone_within([started.server], 0.2)
    started.process.terminate()
    assert started.end() == 128 + signal.SIGKILL
    assert gone_within([started.server, started.engine], 60)


def test_a_command_that_ends_by_itself_gives_its_code_and_leaves_nothing(start):
    started = start("--fail")
    assert started.end() == 3
    assert gone_within([started.engine], 60)


def test_a_command_whose_guard_is_killed_is_asked_to_end(start):
    started = start()
    started.process.kill()
    assert gone_within([started.server], 60)
