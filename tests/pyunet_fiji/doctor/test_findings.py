from pyunet_fiji.doctor.findings import ok, problem, read_report, summary, warning


def test_a_finding_is_a_line_that_begins_with_its_level():
    assert str(ok("a")) == "ok       a"
    assert str(warning("b")) == "warning  b"


def test_what_mends_a_problem_stands_on_a_line_of_its_own():
    assert str(problem("c", "ls")) == "problem  c\n         mend: ls"


def test_a_printed_report_is_read_back():
    found = [ok("a"), problem("b: c", "ls -l"), warning("d")]
    text = "motd\n" + "\n".join(map(str, found)) + "\n\n1 problem, 1 warning\n"
    assert list(read_report(text, "host")) == [
        ok("host: a"), problem("host: b: c", "ls -l"), warning("host: d"),
    ]  # fmt: skip


def test_the_summary_counts_problems_and_warnings():
    assert summary([]) == "no problem found"
    assert summary([warning("a"), warning("b")]) == "no problem found, 2 warnings"
    assert summary([problem("a"), ok("b")]) == "1 problem"
