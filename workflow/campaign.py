"""The campaign: bootstrap, then sampling, labelling and training at the same time, until it ends."""

from __future__ import annotations

import logging
import math
import os
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from site_configs.config import SiteConfig
from site_configs.roles import Part
from workflow.dataset import Dataset
from workflow.display import Display
from workflow.driver import Driver, Ending
from workflow.execution.deadline import FOR_EVER, Deadline
from workflow.execution.pool import ParslPool, Pool, PoolBrokenError
from workflow.execution.processes import reap
from workflow.execution.running import lost_seconds
from workflow.interrupt import interruptible
from workflow.journal import Journal
from workflow.ledger import Ledger
from workflow.lock import HEARTBEAT_S, CampaignLock
from workflow.opening import checked_fingerprint, open_dataset, take_import, tidy
from workflow.report import write_report
from workflow.reporting.metrics import write_metrics
from workflow.settings.config import CampaignConfig
from workflow.settings.load import settings_hash
from workflow.stages.bootstrap import Bootstrap
from workflow.stages.labelling import Labelling
from workflow.stages.properties import Properties
from workflow.stages.sampling import Sampling
from workflow.stages.training import Training, record_merge
from workflow.state import load_state
from workflow.stop import StopRule
from workflow.storage.paths import CampaignPaths
from workflow.tasks.label import label_candidates

logger = logging.getLogger(__name__)

WATCH_EVERY_S = 5.0
"""Results wake the driver at once; this is how often it looks after executors and budgets without any."""

GRACE_S = 120.0
"""How long an interrupted campaign waits for its tasks to write their checkpoints."""

CANCELLED_GRACE_S = 10.0
"""The same where a scheduler sent SIGTERM: it kills whatever is left within half a minute."""

WALLTIME = "walltime"
"""What ended a campaign whose allocation ends."""

MAX_BREAKDOWNS = 5
"""Breakdowns of the executors without a finished task in between, before the campaign is given up."""

MakePool = Callable[[SiteConfig, Path, str], Pool]


def run_campaign(
    config: CampaignConfig,
    site: SiteConfig,
    directory: Path,
    display: Display,
    make_pool: MakePool = ParslPool,
    deadline: Deadline = FOR_EVER,
) -> Ending:
    """Run the campaign in ``directory`` from wherever it stands to its end, or to the allocation's.

    Everything that an earlier driver left finished is taken up; the settings in force are ``config``. With a
    ``deadline`` the campaign ends before it in state paused, everything unfinished saved.

    Raises
    ------
    CampaignRunningError
        If another driver runs this campaign, or has taken it over from this one.
    SettingsError
        If the label source's level of theory is not the data set's, or starting data cannot be read.
    DatasetError, LedgerDamagedError
        If what is on disk is damaged.
    PoolBrokenError
        If the executors broke down; a new driver process can go on.
    """
    paths = CampaignPaths(directory)
    paths.make()
    with CampaignLock(directory) as lock, Ledger(directory) as ledger:
        journal = Journal(ledger, load_state(directory), display)
        ending = _drive(config, site, paths, lock, journal, make_pool, deadline)
    write_metrics(directory)
    if not (ending.by and math.isfinite(deadline.end)):  # then there is no time
        write_report(directory)
    return ending


def _drive(
    config: CampaignConfig,
    site: SiteConfig,
    paths: CampaignPaths,
    lock: CampaignLock,
    journal: Journal,
    make_pool: MakePool,
    deadline: Deadline,
) -> Ending:
    campaign_id = journal.state.campaign_id or uuid.uuid4().hex
    for pid in reap(campaign_id):
        logger.warning("ended process %d, left behind by an earlier driver", pid)
    dataset = _begin(config, site, paths, journal, campaign_id)
    try:
        with closing(make_pool(site, paths.logs, campaign_id)) as pool:
            driver = Driver(paths, config, pool, journal, deadline)
            with interruptible(driver):
                ending = Campaign(driver, dataset, lock).run()
    except PoolBrokenError as error:
        journal.record("broken", reason=str(error))
        n_breakdowns = journal.state.n_breakdowns
        if n_breakdowns <= MAX_BREAKDOWNS:
            raise
        ending = Ending("failed", f"the executors broke down {n_breakdowns} times in a row: {error}")
    for sign in (paths.stop_sampling, paths.stop_training):
        sign.unlink(missing_ok=True)
    journal.record("stopped", state=ending.state, reason=ending.reason)
    return ending


def _begin(
    config: CampaignConfig, site: SiteConfig, paths: CampaignPaths, journal: Journal, campaign_id: str
) -> Dataset:
    """Check and tidy what is on disk, write down that this driver has begun, and return the data set."""
    dataset = open_dataset(paths)
    fingerprint = checked_fingerprint(config, journal.state, dataset)
    tidy(paths, dataset)
    imports = config.bootstrap.import_extxyz is not None and not journal.state.n_imported
    taken = take_import(config, paths, fingerprint) if imports else None
    sessions, last_event = journal.state.sessions, journal.state.last_event
    journal.record(
        "started",
        campaign_id=campaign_id,
        fingerprint=fingerprint,
        settings_hash=settings_hash(config),
        resumed=bool(sessions),
        workers={name: part.workers for name, part in site.executors.items()},
        gpus={name: _n_gpus(part) for name, part in site.executors.items()},
        lost_s=lost_seconds(paths.logs, sessions[-1].started, last_event) if sessions else {},
        host=socket.gethostname(),
        pid=os.getpid(),
    )
    if taken is not None:
        n, n_refused = taken
        journal.record("imported", n=n, refused=n_refused, file=config.bootstrap.import_extxyz)
        journal.note(f"{n} labels taken from {config.bootstrap.import_extxyz}, {n_refused} refused")
    if journal.state.version != dataset.version:  # the last driver died between a merge and saying so
        record_merge(journal, dataset, n_new=dataset.n_labels - journal.state.n_labels, n_duplicates=0)
    return dataset


def _n_gpus(part: Part) -> int:
    """Return how many GPUs the workers of an executor hold when it has all its blocks."""
    return part.n_blocks * sum(slice_.n_gpus * slice_.n_nodes for slice_ in part.slices)


class Campaign:
    """One driver's run of a campaign: reacts to finished tasks by starting what has become possible."""

    def __init__(self, driver: Driver, dataset: Dataset, lock: CampaignLock) -> None:
        self._driver = driver
        self._lock = lock
        self._lock_seen = time.monotonic()
        self._give_up: float | None = None
        self._heeded: str | None = None
        """The signal that was acted on last."""
        self._stop_rule = StopRule()
        self._labelling = Labelling(driver, merged=dataset.ids)
        self._bootstrap = Bootstrap(driver, self._labelling)
        self._training = Training(driver, self._labelling, dataset)
        self._sampling = Sampling(driver, self._labelling)
        self._properties = Properties(driver)

    def run(self) -> Ending:
        """Run to the end and return it."""
        while not self._is_over():
            self._driver.handle_results(WATCH_EVERY_S)
            self._check_lock()
            if not self._pool_works():
                break
        self._training.synchronise()
        if self._driver.ending is None:
            raise AssertionError("the loop ends only once an ending is decided")
        return self._driver.ending

    def _pool_works(self) -> bool:
        """Raise where tasks may wait for ever; a campaign that is being interrupted just ends then.

        A scheduler that cancels a job ends the workers at the same time.
        """
        try:
            self._driver.pool.check()
        except PoolBrokenError as error:
            self._decide()
            if self._driver.ending is None or not self._driver.ending.by:
                raise
            logger.warning("while ending: %s", error)
            return False
        for line in self._driver.pool.news():
            self._driver.record("machine", line=line)
            self._driver.note(line)
        return True

    def _check_lock(self) -> None:
        """Stop before anything is merged if this driver was asleep and another has taken over."""
        if time.monotonic() - self._lock_seen > HEARTBEAT_S:
            self._lock.check()
            self._lock_seen = time.monotonic()

    def _is_over(self) -> bool:
        """Start what can be started; return whether nothing is running and nothing will."""
        driver = self._driver
        driver.refresh_settings()
        self._decide()
        self._submit()
        if not driver.n_running and driver.ending is None:
            self._end_for_want_of_work()
        return not driver.n_running or (self._give_up is not None and time.monotonic() > self._give_up)

    def _decide(self) -> None:
        driver = self._driver
        if driver.interrupted_by != self._heeded:
            self._heeded = driver.interrupted_by
            self._interrupt(f"interrupted by {self._heeded}", str(self._heeded))
        elif self._give_up is None and driver.deadline.is_near:
            self._interrupt("the walltime is nearly over", WALLTIME)
        elif driver.ending is None:
            ending = self._stop_rule.ending(driver.state, driver.config, self._n_labels)
            if ending is not None:
                driver.end(*ending)

    def _interrupt(self, why: str, by: str) -> None:
        """End with as much saved as the time allows; labels that do not make it stay candidates."""
        deadline = self._driver.deadline
        grace_s = GRACE_S
        if math.isfinite(deadline.end):
            grace_s = CANCELLED_GRACE_S if by == "SIGTERM" else max(0.0, deadline.task_time_s)
        self._give_up = time.monotonic() + grace_s
        self._driver.end("paused", f"{why}; --resume goes on from here", by)

    @property
    def _n_labels(self) -> int:
        return self._driver.state.n_labels + len(self._labelling.unmerged)

    def _submit(self) -> None:
        driver = self._driver
        if driver.ending is not None:
            self._finish(driver.ending)
            return
        self._properties.submit()
        self._bootstrap.submit()
        self._labelling.submit(room=self._room())
        if driver.state.current:
            self._training.submit(at_least=driver.config.synchronisation.min_new_labels)
            self._sampling.submit(self._training.n_unlearned() + self._labelling.n_candidates)
        elif self._bootstrap.is_ready:
            self._training.submit(at_least=1)

    def _room(self) -> int | None:
        """How many more labels the budget allows."""
        limit = self._driver.config.stop.max_labels
        return None if limit is None else limit - self._n_labels

    def _finish(self, ending: Ending) -> None:
        """Start nothing new, but let the last ensemble learn from every label when these were the budget.

        Promoted ensembles still go through the property suite.
        """
        if ending.state != "paused":
            self._properties.submit()
        room = self._room()
        ready = self._labelling.is_idle and not self._training.n_running
        if ending.state == "budget_spent" and room is not None and room <= 0 and ready:
            self._training.submit(at_least=1)
            if self._driver.is_paused("training"):
                self._end_paused()

    def _end_for_want_of_work(self) -> None:
        driver = self._driver
        if driver.state.paused:
            self._end_paused()
            return
        if self._labelling.n_candidates and not driver.has_time_for(label_candidates):
            self._interrupt("no label can end within the walltime", WALLTIME)
            return
        refused = sum(driver.state.label_failures.values()) + sum(driver.state.rejected.values())
        driver.end(
            "failed",
            f"nothing left to do: {self._n_labels} labels, {refused} frames refused, "
            f"{len(driver.state.current)} ensembles to go on with; see quarantine/ and logs/",
        )

    def _end_paused(self) -> None:
        event = next(iter(self._driver.state.paused.values()))
        self._driver.end("paused", f"{event['stage']} is paused: {event['reason']}. {event['remedy']}")
