"""SSH as the plugin speaks it: keys, signatures and host keys of its library.

The plugin connects by jsch 0.1, not by the system's ``ssh``. That library (its version
0.1.54, asked for its own lists and tried against OpenSSH 9.2) reads private keys in PEM
form only, signs with RSA only by SHA-1, and knows no ed25519. What the system's ``ssh``
can do says nothing about it, so ``ssh`` is asked here with the library's lists.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyunet_fiji.doctor.findings import PROBLEM, WARNING, Finding, ok, problem, warning
from pyunet_fiji.doctor.places import Answer, terminal

LIBRARY = "the plugin's SSH library (jsch 0.1)"
_EC = "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521"
# Its lists, less what today's ssh does not offer at all (DSA, blowfish, old MACs).
_SIGNATURES = f"ssh-rsa,{_EC}"
_LISTS = {
    "HostKeyAlgorithms": _SIGNATURES,
    "PubkeyAcceptedAlgorithms": _SIGNATURES,
    "KexAlgorithms": "ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,"
    "diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha256",
    "Ciphers": "aes128-ctr,aes192-ctr,aes256-ctr",
    "MACs": "hmac-sha1,hmac-sha2-256",
}
_PEM = re.compile(r"-----BEGIN ((RSA|EC|DSA|ENCRYPTED) )?PRIVATE KEY-----")
_PEM_KINDS = {"RSA": "rsa", "EC": "ecdsa", "DSA": "dsa"}
_KNOWN_HOST_KINDS = ("ssh-rsa", "ssh-dss", *_EC.split(","))
_NEW_KEY = "~/.ssh/id_ecdsa_fiji"


@dataclass(frozen=True)
class Key:
    """A private key of the user.

    Attributes
    ----------
    path : Path
    readable : bool
        Whether it is in PEM form.
    kind : str
        ``"rsa"``, ``"ecdsa"``, ``"ed25519"``, ...; empty if that can't be told.
    """

    path: Path
    readable: bool
    kind: str

    @property
    def usable(self) -> bool:
        """Whether the plugin can load it."""
        return self.readable and self.kind != "ed25519"


def check(host: str) -> Iterator[Finding]:
    """Check whether the plugin's own SSH client gets in, and with which key.

    Parameters
    ----------
    host : str
        As for ``ssh``: user@host, or a name of ``~/.ssh/config``.
    """
    config = _config(host)
    keys = [key for name in config.get("identityfile", []) if (key := read_key(name))]
    for key in keys:
        if not key.usable:
            yield warning(
                f"{LIBRARY} can't read {key.path}: "
                f"{'it has no ed25519' if key.readable else _OPENSSH_FORM}",
                "choose another key in the plugin's dialog",
            )
    yield from _known_host(host, config)
    usable = [key for key in keys if key.usable]
    if usable:
        yield _connected(host, usable)
    else:
        # without any key of their own people are used to typing the password
        yield Finding(
            PROBLEM if keys else WARNING,
            f"no key that {LIBRARY} can read leads to {host}; it can only ask for "
            "the password, where the server takes one",
            _new_key(host),
        )


_OPENSSH_FORM = (
    "it is in OpenSSH's own form (BEGIN OPENSSH PRIVATE KEY), which `ssh-keygen` "
    'writes today; the plugin says "invalid privatekey"'
)


def read_key(name: str) -> Key | None:
    """Tell form and kind of a private key by its first line and the public key beside.

    Parameters
    ----------
    name : str
        Its file; ``~`` is the home folder.

    Returns
    -------
    Key or None
        None if there is no such file, or none that can be read.
    """
    path = Path(name).expanduser()
    try:
        with open(path, encoding="latin-1") as file:
            first = file.readline(200).strip()
    except OSError:
        return None
    pem = _PEM.match(first)
    kind = _PEM_KINDS.get(pem[2] or "", "") if pem else ""
    return Key(path, bool(pem), kind or _public_kind(path))


def _public_kind(path: Path) -> str:
    try:
        with open(f"{path}.pub", encoding="latin-1") as file:
            word = file.readline(40).split(" ")[0]
    except OSError:
        return ""
    return "ecdsa" if word.startswith("ecdsa") else word.removeprefix("ssh-")


def _new_key(host: str) -> str:
    return (
        f"ssh-keygen -t ecdsa -m PEM -f {_NEW_KEY} && "
        f"ssh-copy-id -i {_NEW_KEY}.pub {shlex.quote(host)}"
        f"    (and choose {_NEW_KEY} in the plugin's dialog)"
    )


def _config(host: str) -> dict[str, list[str]]:
    """Ask ``ssh`` what its settings for a host are."""
    found: dict[str, list[str]] = {}
    for line in terminal().run("ssh", "-G", "--", host).stdout.splitlines():
        name, _, value = line.partition(" ")
        found.setdefault(name, []).append(value)
    return found


def _known_host(host: str, config: dict[str, list[str]]) -> Iterator[Finding]:
    """Check that the library finds the host among those that are known."""
    name = config.get("hostname", [host.rpartition("@")[2]])[0]
    port = config.get("port", ["22"])[0]
    listed = name if port == "22" else f"[{name}]:{port}"
    lines = terminal().run("ssh-keygen", "-F", listed).stdout.splitlines()
    kinds = [
        line.split()[1] for line in lines if len(line.split()) > 2 and line[0] != "#"
    ]
    if kinds and not set(kinds) & set(_KNOWN_HOST_KINDS):
        yield warning(
            f"~/.ssh/known_hosts has only the {', '.join(kinds)} key of {listed}, "
            f"which {LIBRARY} does not know: it asks whether to trust the host",
            f"ssh-keyscan -t ecdsa -p {port} {shlex.quote(name)} >> ~/.ssh/known_hosts",
        )


def _connected(host: str, keys: list[Key]) -> Finding:
    """Connect with the library's lists and each key that it can read."""
    for key in keys:
        answer = _connect(host, key)
        if answer.status == 0:
            return ok(f"{LIBRARY} gets into {host} with {key.path}")
        if "Permission denied" not in answer.stderr:
            return _refused(host, answer)
    return _denied(host, keys)


def _connect(host: str, key: Key) -> Answer:
    options = [f"{name}={value}" for name, value in _LISTS.items()]
    options += [
        "BatchMode=yes",
        "ConnectTimeout=15",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        f"IdentityFile={key.path}",
        # what is known of the host is another question, and kept as it is
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
    ]
    words = [word for option in options for word in ("-o", option)]
    return terminal().run("ssh", *words, "--", host, "exit 0")


def _denied(host: str, keys: list[Key]) -> Finding:
    """Say why no key was taken, although ``ssh`` as it is gets in."""
    named = ", ".join(str(key.path) for key in keys)
    if any(key.kind == "rsa" for key in keys):
        return problem(
            f"{host} does not let {LIBRARY} in with {named}: it signs with RSA by "
            'SHA-1, which today\'s servers refuse (the plugin says "Auth fail" or '
            '"Auth cancel")',
            f"{_new_key(host)}; or on the server, in /etc/ssh/sshd_config: "
            "PubkeyAcceptedAlgorithms +ssh-rsa",
        )
    return problem(
        f"{host} does not take {named}, the key that {LIBRARY} can read",
        f"ssh-copy-id -i {shlex.quote(str(keys[0].path))}.pub {shlex.quote(host)}",
    )


def _refused(host: str, answer: Answer) -> Finding:
    """Say what server and library have not in common."""
    said = answer.last_line
    offer = said.partition("Their offer: ")[2]
    for words, name, mend in (
        ("host key type", "host key", "sudo ssh-keygen -A && sudo service ssh restart"),
        ("key exchange method", "key exchange", _line("KexAlgorithms")),
        ("cipher", "cipher", _line("Ciphers")),
        ("MAC", "MAC", _line("MACs")),
    ):
        if f"no matching {words}" in said:
            return problem(
                f"{host} has no {name} that {LIBRARY} knows; it offers {offer}",
                f"on the server: {mend}",
            )
    return warning(f"whether {LIBRARY} gets into {host} can't be told: {said}")


def _line(option: str) -> str:
    first = _LISTS[option].split(",")[0]
    return f"the line `{option} +{first}` in /etc/ssh/sshd_config"
