"""``python -m workflow.launch``: start or resume a campaign.

Exit status: 0 where the campaign came to its end or was asked to stop, 1 where it failed or paused itself,
2 where the command or the settings are wrong.
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
from workflow.display import complain, make_display, say
from workflow.ledger import LedgerDamagedError
from workflow.lock import CampaignRunningError
from workflow.manifest import DatasetError
from workflow.paths import CampaignPaths
from workflow.plan import Plan, make_plan
from workflow.pool import PoolBrokenError
from workflow.settings_errors import SettingsError

FINISHED, FAILED, WRONG_USE = 0, 1, 2

_USER_ERRORS = (SettingsError, SiteError, CampaignRunningError, DatasetError, LedgerDamagedError)

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start or resume a campaign; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        plan = make_plan(
            options.site, options.campaign, options.directory, options.overrides, resume=options.resume
        )
        say(plan.text())
        if options.dry_run:
            return FINISHED
        return _run(plan)
    except _USER_ERRORS as error:
        complain(str(error))
        return WRONG_USE
    except KeyboardInterrupt:
        complain("interrupted")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workflow.launch", description="Start or resume a campaign.", allow_abbrev=False
    )
    add = parser.add_argument
    add("--site", required=True, metavar="NAME|FILE", help="where it runs, such as local")
    add("--campaign", type=Path, metavar="FILE", help="its settings; not needed to resume")
    add("--directory", type=Path, metavar="DIR", help="where it lives; by default campaigns/NAME")
    add("--resume", action="store_true", help="go on with what is in the directory")
    add("--dry-run", action="store_true", help="check everything, print the plan and stop")
    add(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="change a setting, such as stop.max_rounds=3 or site.sampling.workers=2; may be repeated",
    )
    return parser


def _run(plan: Plan) -> int:
    from workflow.campaign import run_campaign  # here, so that a plan or an error is said at once

    plan.prepare()
    display = make_display(plan.config)
    log = _log_to(CampaignPaths(plan.directory).logs / "driver.log")
    try:
        ending = run_campaign(plan.config, plan.site, plan.directory, display)
    except (*_USER_ERRORS, KeyboardInterrupt):
        raise
    except PoolBrokenError as error:
        display.close()
        say(f"the executors broke down, starting again: {error}")
        _start_again(plan)
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
    say(f"{ending.state}: {ending.reason}\nreport: {plan.directory / 'report.html'}")
    asked_for = ending.state == "paused" and ending.reason.startswith("interrupted")
    return FINISHED if asked_for or ending.state in {"converged", "budget_spent"} else FAILED


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


def _start_again(plan: Plan) -> NoReturn:
    """Replace this process by a new driver; what broke cannot be repaired from inside."""
    command = [sys.executable, "-m", "workflow.launch", "--site", plan.site_name]
    command += ["--resume", "--directory", str(plan.directory)]
    for override in plan.site_overrides:
        command += ["--set", override]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    sys.exit(main())
