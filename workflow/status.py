"""``python -m workflow.status DIR [--json]``: where a campaign stands, whether its driver is alive or not."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from workflow.display import complain, say
from workflow.launching.jobs import submitted_jobs
from workflow.ledger import LedgerDamagedError
from workflow.reporting.property_history import headline_text
from workflow.reporting.summary import NoCampaignError, Summary, summarise
from workflow.reporting.texts import errors_text, gpu_text, noise_text, shares_text, survival_text
from workflow.storage.paths import CampaignPaths


def main(arguments: Sequence[str] | None = None) -> int:
    """Print where the campaign stands; return 0, or 2 where there is none."""
    parser = argparse.ArgumentParser(prog="python -m workflow.status", description="Where a campaign stands.")
    parser.add_argument("directory", type=Path, metavar="DIR", help="directory of the campaign")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    options = parser.parse_args(arguments)
    try:
        summary = summarise(options.directory)
    except NoCampaignError as error:
        if jobs := submitted_jobs(CampaignPaths(options.directory)):
            say(_submitted(options.directory, jobs, as_json=options.json))
            return 0
        complain(str(error))
        return 2
    except LedgerDamagedError as error:
        complain(str(error))
        return 2
    say(json.dumps(summary.as_json(), indent=2) if options.json else status_text(options.directory, summary))
    return 0


def _submitted(directory: Path, jobs: Sequence[str], *, as_json: bool) -> str:
    """Return what is known of a campaign whose first job has not begun."""
    if as_json:
        return json.dumps({"state": "submitted", "jobs": list(jobs)}, indent=2)
    return f"{directory}\n  {'state':<16} submitted, not begun\n  {'jobs':<16} {', '.join(jobs)}"


def status_text(directory: Path, summary: Summary) -> str:
    """Return the summary as a short table."""
    rows = [
        ("state", _state(summary)),
        (
            "labels",
            f"{summary.labels:,} made, {summary.candidates:,} waiting, {summary.quarantined:,} refused",
        ),
        ("ensemble", f"round {summary.round}, best: {summary.ensemble}" if summary.ensemble else "none yet"),
        ("validation", _errors(summary)),
        *([("properties", headline_text(summary.properties))] if summary.properties else []),
        *([("promotion", summary.promotion)] if summary.promotion else []),
        *([("k-point noise", noise_text(summary.kpoint_noise))] if summary.kpoint_noise else []),
        (
            "median survival",
            survival_text(summary.median_survival_ps, summary.median_survival_is_lower_bound),
        ),
        ("workers", _busy(summary)),
        ("their time", shares_text(summary.worker_time)),
        ("time", f"{summary.wall_h:.2f} h, labels {summary.label_core_h:.2f} core-hours"),
        ("driver", _driver(summary)),
    ]
    if summary.gpu_time.total_h:
        rows.append(("GPUs", gpu_text(summary.gpu_time, summary.gpu_h_per_label)))
    lines = [f"  {name:<16} {text}" for name, text in rows]
    if jobs := submitted_jobs(CampaignPaths(directory)):
        lines.append(f"  {'jobs':<16} {', '.join(jobs)} (the last that were submitted)")
    if summary.reason:
        lines.append(f"  {'reason':<16} {summary.reason}")
    if summary.can_go_on:
        lines.append(f"  {'to go on':<16} python -m workflow.launch --resume --directory {directory}")
    return "\n".join([str(directory), *lines])


def _errors(summary: Summary) -> str:
    if summary.validation is None:
        return "no ensemble yet"
    text = errors_text(summary.validation.energy_rmse_mev_per_atom, summary.validation.force_rmse_ev_per_ang)
    return f"{text} (RMSE, {summary.validation.n_labels} labels)"


def _state(summary: Summary) -> str:
    died = summary.can_go_on and summary.state != "paused"
    return f"{summary.state}, but its driver is gone" if died else summary.state


def _busy(summary: Summary) -> str:
    roles = ", ".join(f"{role} {share:.0%}" for role, share in summary.busy_by_role.items())
    return f"{summary.workers_busy_fraction:.0%} busy" + (f" ({roles})" if roles else "")


def _driver(summary: Summary) -> str:
    if summary.driver is None:
        return "never started"
    where = f"process {summary.driver.pid} on {summary.driver.host}"
    return f"{where}, alive" if summary.driver.alive else f"not running (last: {where})"


if __name__ == "__main__":
    sys.exit(main())
