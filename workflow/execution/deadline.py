"""When the allocation ends that the driver runs in, and what can still be done until then."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass

from site_configs.config import BatchSite
from site_configs.schedulers import make_scheduler

_BEGAN = "SMELTER_ALLOCATION_BEGAN"
"""Holds when the first driver in this allocation began, s since the epoch."""


@dataclass(frozen=True)
class Deadline:
    """The end of the allocation.

    Attributes
    ----------
    end
        Seconds since the epoch; infinite where nothing ends.
    notice_s
        This long before it the campaign ends: nothing new is started, checkpoints are written, s.
    """

    end: float = math.inf
    notice_s: float = 0.0

    @property
    def closing_s(self) -> float:
        """The part of ``notice_s`` that is kept for the driver's own end, after that of its tasks, s."""
        return min(90.0, self.notice_s / 2.0)

    @property
    def task_time_s(self) -> float:
        """Time that tasks have left; below 0 when it is over, s."""
        return self.end - self.closing_s - time.time()

    @property
    def is_near(self) -> bool:
        """Whether the campaign must end."""
        return self.end - time.time() <= self.notice_s

    def allows(self, seconds: float) -> bool:
        """Return whether a task that takes this long can end in time."""
        return seconds <= self.task_time_s


FOR_EVER = Deadline()
"""Where nothing ends."""


def allocation_deadline(site: BatchSite) -> Deadline:
    """Return the end of the allocation that this process runs in.

    The scheduler is asked, since the end may not be what was asked for; where it gives no answer, the site's
    walltime counts from the driver's start.
    """
    scheduler = make_scheduler(site)
    began = float(os.environ.setdefault(_BEGAN, str(time.time())))
    job = scheduler.job_id()
    left = None if job is None else scheduler.time_left(job)
    end = began + site.walltime.total_seconds() if left is None else time.time() + left.total_seconds()
    return Deadline(end, float(site.notice_s))
