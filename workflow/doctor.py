"""``python -m workflow.doctor``: whether a site is ready for a campaign, and what to do where it is not.

Looks at the settings and the scheduler, and then at the nodes with a job of about a minute; without a
scheduler at this machine, directly. Exit status: 0 where nothing is wrong, 1 where something is, 2 where the
command or the settings cannot be read.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from site_configs.config import SiteConfig
from site_configs.load import SiteError, load_site
from site_configs.local import LocalSite
from workflow.diagnosis.driver import listening
from workflow.diagnosis.finding import Finding, rows, unknown, wrong
from workflow.diagnosis.job import examine_by_job
from workflow.diagnosis.login import directory_finding, login_findings
from workflow.diagnosis.steps import examine_nodes
from workflow.diagnosis.table import show
from workflow.display import complain
from workflow.launching.plan import CAMPAIGNS
from workflow.settings.errors import SettingsError
from workflow.settings.load import load_campaign
from workflow.settings.overrides import add_set_option, site_values, split_overrides

READY, NOT_READY, WRONG_USE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks and show what they found; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        findings = _findings(options)
    except (SiteError, SettingsError) as error:
        complain(str(error))
        return WRONG_USE
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    show(rows(findings))
    return NOT_READY if any(finding.verdict == "wrong" for finding in findings) else READY


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workflow.doctor", description="Check a site before a campaign.", allow_abbrev=False
    )
    add = parser.add_argument
    add("--site", metavar="NAME|FILE", required=True, help="which machine, as for workflow.launch")
    add("--campaign", type=Path, metavar="FILE", help="look at the label source of these settings, too")
    add("--directory", type=Path, metavar="DIR", default=CAMPAIGNS, help="where campaigns lie: campaigns")
    add("--no-job", action="store_true", help="look at this host and ask the scheduler, but submit nothing")
    add("--wait", type=float, metavar="MINUTES", default=30.0, help="longest time to wait for the job: 30")
    add_set_option(parser, "site.account=NAME")
    return parser


def _findings(options: argparse.Namespace) -> list[Finding]:
    for_site, others = split_overrides(options.overrides)
    site = load_site(options.site, site_values(for_site))
    if others and options.campaign is None:
        raise SettingsError(f"--set {others[0]}: expected site.key=value, or --campaign FILE as well")
    config = load_campaign(options.campaign, others) if options.campaign else None
    cores = getattr(config.labeller, "cores", 1) if config else 1
    findings = login_findings(site, options.site, options.directory / "campaign", cores)
    created = _missing_parents(options.directory)
    try:
        options.directory.mkdir(parents=True, exist_ok=True)
        written = directory_finding(options.directory)
    except OSError as error:
        written = wrong(
            "campaign directory", f"{options.directory}: {error.strerror}", "give another --directory"
        )
    try:
        findings.append(written)
        if options.no_job:
            return findings
        if any(finding.verdict == "wrong" for finding in findings):
            return [*findings, unknown("nodes", "not looked at", "mend what is wrong before")]
        with tempfile.TemporaryDirectory(prefix="doctor-", dir=options.directory.absolute()) as place:
            return findings + _on_nodes(site, Path(place), options, others)
    finally:
        for directory in created:
            if directory.is_dir() and not any(directory.iterdir()):
                directory.rmdir()


def _on_nodes(
    site: SiteConfig, place: Path, options: argparse.Namespace, overrides: Sequence[str]
) -> list[Finding]:
    if isinstance(site, LocalSite):
        with listening(site) as driver:
            return examine_nodes(site, driver, place, options.campaign, overrides)
    return examine_by_job(site, place, options.campaign, overrides, 60.0 * options.wait)


def _missing_parents(directory: Path) -> list[Path]:
    """Return the directories that making this one will make, the innermost first."""
    return [path for path in (directory, *directory.parents) if not path.exists()]


if __name__ == "__main__":
    sys.exit(main())
