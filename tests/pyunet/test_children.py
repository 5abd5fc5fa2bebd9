"""Programs that end with the process that started them, and folders of one process."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pyunet import children
from pyunet.errors import DataError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
LONG_S = 60.0
# a program that starts another one, and both would live long
FAMILY = "sleep 600 & echo $$ $!; wait"
PARENT = f"""
import sys
from pyunet import children
process = children.start(["sh", "-c", {FAMILY!r}], stdout=sys.stdout)
process.wait()
"""


def lives(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition):
    end = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_and_what_it_started_end_with_who_started_it(number):
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        family = [int(word) for word in parent.stdout.readline().split()]
        assert [lives(process) for process in family] == [True, True]
        parent.send_signal(number)
        parent.wait()
        wait_until(lambda: not any(map(lives, family)))


def test_it_is_the_program_itself_that_is_talked_to():
    words = [
        "sh",
        "-c",
        'trap "echo asked; exit 7" INT; echo ready; while :; do sleep 0.01; done',
    ]
    process = children.start(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate()[0] == "asked\n"
    assert process.returncode == 7


def test_a_program_that_is_not_there_is_one_line():
    process = children.start(["/no/such"], stderr=subprocess.PIPE, text=True)
    assert process.communicate()[1] == "/no/such: No such file or directory\n"
    assert process.returncode == 126


HOLDS = """
import os, signal, sys
from pathlib import Path
from pyunet import children
with children.only_one(Path(sys.argv[1]), "busy") as lock:
    process = children.start(["sleep", "600"], held=[lock])
    print(process.pid, flush=True)
    process.wait()
"""


def test_a_folder_is_for_one_process_and_its_program(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "_PATIENCE_S", 0.0)
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "job")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        program = int(holder.stdout.readline())
        with (
            pytest.raises(DataError, match="job: another process is busy there; wait"),
            children.only_one(tmp_path / "job", "busy"),
        ):
            pass
        holder.kill()
    monkeypatch.setattr(children, "_PATIENCE_S", LONG_S)
    with children.only_one(tmp_path / "job", "busy"):
        assert not lives(program)


def test_who_waits_goes_on_when_the_other_has_ended(tmp_path):
    began, ended = threading.Event(), []

    def first():
        with children.only_one(tmp_path, "busy"):
            began.set()
            time.sleep(0.2)
            ended.append(True)

    thread = threading.Thread(target=first)
    thread.start()
    began.wait()
    with children.only_one(tmp_path, "busy"):
        assert ended
    thread.join()


def test_what_fails_at_once_leaves_no_folder(tmp_path):
    with pytest.raises(KeyError), children.only_one(tmp_path / "job", "busy"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
