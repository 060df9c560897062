"""``python -m workflow.converge``: which cutoff and k-points a campaign's labels need, and what they cost.

Labels a few of the campaign's own random cells with several values of each setting, and compares with the
finest. Exit status: 0 where values within the tolerances were found, 1 where not, 2 for wrong use.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ase import Atoms

from qm.codes import CODES
from qm.dft_config import DftConfig
from sampling.builder import BuildError
from sampling.builders import make_builder
from workflow.convergence import CUTOFF_FACTORS, SPACING_FACTORS, Axis, Point, cutoff_of, recommended, sweep
from workflow.display import complain, say
from workflow.reporting.convergence_plot import convergence_figure
from workflow.settings.argument_types import count, positive
from workflow.settings.config import CampaignConfig
from workflow.settings.errors import SettingsError
from workflow.settings.load import load_campaign
from workflow.settings.overrides import add_set_option
from workflow.tasks.context import BOOTSTRAP_STREAM, seed_sequence

FOUND, NOT_FOUND, WRONG_USE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        config = load_campaign(options.campaign, options.overrides)
        labeller = _labeller(config, options.campaign)
        frames = _frames(config, options.frames)
    except (SettingsError, BuildError) as error:
        complain(str(error))
        return WRONG_USE
    cutoff = cutoff_of(labeller)
    cutoffs = options.cutoffs or [getattr(labeller, cutoff) * factor for factor in CUTOFF_FACTORS]
    spacings = options.spacings or [labeller.k_spacing_per_ang * factor for factor in SPACING_FACTORS]
    for name, values in (("--cutoffs", cutoffs), ("--spacings", spacings)):
        if len(set(values)) < 2:
            complain(f"{name}: found one value; expected two or more, of which the finest is the reference")
            return WRONG_USE
    axes: tuple[tuple[Axis, list[float]], ...] = (
        (cutoff, cutoffs),
        ("k_spacing_per_ang", spacings),
    )
    say(f"{len(frames)} cells of {', '.join(str(len(frame)) for frame in frames)} atoms")
    sweeps = [
        sweep(labeller, frames, axis, values, workers=options.workers, on_label=say) for axis, values in axes
    ]
    out: Path = options.out or Path(f"convergence-{config.name}")
    tolerances = (options.energy_error, options.force_error)
    _write(out, sweeps, tolerances)
    best = [recommended(points, *tolerances) for points in sweeps]
    for points, choice in zip(sweeps, best, strict=True):
        say(f"\n{_table(points)}\n{_advice(points, choice, *tolerances)}")
    say(f"\n{out / 'convergence.csv'}, {out / 'convergence.svg'}")
    return FOUND if all(best) else NOT_FOUND


def _labeller(config: CampaignConfig, file: Path) -> DftConfig:
    if not isinstance(config.labeller, DftConfig):
        raise SettingsError(
            f"{file}: labeller.kind: {config.labeller.kind} has no cutoff and k-points; "
            "expected espresso, cp2k, gpaw or vasp"
        )
    try:
        resolved: DftConfig = CODES[type(config.labeller)].resolved(config.labeller)
    except ValueError as error:
        raise SettingsError(f"{file}: labeller: {error}") from error
    return resolved


def _frames(config: CampaignConfig, n: int) -> list[Atoms]:
    """Return the first cells that the campaign would begin with."""
    builder = make_builder(config.builder, config.elements)
    return [builder.build(seed_sequence(config, BOOTSTRAP_STREAM, index)) for index in range(n)]


def _write(out: Path, sweeps: Sequence[Sequence[Point]], tolerances: tuple[float, float]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    rows = [asdict(point) for points in sweeps for point in points]
    with (out / "convergence.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow(row | {name: " ".join(row[name]) for name in ("meshes", "failures")})
    convergence_figure(sweeps, *tolerances).savefig(out / "convergence.svg")


def _table(points: Sequence[Point]) -> str:
    lines = [f"{points[0].axis:>22}  energy meV/atom  force eV/Å  core s/label  k-points"]
    for point in points:
        errors = (
            f"{point.energy_error_mev_per_atom:15.2f}  {point.force_error_ev_per_ang:10.4f}"
            if point is not points[-1]
            else f"{'(reference)':>27}"
        )
        failed = f"; failed: {', '.join(point.failures)}" if point.failures else ""
        lines.append(f"{point.value:22.4g}  {errors}  {point.core_s:12.1f}  {' '.join(point.meshes)}{failed}")
    return "\n".join(lines)


def _advice(points: Sequence[Point], choice: Point | None, energy: float, force: float) -> str:
    within = f"within {energy:g} meV/atom and {force:g} eV/Å"
    if choice is None:
        return f"nothing but the reference is {within}: try finer values of {points[0].axis}"
    return (
        f"recommended: {choice.axis}: {choice.value:.4g}, {within}, {choice.core_s:.1f} core s per label; "
        f"what is left of its error, no potential can be better than"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workflow.converge",
        description="Find the cutoff and the spacing of k-points that a campaign's labels need.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--campaign", type=Path, required=True, metavar="FILE", help="its settings")
    add("--frames", type=count, default=3, metavar="N", help="random cells to label (default %(default)s)")
    add(
        "--cutoffs",
        type=positive,
        nargs="+",
        metavar="VALUE",
        help="cutoffs to try, in its unit; by default around its own",
    )
    add("--spacings", type=positive, nargs="+", metavar="PER_ANG", help="spacings of k-points to try")
    add("--energy-error", type=positive, default=5.0, metavar="MEV", help="per atom (default %(default)s)")
    add("--force-error", type=positive, default=0.05, metavar="EV_PER_ANG", help="(default %(default)s)")
    add("--workers", type=count, default=1, metavar="N", help="labels side by side (default %(default)s)")
    add("--out", type=Path, metavar="DIR", help="for table and plot; by default convergence-NAME")
    add_set_option(parser, "labeller.k_shift=[1,1,1]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
