"""The benchmark that learns a campaign's labels anew."""

import re

from benchmarks import retrain


def test_other_settings_give_other_errors_on_the_same_held_out_labels(tmp_path, one_round, capsys):
    one_round(tmp_path / "c")
    retrain.main(
        [
            str(tmp_path / "c"),
            "--members=2",
            "--try=training.max_epochs=2",
            "--try=training.max_epochs=8 potential.zeta=4",
            "--try=training.max_epochs=2",
        ]
    )
    out = capsys.readouterr().out
    first, second, again = re.findall(r"held out (\d+): energy ([\d.]+) meV/atom, force ([\d.]+)", out)
    assert first == again
    assert first[0] == second[0]
    assert first[1:] != second[1:]
    assert float(second[2]) < float(first[2])
    source = re.search(r"label source\n  FCC 0\.0, HCP ([\d.]+), BCC ([\d.]+), .*a ([\d.]+) Å", out)
    assert source is not None
    assert [float(x) for x in source.groups()] == [9.0, 57.0, 4.082]
