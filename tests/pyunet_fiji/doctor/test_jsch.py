"""What the plugin's SSH library can do, asked of a real server on this computer.

What is expected was seen with jsch 0.1.54 itself: new keys of `ssh-keygen` end in
"invalid privatekey", RSA in "Auth fail", an ECDSA key in PEM form gets in.
"""

import getpass
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from pyunet_fiji.doctor import jsch
from tests.support.fiji_programs import levels, only, write

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
needs_server = pytest.mark.skipif(
    SSHD is None, reason="needs sshd (Debian: openssh-server)"
)


def keygen(path, *words):
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", path, *words], check=True)
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    keygen(folder / "rsa_pem", "-t", "rsa", "-m", "PEM")
    keygen(folder / "ecdsa_pem", "-t", "ecdsa", "-m", "PEM")
    keygen(folder / "rsa_new", "-t", "rsa", "-m", "RFC4716")
    keygen(folder / "ed25519_new", "-t", "ed25519")
    return folder


@pytest.fixture
def server(keys, tmp_path, monkeypatch):
    """Give a function that starts a server and names the user's key for host `gpu`."""
    started = []

    def start(key, *lines, host_key="ecdsa"):
        port = free_port()
        keygen(tmp_path / "host", "-t", host_key)
        allowed = tmp_path / "authorized"
        allowed.write_text("".join(p.read_text() for p in keys.glob("*.pub")))
        config = tmp_path / "sshd_config"
        settings = [
            f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {tmp_path / 'host'}",
            f"AuthorizedKeysFile {allowed}", "StrictModes no", "PidFile none",
            "PasswordAuthentication no", "UsePAM no", *lines,
        ]  # fmt: skip
        config.write_text("\n".join(settings) + "\n")
        started.append(
            subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=subprocess.PIPE)
        )
        wait_for(port)
        ours = tmp_path / "ssh_config"
        ours.write_text(
            f"Host gpu\nHostName 127.0.0.1\nPort {port}\nUser {getpass.getuser()}\n"
            f"UserKnownHostsFile {tmp_path / 'known'}\nIdentityFile {keys / key}\n"
        )
        write(tmp_path / "bin" / "ssh", f'exec {shutil.which("ssh")} -F {ours} "$@"\n')
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
        return list(jsch.check("gpu"))

    Path("/run/sshd").mkdir(exist_ok=True)
    yield start
    for process in started:
        process.terminate()
        process.communicate()


def wait_for(port):
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the server does not answer")


@needs_server
class TestAServerOfToday:
    def test_takes_an_ecdsa_key_in_pem_form(self, server, keys):
        (found,) = server("ecdsa_pem")
        assert found.level == "ok"
        assert str(keys / "ecdsa_pem") in found.what

    def test_refuses_rsa_since_the_library_signs_by_sha1(self, server):
        (found,) = server("rsa_pem")
        assert found.level == "problem"
        assert "SHA-1" in found.what
        assert "ssh-keygen -t ecdsa -m PEM" in found.mend
        assert "PubkeyAcceptedAlgorithms +ssh-rsa" in found.mend

    def test_takes_rsa_after_the_line_that_is_proposed(self, server):
        (found,) = server("rsa_pem", "PubkeyAcceptedAlgorithms +ssh-rsa")
        assert found.level == "ok"

    @pytest.mark.parametrize("key", ["rsa_new", "ed25519_new"])
    def test_a_key_as_ssh_keygen_writes_it_today_can_not_be_read(self, server, key):
        found = server(key)
        assert "invalid privatekey" in only(found, "warning").what
        mend = only(found, "problem").mend
        assert mend.startswith("ssh-keygen -t ecdsa -m PEM")

    def test_without_a_host_key_that_the_library_knows_is_a_problem(self, server):
        (found,) = server("ecdsa_pem", host_key="ed25519")
        assert found.level == "problem"
        assert "it offers ssh-ed25519" in found.what
        assert "ssh-keygen -A" in found.mend


@pytest.fixture
def asked(monkeypatch, tmp_path, home, keys):
    """Let ssh and ssh-keygen answer as the test says."""

    def use(known="", answer="exit 0", key="ecdsa_pem"):
        settings = f"hostname gpu.lab\\nport 22\\nidentityfile {keys / key}\\n"
        write(
            tmp_path / "bin" / "ssh",
            f'if [ "$1" = -G ]; then printf "{settings}"; else {answer}; fi\n',
        )
        write(tmp_path / "bin" / "ssh-keygen", f'printf "{known}"\n')
        return list(jsch.check("me@gpu"))

    return use


def test_a_known_ed25519_key_alone_makes_the_plugin_ask(asked):
    found = asked(known="# Host gpu.lab found: line 3\\ngpu.lab ssh-ed25519 AAAA\\n")
    (said,) = levels(found, "warning")
    assert "only the ssh-ed25519 key of gpu.lab" in said
    assert only(found, "warning").mend.startswith("ssh-keyscan -t ecdsa")


@pytest.mark.parametrize(
    "known", ["", "gpu.lab ssh-ed25519 A\\ngpu.lab ecdsa-sha2-nistp256 B\\n"]
)
def test_a_host_that_is_unknown_or_known_by_ecdsa_too_is_fine(asked, known):
    assert [f.level for f in asked(known=known)] == ["ok"]


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("key exchange method found. Their offer: x", "KexAlgorithms +ecdh"),
        ("cipher found. Their offer: x", "Ciphers +aes128-ctr"),
        ("MAC found. Their offer: x", "MACs +hmac-sha1"),
    ],
)
def test_what_server_and_library_lack_in_common_is_named(asked, said, line):
    (found,) = asked(answer=f"echo Unable: no matching {said} >&2; exit 255")
    assert "it offers x" in found.what
    assert line in found.mend


def test_no_key_at_all_is_told_with_the_line_that_makes_one(asked):
    (found,) = asked(key="none")
    assert found.level == "warning"
    assert "can only ask for the password" in found.what
    assert found.mend.startswith("ssh-keygen -t ecdsa -m PEM")
