"""How much of a label's time is ours: pw.x itself against the whole task that labels a candidate.

    python -m benchmarks.label_overhead [--atoms 8] [--spacing 0.33] [--labels 6] [--scratch DIR]

In one run, for each of several random aluminium cells: the time between start and end of pw.x, taken by the
script that runs it, and that of a campaign's task which reads the candidate, makes the scratch directory,
writes inputs, starts the keeper and the program, reads, checks and stores the label (synchronised to disk)
and removes the scratch directory. What lies between is ours. The same of CPU time, of all processes: other
work on the machine leaves it nearly alone. Needs pw.x and Debian's cp2k-data.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.espresso_cost import children_cpu_s, script
from qm.espresso.gth import DEBIAN, convert
from qm.fingerprint import label_id
from sampling.builders import make_builder
from sampling.config import DisorderConfig
from workflow.labellers import make_labeller
from workflow.ledger import Ledger
from workflow.settings.config import CampaignConfig
from workflow.settings.load import save_resolved
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import Candidate, Provenance, write_candidate
from workflow.tasks.label import label_candidates

TIMED = """t0=$(date +%s%N)
pw.x "$@"
status=$?
{{ echo $(($(date +%s%N) - t0)); times; }} > {times}
exit $status"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atoms", type=int, default=8)
    parser.add_argument("--spacing", type=float, default=0.33, help="of k-points, 1/Å")
    parser.add_argument("--labels", type=int, default=6, help="the first of a worker is told by itself")
    parser.add_argument("--density", type=float, default=2.7, help="g/cm³")
    parser.add_argument("--scratch", help="directory for pw.x's files; by default in the campaign's")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        paths, times, ids = campaign(Path(place), options)
        print(f"{'label':>5} {'pw.x s':>8} {'ours ms':>8} {'pw.x CPU s':>11} {'ours CPU ms':>12}")
        costs = [cost(number, paths, times, id_) for number, id_ in enumerate(ids, start=1)]
    for name, (ours, program) in (("wall", (0, 1)), ("CPU", (2, 3))):
        ours_ms = [1000.0 * found[ours] for found in costs[1:]]
        program_s = statistics.mean(found[program] for found in costs[1:])
        print(
            f"{name} time without the first: ours {statistics.mean(ours_ms):.0f} ms a label "
            f"({min(ours_ms):.0f} to {max(ours_ms):.0f}), {0.1 * statistics.mean(ours_ms) / program_s:.2f} % "
            f"of pw.x's {program_s:.2f} s"
        )


def campaign(place: Path, options: argparse.Namespace) -> tuple[CampaignPaths, Path, list[str]]:
    """Make a campaign's directory with candidates; return its paths, where times go, and their ids."""
    times = place / "times"
    (place / "Al.upf").write_text(convert(DEBIAN.read_text(), "Al"))
    source = {
        "kind": "espresso",
        "pseudopotentials": {"Al": {"path": str(place / "Al.upf")}},
        "functional": "PBE",
        "wavefunction_cutoff_ry": 24.0,
        "k_spacing_per_ang": options.spacing,
        "k_shift": (1, 1, 1),
        "smearing": "marzari-vanderbilt",
        "smearing_width_ry": 0.02,
        "version": "6.7MaX",
        "scratch": options.scratch,
        "command": script(place / "timed", TIMED.format(times=times)),
    }
    side = float((options.atoms * 26.98 / 0.602214 / options.density) ** (1.0 / 3.0))
    cells = DisorderConfig(
        side_ang=(side, side), density_g_per_cm3=(options.density, options.density), min_distance_ang=2.0
    )
    config = CampaignConfig.model_validate(
        {"name": "overhead", "elements": ("Al",), "labeller": source, "builder": cells.model_dump()}
    )
    paths = CampaignPaths(place / "campaign")
    paths.make()
    save_resolved(config, paths.settings_in_force)
    level = make_labeller(config.labeller).fingerprint
    with Ledger(paths.directory) as ledger:
        ledger.append(
            "started", campaign_id="", fingerprint=level, settings_hash="", workers={}, host="", pid=0
        )
    builder = make_builder(cells, ("Al",))
    ids = []
    for number in range(options.labels):
        frame = builder.build(np.random.SeedSequence(number))
        ids.append(label_id(frame, level))
        write_candidate(paths.candidates, Candidate(ids[-1], frame, Provenance(source="bootstrap")))
    return paths, times, ids


def cost(number: int, paths: CampaignPaths, times: Path, id_: str) -> tuple[float, float, float, float]:
    """Label one candidate; return wall time of ours and of pw.x, and CPU time of both, s."""
    started, cpu_before_s = time.perf_counter(), all_cpu_s()
    (outcome,) = label_candidates(str(paths.directory), [id_], [True])
    wall_s, cpu_s = time.perf_counter() - started, all_cpu_s() - cpu_before_s
    if not outcome.ok:
        raise SystemExit(f"{outcome.reason}: {outcome.message}")
    elapsed_ns, _, of_children = times.read_text().splitlines()
    program_s = 1e-9 * int(elapsed_ns)
    program_cpu_s = sum(60.0 * float(m) + float(s) for m, s in re.findall(r"(\d+)m([\d.]+)s", of_children))
    ours_s, ours_cpu_s = wall_s - program_s, cpu_s - program_cpu_s
    print(
        f"{number:5} {program_s:8.2f} {1000 * ours_s:8.0f} {program_cpu_s:11.2f} {1000 * ours_cpu_s:12.0f}",
        flush=True,
    )
    return ours_s, program_s, ours_cpu_s, program_cpu_s


def all_cpu_s() -> float:
    return time.process_time() + children_cpu_s()


if __name__ == "__main__":
    main()
