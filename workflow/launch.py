"""``python -m workflow.launch``: start or resume a campaign, here or as batch jobs.

Exit status: 0 where the campaign came to its end, was asked to stop, or was submitted; 1 where it failed or
paused itself; 2 where the command or the settings are wrong; 75 where the allocation ends before the
campaign, which the same command takes up again.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from site_configs.load import SiteError
from site_configs.local import LocalSite
from site_configs.schedulers import SchedulerError
from workflow.display import complain, make_display, say
from workflow.driver import Ending
from workflow.execution.deadline import FOR_EVER
from workflow.execution.pool import PoolBrokenError
from workflow.interrupt import WARNINGS
from workflow.launching.allocation import RESUME, enter, leave, wait_until_free
from workflow.launching.plan import Plan, make_plan
from workflow.launching.site_plan import check_host, sites_text, wait_for_scheduler
from workflow.launching.submission import Submission
from workflow.ledger import LedgerDamagedError
from workflow.lock import CampaignRunningError
from workflow.settings.errors import SettingsError
from workflow.settings.overrides import add_set_option
from workflow.storage.manifest import DatasetError
from workflow.storage.paths import CampaignPaths

FINISHED, FAILED, WRONG_USE = 0, 1, 2

_USER_ERRORS = (
    SettingsError,
    SiteError,
    SchedulerError,
    CampaignRunningError,
    DatasetError,
    LedgerDamagedError,
)

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start or resume a campaign; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.list_sites:
            say(sites_text())
            return FINISHED
        return _launch(options)
    except _USER_ERRORS as error:
        complain(str(error))
        return WRONG_USE
    except KeyboardInterrupt:
        complain("interrupted")
        return 130


def _launch(options: argparse.Namespace) -> int:
    plan = wait_until_free(lambda: _plan(options)) if options.in_allocation else _plan(options)
    submission = None if options.in_allocation else _submission(plan, options.chain)
    say(plan.text())
    if options.dry_run:
        if submission is not None:
            say(f"\n{submission.script()}")
        return FINISHED
    if submission is not None:
        say(submission.submit(options.chain))
        return FINISHED
    return _run(plan, in_allocation=options.in_allocation)


def _plan(options: argparse.Namespace) -> Plan:
    if options.site is None:
        raise SettingsError("expected --site NAME or FILE; --list-sites shows the known ones")
    return make_plan(
        options.site, options.campaign, options.directory, options.overrides, resume=options.resume
    )


def _submission(plan: Plan, n_jobs: int) -> Submission | None:
    """Return what is to be submitted; ``None`` where the driver runs here."""
    if n_jobs < 1:
        raise SettingsError(f"--chain {n_jobs}: expected the number of jobs, at least 1")
    if isinstance(plan.site, LocalSite) or plan.site.mode == "pilot":
        if n_jobs > 1:
            raise SettingsError("--chain: nothing is submitted here, so there is no job to wait for")
        return None
    return Submission(plan, plan.site)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workflow.launch", description="Start or resume a campaign.", allow_abbrev=False
    )
    add = parser.add_argument
    add("--site", metavar="NAME|FILE", help="where it runs, such as local; see --list-sites")
    add("--list-sites", action="store_true", help="print the known sites and stop")
    add("--campaign", type=Path, metavar="FILE", help="its settings; not needed to resume")
    add("--directory", type=Path, metavar="DIR", help="where it lives; by default campaigns/NAME")
    add("--resume", action="store_true", help="go on with what is in the directory")
    add("--dry-run", action="store_true", help="check everything, print the plan (and batch script) and stop")
    add("--chain", type=int, default=1, metavar="N", help="submit N jobs, each going on where one ended")
    add("--in-allocation", action="store_true", help=argparse.SUPPRESS)  # what batch scripts say
    add_set_option(parser, "stop.max_rounds=3 or site.sampling.workers=2")
    return parser


def _run(plan: Plan, *, in_allocation: bool) -> int:
    from workflow.campaign import run_campaign  # here, so that a plan or an error is said at once

    deadline = enter(plan.site) if in_allocation else FOR_EVER
    check_host(plan.site)
    plan.prepare()
    display = make_display(plan.config)
    log = _log_to(CampaignPaths(plan.directory).logs / "driver.log")
    try:
        ending = run_campaign(plan.config, plan.site, plan.directory, display, deadline=deadline)
    except (*_USER_ERRORS, KeyboardInterrupt):
        raise
    except PoolBrokenError as error:
        display.close()
        say(f"the executors broke down, starting again: {error}")
        wait_for_scheduler(plan.site)
        _start_again(plan, in_allocation=in_allocation)
    except Exception as error:  # noqa: BLE001 (the user gets one line, the file the whole story)
        display.close()
        where = CampaignPaths(plan.directory).logs / "error.log"
        where.write_text(traceback.format_exc())
        complain(f"{type(error).__name__}: {' '.join(str(error).split())} (traceback in {where})")
        return FAILED
    finally:
        display.close()
        logging.getLogger().removeHandler(log)
        log.close()
    say(str(ending))
    report = plan.directory / "report.html"
    if report.exists():
        say(f"report: {report}")
    status = leave(plan, ending) if in_allocation else None
    return exit_status(ending) if status is None else status


def exit_status(ending: Ending) -> int:
    """Return what the command's status says of how a campaign ended."""
    if ending.by in {warning.name for warning in WARNINGS}:
        return RESUME
    return FINISHED if ending.by or ending.state in {"converged", "budget_spent"} else FAILED


def _log_to(path: Path) -> logging.Handler:
    """Send what all parts log to a file, and return what does so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("parsl").setLevel(logging.WARNING)
    return handler


def _start_again(plan: Plan, *, in_allocation: bool) -> NoReturn:
    """Replace this process by a new driver; what broke cannot be repaired from inside."""
    command = [sys.executable, "-m", "workflow.launch", "--site", plan.site_name]
    command += ["--resume", "--directory", str(plan.directory)]
    command += ["--in-allocation"] if in_allocation else []
    for override in plan.site_overrides:
        command += ["--set", override]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    sys.exit(main())
