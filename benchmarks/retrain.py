"""What other settings would make of a campaign's labels: errors on labels that never train, and crystals.

    python -m benchmarks.retrain campaigns/al_eam
    python -m benchmarks.retrain campaigns/al_eam --try training.max_epochs=120 --try potential.n_radial=16

Every set of settings trains an ensemble of its own from the same labels and seed. Without ``--try``: the
widths of shells and angles, from those published for aluminium (Smith et al. 2021) to ones that overlap.
"""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from ase.calculators.calculator import Calculator

from potentials.calculator import EnsembleCalculator
from potentials.training.train import TrainingResult, train_ensemble
from validation.crystals import crystal_table
from workflow.dataset import Dataset, Snapshot
from workflow.labellers import k_spacing_per_ang, make_labeller
from workflow.reporting.label_calculator import LabelCalculator
from workflow.settings.config import CampaignConfig
from workflow.settings.load import load_campaign
from workflow.storage.paths import CampaignPaths
from workflow.tasks.train import training_sets

_WIDTHS = (
    "potential.radial_eta_per_ang2=43.9 potential.angular_eta_per_ang2=6.5 potential.zeta=69.4",
    "potential.radial_eta_per_ang2=20 potential.angular_eta_per_ang2=4 potential.zeta=40",
    "potential.radial_eta_per_ang2=12 potential.angular_eta_per_ang2=2.5 potential.zeta=25",
    "potential.radial_eta_per_ang2=6 potential.angular_eta_per_ang2=1.5 potential.zeta=14",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train with each set of settings and print what comes of it."""
    options = _parser().parse_args(arguments)
    paths = CampaignPaths(options.campaign)
    snapshot = Dataset.open(paths.dataset).snapshot(options.snapshot)
    members = [f"potential.n_members={options.members}"]
    print(f"{options.campaign}: {snapshot.n_labels} labels, {options.members} members, seed {options.seed}")
    config = load_campaign(paths.settings, members)
    if (
        len(config.elements) == 1 and k_spacing_per_ang(config.labeller) is None
    ):  # else hundreds of calculations
        print("label source\n  " + _crystals(LabelCalculator(make_labeller(config.labeller)), config))
    for tried in options.settings or _WIDTHS:
        config = load_campaign(paths.settings, members + shlex.split(tried))
        began = time.process_time()
        result = _train(config, snapshot, options.seed)
        print(f"{tried}\n  {_errors(result)}; {time.process_time() - began:.0f} s of processor time")
        if len(config.elements) == 1:
            ensemble = result.ensemble.to(dtype=torch.float64)
            print("  " + _crystals(EnsembleCalculator(ensemble, forces_std=False), config), flush=True)


def _train(config: CampaignConfig, snapshot: Snapshot, seed: int) -> TrainingResult:
    train, validation = training_sets(snapshot, config)
    result = train_ensemble(
        train,
        validation,
        elements=config.elements,
        potential=config.potential,
        training=config.training,
        seed=seed,
    )
    assert result is not None, "nothing interrupts this training"
    return result


def _errors(result: TrainingResult) -> str:
    errors = result.validation
    if errors is None:
        return "no label is held out"
    energy, force = errors.energy_rmse_mev_per_atom, 1000 * errors.force_rmse_ev_per_ang
    return f"held out {errors.n_frames}: energy {energy:.2f} meV/atom, force {force:.1f} meV/Å"


def _crystals(calculator: Calculator, config: CampaignConfig) -> str:
    rows = crystal_table(calculator, config.elements[0])
    heights = ", ".join(f"{row.structure} {row.above_lowest_mev:.1f}" for row in rows)
    first = f"{rows[0].structure} a {rows[0].lattice_ang:.3f} Å, B {rows[0].bulk_modulus_gpa:.0f} GPa"
    return f"{heights} meV/atom; {first}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrain", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("campaign", type=Path, metavar="DIR", help="directory of the campaign")
    add("--snapshot", type=int, metavar="N", help="version of the data set; default the newest")
    add("--members", type=int, default=4, metavar="N", help="size of the ensembles: 4")
    add("--seed", type=int, default=1, help="of the trainings: 1")
    add("--try", action="append", dest="settings", metavar='"KEY=VALUE ..."', help="settings to try")
    return parser


if __name__ == "__main__":
    main()
