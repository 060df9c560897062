"""A label on several nodes: Quantum ESPRESSO's ranks are started by Slurm on the nodes of their worker."""

from __future__ import annotations

import shutil

import pytest
from label_on_nodes import WAYS

from qm.espresso.gth import DEBIAN, convert

pytestmark = pytest.mark.dft


def test_a_label_is_the_same_alone_with_ranks_beside_it_and_on_two_nodes(campaign):
    if shutil.which("pw.x") is None or not DEBIAN.exists():
        pytest.skip("no pw.x or no pseudopotential; Debian has them in quantum-espresso and cp2k-data")
    labelling = {"nodes": 2, "exclusive": True, "nodes_per_worker": 2}
    tiny = campaign({"nodes": 3, "node": {"cores": 4}, "launcher": "srun", "labelling": labelling})
    tiny.directory.mkdir()
    (tiny.directory / "Al.upf").write_text(convert(DEBIAN.read_text(), "Al"))
    program = tiny.directory / "pw"
    note = 'echo "$(hostname) ${SLURM_STEP_NUM_TASKS-no step}" >> "$0.$1"'
    program.write_text(f'#!/bin/bash\n{note}\nshift\nexec pw.x "$@"\n')
    program.chmod(0o755)
    made = [line.split() for line in tiny.run_in_allocation("label_on_nodes.py", "--nodes=3")]
    assert [host for host, *_ in made] == ["sn2"] * 3, made
    alone, *others = ([float(energy_ev), float(force_ev_per_ang)] for _, energy_ev, force_ev_per_ang in made)
    assert others == [pytest.approx(alone, abs=1e-3)] * 2
    assert abs(alone[1]) > 0.01
    ran = {way: sorted((tiny.directory / f"pw.{way}").read_text().splitlines()) for way in WAYS}
    assert ran == {"alone": ["sn2 no step"], "mpirun": ["sn2 no step"] * 2, "srun": ["sn2 2", "sn3 2"]}
