"""What a launch is going to do: which campaign, with which settings, where, and from where it stands."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qm.codes import CODES
from qm.config import AseConfig, PotentialLabellerConfig
from qm.dft_config import DftConfig
from site_configs.config import SiteConfig
from site_configs.load import load_site
from workflow.labellers import make_labeller, refuse_other_level
from workflow.launching.site_plan import check_site, site_text
from workflow.ledger import LEDGER_NAME
from workflow.lock import CampaignRunningError, holder
from workflow.potential_labeller import find_ensemble
from workflow.reporting.summary import summarise
from workflow.reporting.texts import duration_text
from workflow.settings.config import CampaignConfig
from workflow.settings.errors import SettingsError
from workflow.settings.load import (
    SAFE_TO_CHANGE,
    Change,
    changed_keys,
    load_campaign,
    refuse_unsafe_changes,
    save_resolved,
)
from workflow.settings.overrides import site_values, split_overrides
from workflow.state import load_state
from workflow.storage.paths import CampaignPaths

CAMPAIGNS = Path("campaigns")
_MODEL = "labeller.model"
"""May change at a launch, though not while the campaign runs: its content counts, not where it lies."""


@dataclass(frozen=True)
class Plan:
    """A launch that has been checked and may go ahead."""

    config: CampaignConfig
    site_name: str
    site: SiteConfig
    directory: Path
    resumes: bool
    site_overrides: Sequence[str] = ()
    """As given on the command line, ``site.key=value`` each."""
    changes: Sequence[Change] = ()

    def prepare(self) -> None:
        """Make the directory and write the settings as resolved, if they are new or have changed."""
        paths = CampaignPaths(self.directory)
        if self.changes or not self.resumes:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            save_resolved(self.config, paths.settings)
            save_resolved(self.config, paths.settings_in_force)

    def text(self) -> str:
        """Return the plan as a few lines."""
        lines = [f"campaign {self.config.name} in {self.directory}: {self._beginning()}"]
        lines += [f"  {name:<11} {text}" for name, text in _settings(self.config)]
        lines.append(f"  {'site':<11} {self.site_name}, {site_text(self.site)}")
        lines += [f"  {'changed':<11} {change}" for change in self.changes]
        return "\n".join(lines)

    def _beginning(self) -> str:
        if not self.resumes:
            return "new"
        found = summarise(self.directory)
        ensemble = f"round {found.round}" if found.round else "no ensemble"
        return (
            f"resumed, was {found.state} with {found.labels:,} labels, {ensemble}, "
            f"{found.candidates:,} candidates, after {duration_text(3600 * found.wall_h)}"
        )


def make_plan(
    site_name: str,
    campaign: Path | None,
    directory: Path | None,
    overrides: Sequence[str],
    *,
    resume: bool,
) -> Plan:
    """Read and check everything a launch needs; nothing is written.

    Parameters
    ----------
    campaign
        Settings file; with ``resume`` the settings saved in the directory serve where it is ``None``.
    directory
        Where the campaign lives; ``campaigns/NAME`` where it is ``None``.
    overrides
        ``key.key=value`` each; those that begin with ``site.`` are for the site.
    resume
        Go on with what is in the directory; where nothing has begun and there is a settings file, begin.

    Raises
    ------
    SettingsError, SiteError
        If something is wrong with the settings, or they do not fit what is in the directory.
    CampaignRunningError
        If another driver runs this campaign.
    """
    for_site, overrides = split_overrides(overrides)
    site = load_site(site_name, site_values(for_site))
    if campaign is None and directory is None:
        raise SettingsError("expected --campaign FILE, or --resume with --directory DIR")
    if campaign is None and not resume:
        raise SettingsError("expected --campaign FILE; without it, --resume goes on with a saved campaign")
    file = campaign or _saved_settings(directory)
    config = _with_absolute_paths(load_campaign(file, overrides), file)
    directory = directory or CAMPAIGNS / config.name
    check_site(site, site_name, directory, getattr(config.labeller, "cores", 1))
    begun = (directory / LEDGER_NAME).exists()
    _check_directory(directory, campaign, begun=begun, resume=resume)
    changes = _changes(config, directory, file) if begun else []
    _check_running(directory)
    _check_source(config, file, load_state(directory).fingerprint if begun else "")
    if not begun:
        _check_import(config, file)
    return Plan(config, site_name, site, directory, begun, for_site, changes)


def _saved_settings(directory: Path | None) -> Path:
    saved = CampaignPaths(directory or CAMPAIGNS).settings
    if not saved.exists():
        raise SettingsError(f"{directory}: nothing to resume here (there is no {saved.name})")
    return saved


def _check_directory(directory: Path, campaign: Path | None, *, begun: bool, resume: bool) -> None:
    if begun and not resume:
        raise SettingsError(
            f"{directory}: holds a campaign already; --resume goes on with it, --directory begins elsewhere"
        )
    if begun or not directory.exists():
        return
    if not directory.is_dir():
        raise SettingsError(f"{directory}: expected a directory for the campaign, found a file")
    strange = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    if strange and not CampaignPaths(directory).settings.exists():
        raise SettingsError(
            f"{directory}: holds {strange[0]} but no campaign; expected a new or empty directory"
        )
    if campaign is None and not CampaignPaths(directory).settings.exists():
        raise SettingsError(f"{directory}: nothing to resume here")


def _changes(config: CampaignConfig, directory: Path, file: Path) -> list[Change]:
    """Return how the settings differ from those the campaign has; refuse what would spoil it."""
    saved = load_campaign(CampaignPaths(directory).settings_in_force)
    if saved.name != config.name:
        raise SettingsError(f"{directory}: holds campaign {saved.name!r}, but {file} is {config.name!r}")
    changes = changed_keys(saved, config, (*SAFE_TO_CHANGE, _MODEL))
    refuse_unsafe_changes(changes, file)
    return changes


def _check_running(directory: Path) -> None:
    held = holder(directory) if directory.exists() else None
    if held is not None and held.alive and held.pid != os.getpid():
        raise CampaignRunningError(
            f"{directory}: this campaign is running already, as process {held.pid} on {held.host}"
        )


def _check_source(config: CampaignConfig, file: Path, fingerprint: str) -> None:
    """Refuse a label source that does not know the elements, or is not that of the labels there are.

    An ASE calculator is not made here: that may take minutes.
    """
    if isinstance(config.labeller, AseConfig):
        known = frozenset(config.labeller.elements or config.elements)
    else:
        try:
            source = make_labeller(config.labeller)
        except ValueError as error:
            raise SettingsError(f"{file}: labeller: {' '.join(str(error).split())}") from error
        refuse_other_level(source, fingerprint, "ledger")
        known = source.elements
    unknown = sorted(set(config.elements) - known)
    if unknown:
        raise SettingsError(
            f"{file}: elements: the label source {config.labeller.kind} cannot label {', '.join(unknown)}; "
            f"expected some of {', '.join(sorted(known))}"
        )


def _check_import(config: CampaignConfig, file: Path) -> None:
    path = config.bootstrap.import_extxyz
    if path is not None and not Path(path).is_file():
        raise SettingsError(f"{file}: bootstrap.import_extxyz: {path}: no such file")


def _with_absolute_paths(config: CampaignConfig, file: Path) -> CampaignConfig:
    """Return the settings with paths that mean the same from wherever the campaign is resumed."""
    bootstrap, labeller = config.bootstrap, config.labeller
    if bootstrap.import_extxyz is not None:
        path = str(Path(bootstrap.import_extxyz).resolve())
        bootstrap = bootstrap.model_copy(update={"import_extxyz": path})
    if isinstance(labeller, PotentialLabellerConfig):
        try:
            path = str(find_ensemble(Path(labeller.model)))
        except (ValueError, OSError) as error:
            raise SettingsError(f"{file}: labeller.model: {error}") from error
        labeller = labeller.model_copy(update={"model": path})
    if isinstance(labeller, DftConfig):
        try:
            labeller = CODES[type(labeller)].resolved(labeller)
        except ValueError as error:
            raise SettingsError(f"{file}: labeller: {error}") from error
    return config.model_copy(update={"bootstrap": bootstrap, "labeller": labeller})


def _settings(config: CampaignConfig) -> list[tuple[str, str]]:
    schedule, stop = config.sampling.schedule, config.stop
    budgets = [
        f"{value:g} {name}"
        for value, name in (
            (stop.max_labels, "labels"),
            (stop.max_rounds, "rounds"),
            (stop.max_hours, "hours"),
        )
        if value is not None
    ]
    trajectories = f"{config.sampling.n_slots} trajectories per worker of up to {schedule.duration_ps:g} ps"
    return [
        ("elements", " ".join(config.elements)),
        ("labels", f"{_source(config)}; {config.bootstrap.n_frames} random cells to begin with"),
        (
            "ensemble",
            f"{config.potential.n_members} × {config.potential.kind}, every "
            f"{config.synchronisation.min_new_labels} new labels",
        ),
        ("sampling", f"{trajectories}, {config.cycles} {'cycle' if config.cycles == 1 else 'cycles'}"),
        (
            "until",
            f"the median trajectory survives {stop.median_survival_ps:g} ps"
            + (f", or {' or '.join(budgets)}" if budgets else "; no budget is set"),
        ),
    ]


def _source(config: CampaignConfig) -> str:
    labeller = config.labeller
    if isinstance(labeller, PotentialLabellerConfig):
        return f"{labeller.kind} {labeller.model}"
    return labeller.kind
