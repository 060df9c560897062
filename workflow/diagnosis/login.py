"""What can be checked of a site without its nodes."""

from __future__ import annotations

import secrets
from pathlib import Path

from potentials.durable import replace_file
from site_configs.addresses import own_addresses
from site_configs.config import SiteConfig
from site_configs.load import SiteError
from site_configs.local import LocalSite
from workflow.diagnosis.finding import Finding, right, wrong
from workflow.diagnosis.scheduler import scheduler_findings
from workflow.launching.site_plan import check_site, site_text


def login_findings(site: SiteConfig, name: str, directory: Path, label_cores: int) -> list[Finding]:
    """Return what is found on this host.

    Parameters
    ----------
    name
        How the site was named.
    directory
        Where a campaign would lie; it need not exist.
    label_cores
        Cores that one label occupies.
    """
    findings = [_settings(site, name, directory, label_cores)]
    if not isinstance(site, LocalSite):
        findings += scheduler_findings(site)
    if site.queues_blocks:
        findings.append(_address(site))
    return findings


def _settings(site: SiteConfig, name: str, directory: Path, label_cores: int) -> Finding:
    try:
        check_site(site, name, directory, label_cores)
    except SiteError as error:
        return wrong("settings", str(error), "change the site's file, or --directory")
    return right("settings", f"{name}, {site_text(site)}")


def _address(site: SiteConfig) -> Finding:
    try:
        addresses = own_addresses(None if isinstance(site, LocalSite) else site.interface)
    except ValueError as error:
        return wrong("driver's address", str(error), "set site.interface")
    return right("driver's address", ", ".join(sorted(addresses)))


def directory_finding(directory: Path) -> Finding:
    """Return whether files of a campaign can be written to an existing directory from here."""
    file = directory / f".doctor-{secrets.token_hex(4)}"
    try:
        replace_file(file, b"seen")
        file.unlink()
    except OSError as error:
        return wrong("campaign directory", f"{directory}: {error.strerror}", "give another --directory")
    return right("campaign directory", f"{directory}: files are written, synchronised and renamed")
