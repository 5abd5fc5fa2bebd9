"""How the command ends."""

import io
import signal
import subprocess
import sys

import pytest

from pyunet_fiji.backend.ending import end_by_signals, ending_cleanly, leave, write_out

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_process_though_its_parent_ignored_it(number):
    code = (
        "import signal, sys\n"
        "from pyunet_fiji.backend.ending import end_by_signals\n"
        "end_by_signals()\n"
        f"signal.raise_signal({int(number)})\n"
    )
    before = signal.signal(number, signal.SIG_IGN)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=False
        )
    finally:
        signal.signal(number, before)
    assert done.returncode == -number
    assert not done.stderr


@pytest.mark.parametrize("number", [*SIGNALS, signal.SIGHUP])
def test_a_signal_deletes_files_and_ends_the_process(number, tmp_path):
    path = tmp_path / "unfinished"
    path.touch()
    code = (
        "import signal\n"
        "from pathlib import Path\n"
        "from pyunet_fiji.backend.ending import end_by_signals, ending_cleanly\n"
        "end_by_signals()\n"
        "with ending_cleanly() as files:\n"
        f"    files += [Path({str(path)!r}), Path('not there')]\n"
        f"    signal.raise_signal({int(number)})\n"
        "    print('goes on')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == -number
    assert not done.stdout
    assert not done.stderr
    assert not path.exists()


def test_handlers_are_back_after_the_block(signals_as_before):
    end_by_signals()
    with ending_cleanly():
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("stream", [None, "closed"])
def test_nobody_needs_to_read_the_progress(stream, monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed if stream else None)
    write_out("Processing batch 1/1, tile 1/1")


def test_leaving_flushes_and_ends_with_the_status(monkeypatch, capsys):
    ended = []
    monkeypatch.setattr("os._exit", ended.append)
    monkeypatch.setattr(sys, "stderr", None)
    leave(3)
    assert ended == [3]
