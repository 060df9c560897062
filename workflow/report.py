"""``python -m workflow.report DIR``: ``report.html``, one file with everything at a glance."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from potentials.durable import replace_file
from potentials.storage import DamagedModelError
from validation.crystals import Crystal
from workflow.accounting import worker_hours
from workflow.display import complain, say
from workflow.ledger import LedgerDamagedError, read_ledger
from workflow.reporting import plots
from workflow.reporting.properties import Crystals, crystal_properties
from workflow.reporting.property_history import history_table
from workflow.reporting.report_page import Page, picture, table
from workflow.reporting.rounds import RoundRow, round_rows
from workflow.reporting.summary import NoCampaignError, Summary, summarise
from workflow.reporting.texts import duration_text, gpu_text, noise_text, shares_text, survival_text
from workflow.settings.config import CampaignConfig
from workflow.settings.errors import SettingsError
from workflow.settings.load import load_campaign
from workflow.state import CampaignState, Round, load_state
from workflow.storage.files import DamagedFileError, load_npz
from workflow.storage.paths import CampaignPaths
from workflow.survival import Survival, survival_curve

REPORT_NAME = "report.html"
_MOST_CURVES = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report of a campaign; return 0, or 2 where there is none."""
    parser = argparse.ArgumentParser(prog="python -m workflow.report", description="Write report.html.")
    parser.add_argument("directory", type=Path, metavar="DIR", help="directory of the campaign")
    options = parser.parse_args(arguments)
    try:
        say(str(write_report(options.directory)))
    except (NoCampaignError, LedgerDamagedError, SettingsError, DamagedModelError) as error:
        complain(str(error))
        return 2
    return 0


def write_report(directory: Path) -> Path:
    """Write ``report.html`` of the campaign in ``directory``; return the file.

    Raises
    ------
    NoCampaignError, LedgerDamagedError, SettingsError, DamagedModelError
        If there is no campaign, or what is there cannot be read.
    """
    summary = summarise(directory)
    state = load_state(directory)
    config = load_campaign(CampaignPaths(directory).settings_in_force)
    page = Page(config.name, summary.state)
    _headline(page, config, summary)
    _crystals(page, directory, config, state)
    _properties(page, state)
    _errors(page, round_rows(read_ledger(directory)), summary)
    _disagreement(page, directory, state.best_round())
    _survival(page, config, state)
    _yield(page, state)
    _time(page, state, summary)
    path = directory / REPORT_NAME
    made = time.strftime("%Y-%m-%d %H:%M")
    replace_file(path, page.html(f"{directory.resolve().name} · written {made}").encode())
    return path


def _headline(page: Page, config: CampaignConfig, summary: Summary) -> None:
    page.text(summary.reason)
    page.text(summary.promotion)
    page.text(
        f"{' '.join(config.elements)} · labels from {config.labeller.kind} · no structure chosen by hand"
    )
    errors = summary.validation
    energy = errors.energy_rmse_mev_per_atom if errors else None
    force = errors.force_rmse_ev_per_ang if errors else None
    survival = survival_text(summary.median_survival_ps, summary.median_survival_is_lower_bound)
    page.cards(
        [
            (f"{summary.labels:,}", "labels"),
            (f"{summary.round}", f"rounds, best: {summary.ensemble or 'none yet'}"),
            ("–" if energy is None else f"{energy:.2f} meV/atom", "energy error, held out (RMSE)"),
            ("–" if force is None else f"{1000 * force:.0f} meV/Å", "force error, held out (RMSE)"),
            (survival.removeprefix("more than ") if "ps" in survival else "–", _survival_caption(summary)),
            (duration_text(3600 * summary.wall_h), f"workers {summary.workers_busy_fraction:.0%} busy"),
            (f"{summary.label_core_h:.3g} core-h", "for labels"),
            (f"{summary.candidates:,} / {summary.quarantined:,}", "frames waiting / refused"),
        ]
    )


def _survival_caption(summary: Summary) -> str:
    return "median survival" + (", at least" if summary.median_survival_is_lower_bound else "")


def _crystals(page: Page, directory: Path, config: CampaignConfig, state: CampaignState) -> None:
    found = crystal_properties(directory, config, state)
    if found is None:
        page.section("Crystals nobody told it about", "They appear with the first ensemble.")
        return
    for system in found.systems:
        pictures = []
        if any(row.found for row in (system.source or system.ensemble)) and system.curves:
            pictures = [picture(plots.cold_curves(system), f"cold curves of {system.system}")]
        page.section(
            f"{system.system}: crystals nobody told it about",
            f"Lines: {found.ensemble}, with the spread of its members; in the table, that of ΔE. "
            + ("Points: the label source itself." if system.source else "Labels cost too much to compare."),
            *pictures,
            _crystal_table(system),
        )


def _crystal_table(system: Crystals) -> str:
    above = "ΔE, meV/atom" if system.curves else "formation, meV/atom"
    head = ["", "V, Å³/atom", "a, Å", "c/a", above, "spread, meV/atom", "B, GPa", "C11, C12, C44, GPa"]
    rows = []
    sources: Sequence[Crystal | None] = system.source or [None] * len(system.ensemble)
    for ensemble, source in zip(system.ensemble, sources, strict=True):
        rows.append([f"{ensemble.structure} {ensemble.formula}", *_crystal_cells(ensemble)])
        if source is not None:
            rows.append(["    label source", *_crystal_cells(source)])
    return table([*head, ""], rows, remarks=True)


def _crystal_cells(row: Crystal) -> list[str]:
    return [
        _number(row.volume_ang3, 2),
        _number(row.lattice_ang, 3),
        "" if row.c_over_a is None else _number(row.c_over_a, 3),
        _number(row.above_lowest_mev, 1),
        _number(row.spread_mev, 1) if row.spread_mev > 0.0 else "",
        _number(row.bulk_modulus_gpa, 1),
        _elastic(row),
        row.remark,
    ]


def _elastic(row: Crystal) -> str:
    constants = (row.c11_gpa, row.c12_gpa, row.c44_gpa)
    return ", ".join(_number(c, 1) for c in constants) if math.isfinite(row.c11_gpa) else ""


def _properties(page: Page, state: CampaignState) -> None:
    if state.properties:
        refused = {number: r.why for number, r in state.rounds.items() if r.unmet}
        head, rows = history_table(state.properties, refused)
        page.section(
            "Properties by round",
            "Of each promoted ensemble, and of those that the gate refused; all that the suite found is in "
            "validation.json beside it.",
            table(head, rows, remarks=True),
        )


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def _errors(page: Page, rows: Sequence[RoundRow], summary: Summary) -> None:
    measured = [row for row in rows if row.energy_rmse_mev_per_atom is not None]
    noise = summary.kpoint_noise
    curves = plots.learning_curves(measured, noise) if measured else ""
    contents = [picture(curves, "held-out errors by round")] if measured else []
    page.section(
        "Held-out error by round",
        "On the fixed validation set, chosen by hash, which never trains. Hollow: not promoted."
        + (f" k-point noise of the labels (dashed): {noise_text(noise)}." if noise else ""),
        *contents,
    )


def _disagreement(page: Page, directory: Path, best: Round | None) -> None:
    contents = []
    held_out = _held_out(directory, best)
    if best is not None and held_out is not None and len(held_out["n_atoms"]):
        factors = (best.calibration.get("energy", 1.0), best.calibration.get("force", 1.0))
        contents = [picture(plots.expected_against_error(held_out, *factors), "expected and real errors")]
    page.section(
        "Does it know what it does not know?",
        "Each point is a frame of the validation set; the band is a factor of two. Trajectories stop on the "
        "expected error, so it should follow the real one.",
        *contents,
    )


def _held_out(directory: Path, best: Round | None) -> dict[str, plots.Floats] | None:
    if best is None:
        return None
    try:
        return load_npz(CampaignPaths(directory).model(best.number) / "held_out.npz")
    except (FileNotFoundError, DamagedFileError):
        return None


def _survival(page: Page, config: CampaignConfig, state: CampaignState) -> None:
    curves = {
        f"round {number}": curve
        for number, round_ in sorted(state.rounds.items())
        if (curve := survival_curve(state.exposures.get(round_.name, []))).followed_fs > 0
    }
    goal = config.stop.median_survival_ps
    shown = _spread_out(curves)
    pictures = [picture(plots.survival_curves(shown, goal), "survival by round")] if shown else []
    page.section(
        "Survival of trajectories",
        "Share of trajectories in which the ensemble still agrees with itself (Kaplan–Meier; those cut short "
        f"are censored). The goal: above one half at {goal:g} ps.",
        *pictures,
    )


def _spread_out(curves: dict[str, Survival]) -> dict[str, Survival]:
    """Return at most so many as one can tell apart, the first and the last among them."""
    names = list(curves)
    if len(names) <= _MOST_CURVES:
        return curves
    chosen = np.unique(np.linspace(0, len(names) - 1, _MOST_CURVES).round().astype(int))
    return {names[i]: curves[names[i]] for i in chosen}


def _yield(page: Page, state: CampaignState) -> None:
    groups = {
        "candidate": dict(state.accepted.most_common()),
        "not taken": dict(state.rejected.most_common()),
        "dropped": dict(state.rescored_dropped.most_common()),
        "label failed": dict(state.label_failures.most_common()),
    }
    groups = {name: reasons for name, reasons in groups.items() if reasons}
    page.section(
        "Where frames came from, and where they went",
        f"{state.n_labelled:,} labels made.",
        *([picture(plots.counts(groups), "frames by reason")] if groups else []),
    )


def _time(page: Page, state: CampaignState, summary: Summary) -> None:
    hours = worker_hours(state)
    sessions = len(state.sessions)
    page.section(
        "Where the time went",
        f"Over {sessions} {'session' if sessions == 1 else 'sessions'}, ramp-up and end included: "
        f"{shares_text(summary.worker_time)}. Discarded: labels refused, trainings not promoted."
        + (f" {gpu_text(summary.gpu_time, summary.gpu_h_per_label)}." if summary.gpu_time.total_h else ""),
        *([picture(plots.time_spent(hours), "time of the workers")] if hours else []),
    )


if __name__ == "__main__":
    sys.exit(main())
