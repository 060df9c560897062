"""The campaign: bootstrap, then sampling, labelling and training at the same time, until it ends."""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qm.labellers import make_labeller
from site_configs.config import SiteConfig
from workflow.config import CampaignConfig
from workflow.dataset import Dataset
from workflow.display import Display
from workflow.driver import Driver, Ending
from workflow.extxyz import read_extxyz
from workflow.interrupt import interruptible
from workflow.ledger import Ledger
from workflow.lock import CampaignLock
from workflow.metrics import write_metrics
from workflow.paths import CampaignPaths
from workflow.pool import ParslPool, Pool
from workflow.processes import reap
from workflow.report import write_report
from workflow.settings import settings_hash
from workflow.settings_errors import SettingsError
from workflow.spool import write_label
from workflow.stages.bootstrap import Bootstrap
from workflow.stages.labelling import Labelling
from workflow.stages.sampling import Sampling
from workflow.stages.training import Training
from workflow.state import CampaignState, load_state
from workflow.stop import converged, out_of_budget

logger = logging.getLogger(__name__)

WATCH_EVERY_S = 5.0
"""Results wake the driver at once; this is how often it looks after executors and budgets without any."""

GRACE_S = 120.0
"""How long an interrupted campaign waits for its tasks to write their checkpoints."""


def run_campaign(config: CampaignConfig, site: SiteConfig, directory: Path, display: Display) -> Ending:
    """Run the campaign in ``directory`` from wherever it stands to its end.

    Everything that an earlier driver left finished is taken up; the settings in the directory are ``config``.

    Raises
    ------
    CampaignRunningError
        If another driver runs this campaign.
    SettingsError
        If the label source's level of theory is not the data set's.
    DatasetError, LedgerDamagedError
        If what is on disk is damaged.
    PoolBrokenError
        If the executors broke down; a new driver process can go on.
    """
    paths = CampaignPaths(directory)
    paths.make()
    with CampaignLock(directory), Ledger(directory) as ledger:
        state = load_state(directory)
        campaign_id = state.campaign_id or uuid.uuid4().hex
        for pid in reap(campaign_id):
            logger.warning("ended process %d, left behind by an earlier driver", pid)
        dataset = _open_dataset(paths)
        fingerprint = _checked_fingerprint(config, state, dataset)
        with _pool(site, paths, campaign_id) as pool:
            driver = Driver(paths, config, pool, ledger, state, display)
            driver.record(
                "started",
                campaign_id=campaign_id,
                fingerprint=fingerprint,
                settings_hash=settings_hash(config),
                resumed=bool(state.sessions),
                workers=dict(pool.workers),
                host=socket.gethostname(),
                pid=os.getpid(),
            )
            campaign = Campaign(driver, dataset)
            with interruptible(driver):
                ending = campaign.run()
        driver.record("stopped", state=ending.state, reason=ending.reason)
    write_metrics(directory)
    write_report(directory)
    return ending


def _open_dataset(paths: CampaignPaths) -> Dataset:
    dataset = Dataset.open(paths.dataset, create=True)
    dataset.collect_orphans()
    for problem in dataset.verify():
        raise SettingsError(problem)
    return dataset


def _checked_fingerprint(config: CampaignConfig, state: CampaignState, dataset: Dataset) -> str:
    source = make_labeller(config.labeller)
    unknown = sorted(set(config.elements) - source.elements)
    if unknown:
        raise SettingsError(
            f"elements: the label source {config.labeller.kind!r} cannot label {', '.join(unknown)}"
        )
    for known, where in ((dataset.fingerprint, "data set"), (state.fingerprint, "ledger")):
        if known and known != source.fingerprint:
            raise SettingsError(
                f"labeller: its level of theory has fingerprint {source.fingerprint}, but this campaign's "
                f"{where} holds {known}; start a new campaign in another directory"
            )
    return source.fingerprint


@contextmanager
def _pool(site: SiteConfig, paths: CampaignPaths, campaign_id: str) -> Iterator[Pool]:
    """The executors; closed, and no process of theirs left, however the campaign ends."""
    paths.stop_sampling.unlink(missing_ok=True)
    paths.stop_training.unlink(missing_ok=True)
    pool = ParslPool(site, paths.logs, campaign_id)
    try:
        yield pool
    finally:
        pool.close()


class Campaign:
    """One driver's run of a campaign: reacts to finished tasks by starting what has become possible."""

    def __init__(self, driver: Driver, dataset: Dataset) -> None:
        self._driver = driver
        self._give_up: float | None = None
        if driver.config.bootstrap.import_extxyz is not None and not driver.state.n_imported:
            _import(driver, Path(driver.config.bootstrap.import_extxyz))
        self._labelling = Labelling(driver, merged=dataset.ids)
        self._bootstrap = Bootstrap(driver, self._labelling)
        self._training = Training(driver, self._labelling, dataset)
        self._sampling = Sampling(driver, self._labelling)

    def run(self) -> Ending:
        """Run to the end and return it."""
        driver = self._driver
        while not self._is_over():
            driver.handle_results(WATCH_EVERY_S)
            driver.pool.check()
        self._training.synchronise()
        if driver.ending is None:
            raise AssertionError("the loop ends only once an ending is decided")
        return driver.ending

    def _is_over(self) -> bool:
        """Start what can be started; return whether nothing is running and nothing will."""
        driver = self._driver
        self._decide()
        self._submit()
        if not driver.n_running and driver.ending is None:
            self._end_for_want_of_work()
        return not driver.n_running or (self._give_up is not None and time.monotonic() > self._give_up)

    def _decide(self) -> None:
        driver = self._driver
        if driver.interrupted_by is not None and driver.ending is None:
            driver.end("paused", f"interrupted by {driver.interrupted_by}; --resume goes on from here")
            self._give_up = time.monotonic() + GRACE_S
        if driver.ending is not None:
            return
        why = converged(driver.state, driver.config)
        if why is not None:
            driver.end("converged", why)
            return
        why = out_of_budget(driver.state, driver.config, self._n_labels)
        if why is not None:
            driver.end("budget_spent", why)

    @property
    def _n_labels(self) -> int:
        return self._driver.state.n_labels + len(self._labelling.unmerged)

    def _submit(self) -> None:
        driver = self._driver
        if driver.ending is not None:
            self._finish(driver.ending)
            return
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
        """Start nothing new, but let the last ensemble learn from every label when these were the budget."""
        room = self._room()
        ready = self._labelling.is_idle and not self._training.n_running
        if ending.state == "budget_spent" and room is not None and room <= 0 and ready:
            self._training.submit(at_least=1)

    def _end_for_want_of_work(self) -> None:
        driver = self._driver
        if driver.state.paused:
            event = next(iter(driver.state.paused.values()))
            driver.end("paused", f"{event['stage']} is paused: {event['reason']}. {event['remedy']}")
        else:
            driver.end(
                "failed", f"nothing left to do with {self._n_labels} labels and no ensemble to go on with"
            )


def _import(driver: Driver, path: Path) -> None:
    """Take labels from a file as starting data; the next synchronisation merges them as any other."""
    source = make_labeller(driver.config.labeller)
    records = read_extxyz(path, source.fingerprint)
    for record in records:
        write_label(driver.paths.labels, record)
    driver.record("imported", n=len(records), file=str(path))
