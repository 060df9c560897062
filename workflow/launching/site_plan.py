"""What a launch says of its site, and what a site with a scheduler asks of a launch."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

from site_configs.addresses import own_addresses
from site_configs.config import SiteConfig
from site_configs.load import SiteError, load_site, site_names
from site_configs.local import LocalSite
from site_configs.schedulers import make_scheduler
from site_configs.walltime import clock
from workflow.display import say


def site_text(site: SiteConfig) -> str:
    """Return a site in one line: its workers, and for how long it has which nodes."""
    workers = ", ".join(f"{part.workers} {name}" for name, part in site.executors.items())
    if isinstance(site, LocalSite):
        return f"workers: {workers}"
    nodes = f"{site.nodes} {'node' if site.nodes == 1 else 'nodes'}"
    what = f"one job of {nodes}" if site.mode == "job" else f"blocks of up to {nodes}"
    return f"{what} for {clock(site.walltime)}, workers: {workers}"


def check_site(site: SiteConfig, name: str, directory: Path, label_cores: int) -> None:
    """Refuse what would fail only later, in the queue or in the job.

    Parameters
    ----------
    label_cores
        Cores that one label occupies.

    Raises
    ------
    SiteError
        If an account is missing, the directory's name cannot stand in a batch script, or labels would share
        cores.
    """
    if isinstance(site, LocalSite):
        return
    if site.needs_account and site.account is None:
        raise SiteError(f"{name}: account: missing; say what to charge with --set site.account=NAME")
    path = str(directory.absolute())
    if shlex.quote(path) != path or "%" in path:
        raise SiteError(
            f"{path}: expected letters, digits and any of _ - + = : . , @ / for a site with a scheduler"
        )
    own = min(slice_.span * slice_.cores // slice_.workers for slice_ in site.role("labelling").slices)
    if label_cores > own:
        raise SiteError(
            f"{name}: labelling: a label takes {label_cores} cores, but its worker has {own}; set"
            f" site.labelling.threads_per_worker={label_cores}, or exclusive nodes with fewer workers"
        )


def check_host(site: SiteConfig) -> None:
    """Refuse a host that the driver, which is about to run on it, could not work from.

    Raises
    ------
    SiteError, SchedulerError
        If the site's network interface is not here, or what its blocks are asked for with.
    """
    if isinstance(site, LocalSite):
        return
    try:
        own_addresses(site.interface)
    except ValueError as error:
        raise SiteError(str(error)) from error
    if site.queues_blocks:
        make_scheduler(site).check()


def wait_for_scheduler(site: SiteConfig, every_s: float = 30.0) -> None:
    """Return when the scheduler answers that blocks are to be asked for."""
    if isinstance(site, LocalSite) or not site.queues_blocks:
        return
    scheduler, said = make_scheduler(site), False
    while not scheduler.answers():
        if not said:
            say("waiting for the scheduler, which does not answer")
            said = True
        time.sleep(every_s)


def sites_text() -> str:
    """Return the known sites, one line each."""
    rows = []
    for name in site_names():
        site = load_site(name)
        if isinstance(site, LocalSite):
            rows.append((name, "this machine, without a scheduler"))
            continue
        node = f"{site.node.cores} cores" + (f", {site.node.gpus} GPUs" if site.node.gpus else "") + " a node"
        account = "; needs site.account" if site.needs_account else ""
        rows.append(
            (name, f"{site.kind}, {site.launcher}, {node}; {site.nodes} × {clock(site.walltime)}{account}")
        )
    rows.append(("FILE", "a YAML file of your own; begin with a copy of one in site_configs/"))
    return "\n".join(f"  {name:<11} {text}" for name, text in rows)
