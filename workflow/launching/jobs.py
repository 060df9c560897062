"""Which batch jobs were submitted last for a campaign."""

from __future__ import annotations

from collections.abc import Sequence

from workflow.storage.files import DamagedFileError, read_json, write_json_atomic
from workflow.storage.paths import CampaignPaths


def record_jobs(paths: CampaignPaths, jobs: Sequence[str]) -> None:
    """Write down the jobs of a chain, in order."""
    write_json_atomic(paths.jobs, {"jobs": list(jobs)})


def submitted_jobs(paths: CampaignPaths) -> list[str]:
    """Return the jobs that were submitted last, in order; none where nothing can be read."""
    try:
        return [str(job) for job in read_json(paths.jobs)["jobs"]]
    except (FileNotFoundError, DamagedFileError, KeyError, TypeError):
        return []
