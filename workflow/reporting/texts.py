"""Numbers as people read them, and the block that a log gets per round."""

from __future__ import annotations

from workflow.accounting import TimeSpent
from workflow.kpoint_noise import KpointNoise
from workflow.reporting.rounds import RoundRow


def duration_text(seconds: float) -> str:
    """Return a duration such as ``3 h 12 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def survival_text(median_ps: float | None, is_lower_bound: bool) -> str:
    """Return a median survival such as ``more than 12.5 ps``."""
    if median_ps is None:
        return "no trajectories under this ensemble yet"
    if median_ps < 0.001:  # stopped at its first look
        return "more than 0 ps" if is_lower_bound else "below 0.001 ps"
    return f"{'more than ' if is_lower_bound else ''}{median_ps:.3g} ps"


def errors_text(energy_mev_per_atom: float | None, force_ev_per_ang: float | None) -> str:
    """Return errors such as ``energy 1.90 meV/atom, force 41.0 meV/Å``."""
    if energy_mev_per_atom is None or force_ev_per_ang is None:
        return "errors not measured"
    return f"energy {energy_mev_per_atom:.2f} meV/atom, force {1000 * force_ev_per_ang:.1f} meV/Å"


def noise_text(noise: KpointNoise) -> str:
    """Return the noise of the labels, such as ``energy 3.10 meV/atom, force 41.0 meV/Å over 12 labels``."""
    failed = f"; failed checks: {noise.n_failed}" if noise.n_failed else ""
    if not noise.n_labels:
        return f"not known{failed}"
    errors = errors_text(noise.energy_rms_mev_per_atom, noise.force_rms_ev_per_ang)
    stress = "" if noise.stress_rms_gpa is None else f", stress {noise.stress_rms_gpa:.2f} GPa"
    return f"{errors}{stress} over {noise.n_labels} labels{failed}"


def shares_text(spent: TimeSpent) -> str:
    """Return where time went, such as ``useful 93.1 %, idle 6.9 %``; classes of 0 are left out."""
    shares = [f"{name} {100 * share:.1f} %" for name, share in spent.shares.items() if share]
    return ", ".join(shares) or "none yet"


def gpu_text(spent: TimeSpent, per_label_h: float | None) -> str:
    """Return where the GPUs' time went and what a label cost of it."""
    per_label = "" if per_label_h is None else f", {per_label_h:.3g} per label"
    return f"{spent.total_h:.3g} GPU-hours{per_label}: {shares_text(spent)}"


def round_block(row: RoundRow, n_members: int, duration_ps: float) -> str:
    """Return what a log says of a round: four lines without colour.

    Parameters
    ----------
    n_members
        Networks in the ensemble.
    duration_ps
        How long a trajectory's schedule is.
    """
    verdict = "promoted" if row.promoted else f"not promoted, {row.why}"
    refused = f"{row.rejected_candidates} refused" + (
        f"   {row.dropped_candidates} no longer needed" if row.dropped_candidates else ""
    )
    lines = [
        f"round {row.round} · {row.labels:,} labels · {duration_text(3600 * row.wall_h)}",
        f"  sampling   {row.trajectories_ended:5d} trajectories ended   {row.candidates} candidates   "
        f"{refused}   {row.trajectories_completed} reached {duration_ps:g} ps",
        f"  labelling  {row.new_labels:5d} labelled   {row.failed_labels} failed",
        f"  training   {n_members - row.failed_members:5d} of {n_members} members   "
        f"{errors_text(row.energy_rmse_mev_per_atom, row.force_rmse_ev_per_ang)}   {verdict}",
    ]
    return "\n".join(lines)
