"""`upgrade_solver_proto_text`, against what the original made of an old solver."""

from pathlib import Path

from caffe.cli.upgrade_solver_proto_text import main

REFERENCE = Path(__file__).parents[2] / "reference" / "upgrade"


def test_an_old_solver_becomes_what_caffe_makes_of_it(tmp_path, capsys):
    old, new = REFERENCE / "solver_old.prototxt", tmp_path / "new.prototxt"
    assert main([str(old), str(new)]) == 0
    assert new.read_text() == (REFERENCE / "solver_old.upgraded.prototxt").read_text()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"Wrote upgraded SolverParameter text proto to {new}")


def test_a_solver_of_today_stays_as_it_is(tmp_path, capsys):
    old = REFERENCE / "solver_old.upgraded.prototxt"
    new = tmp_path / "new.prototxt"
    assert main([str(old), str(new)]) == 0
    assert new.read_text() == old.read_text()
    first = capsys.readouterr().err.splitlines()[0]
    assert first.endswith(f"File already in latest proto format: {old}")


def test_two_types_are_refused(tmp_path, capsys):
    old = tmp_path / "solver.prototxt"
    old.write_text('solver_type: ADAM type: "SGD"')
    assert main([str(old), str(tmp_path / "new.prototxt")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{old}: both solver_type: ADAM" in line
    assert not (tmp_path / "new.prototxt").exists()
