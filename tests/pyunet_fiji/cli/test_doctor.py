import pytest

from pyunet.cli import main
from pyunet_fiji import doctor
from pyunet_fiji.doctor.findings import ok, problem, warning


@pytest.fixture
def examined(monkeypatch):
    """Let the checks find what the test gives; return what was asked for."""
    requests = []

    def use(*findings):
        def examine(request):
            requests.append(request)
            return iter(findings)

        monkeypatch.setattr(doctor, "examine", examine)
        return requests

    return use


def test_each_check_is_a_line_and_the_summary_is_the_last(examined, capsys):
    examined(ok("a"), warning("b"))
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out == (
        "ok       a\nwarning  b\n\nno problem found, 1 warning\n"
    )


def test_a_problem_is_said_with_what_mends_it_and_the_status_is_1(examined, capsys):
    examined(problem("a", "ls"), ok("b"))
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["problem  a", "         mend: ls"]
    assert said[-1] == "1 problem"


def test_the_options_reach_the_checks(examined, tmp_path):
    asked = examined(ok("a"))
    words = ["--model=m.h5", "--weights=w.h5", "--channels=3", "--gpu=all"]
    words += ["--folder=jobs", "--only=model", "--only=folders"]
    assert main(["doctor", *words]) == 0
    (request,) = asked
    assert (str(request.model), request.weights) == ("m.h5", "w.h5")
    assert (request.channels, request.gpu, request.folder) == (3, "all", "jobs")
    assert (request.only, request.host) == (("model", "folders"), None)
    assert main(["doctor", "--ssh", "me@host"]) == 0
    assert asked[1].host == "me@host"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--weights", "w.h5"], "--weights w.h5: expected --model with it"),
        (["--ssh", "host", "--only", "ssh"], "--only: expected no --ssh"),
    ],
)
def test_options_that_do_not_go_together_are_refused(examined, capsys, words, said):
    examined()
    assert main(["doctor", *words]) == 1
    assert capsys.readouterr().err == f"pyunet doctor: {said}\n"


@pytest.mark.parametrize("channels", ["0", "-1", "two"])
def test_a_number_of_channels_is_1_or_more(channels, capsys):
    assert main(["doctor", f"--channels={channels}"]) == 2
    assert "is no number of channels: 1 or more" in capsys.readouterr().err


def test_the_help_ends_with_an_example(capsys):
    assert main(["doctor", "--help"]) == 0
    assert (
        capsys.readouterr()
        .out.strip()
        .endswith("pyunet doctor --mend cells-snapshot.h5")
    )


def test_the_machine_of_the_tests_can_be_looked_at(capsys):
    main(["doctor", "--only", "machine"])
    said = capsys.readouterr().out
    assert "torch " in said
    assert "Python 3." in said
