"""The driver inside a batch job: enters it when the campaign is free, and says in the end how to go on."""

from __future__ import annotations

import time
from collections.abc import Callable

from site_configs.config import BatchSite, SiteConfig
from site_configs.load import SiteError
from site_configs.local import LocalSite
from site_configs.schedulers import make_scheduler
from workflow.display import say
from workflow.driver import Ending
from workflow.execution.deadline import Deadline, allocation_deadline
from workflow.launching.plan import Plan
from workflow.launching.submission import cancel_rest_of_chain
from workflow.lock import STALE_S, CampaignRunningError
from workflow.storage.paths import CampaignPaths

RESUME = 75
"""Exit status of a job whose campaign goes on in another one (EX_TEMPFAIL of sysexits.h)."""
_LOOK_EVERY_S = 10.0


def wait_until_free(make: Callable[[], Plan]) -> Plan:
    """Return the plan when no other driver runs the campaign.

    A job that was killed leaves its campaign locked: from other hosts only the silence of its driver tells.

    Raises
    ------
    CampaignRunningError
        If another driver gives signs of life.
    """
    patience_ends = time.monotonic() + STALE_S + 2 * _LOOK_EVERY_S
    while True:
        try:
            return make()
        except CampaignRunningError as error:
            if time.monotonic() > patience_ends:
                raise
            say(f"waiting for the end of another driver: {error}")
            time.sleep(_LOOK_EVERY_S)


def enter(site: SiteConfig) -> Deadline:
    """Return when the job ends that this process runs in.

    Raises
    ------
    SiteError
        If it runs in none.
    """
    return allocation_deadline(_batch_site(site))


def _batch_site(site: SiteConfig) -> BatchSite:
    if isinstance(site, LocalSite):
        raise SiteError("--in-allocation: this site has no scheduler")
    if make_scheduler(site).job_id() is None:
        raise SiteError("not inside an allocation; leave out --in-allocation to submit a job")
    return site


def leave(plan: Plan, ending: Ending) -> int | None:
    """Return the exit status where the campaign is to go on in another job; ``None`` where it is not.

    Jobs that wait for this one are cancelled where there is nothing for them to do, or nothing before
    somebody has mended what paused the campaign.
    """
    if ending.by:
        return RESUME
    if ending.state != "failed":
        rest = cancel_rest_of_chain(_batch_site(plan.site), CampaignPaths(plan.directory))
        if rest:
            say(f"cancelled the jobs that were to follow: {', '.join(rest)}")
    return None
