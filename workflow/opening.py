"""What is checked, tidied and taken up before a campaign goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

from qm.checks import check_label
from qm.label import LabelFailure
from workflow.dataset import Dataset
from workflow.labellers import make_labeller, refuse_other_level
from workflow.settings.config import CampaignConfig
from workflow.settings.errors import SettingsError
from workflow.state import CampaignState
from workflow.storage.extxyz import ExtxyzError, read_extxyz
from workflow.storage.files import remove_temporary_files
from workflow.storage.manifest import DatasetDamagedError
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import LabelRecord, Refusal, item_path, write_label, write_refusal
from workflow.storage.spool import ids as spooled


def open_dataset(paths: CampaignPaths) -> Dataset:
    """Return the data set, made where there is none, with every label checked against its checksum.

    Raises
    ------
    DatasetDamagedError
        If something in it is damaged; the message names the label.
    """
    dataset = Dataset.open(paths.dataset, create=True)
    for problem in dataset.verify():
        raise DatasetDamagedError(f"{paths.dataset}: {problem}")
    dataset.collect_orphans()
    return dataset


def tidy(paths: CampaignPaths, dataset: Dataset) -> None:
    """Remove what killed workers left behind; to be called when none is alive."""
    spools = (paths.candidates, paths.labels, paths.quarantine, paths.kpoint_checks)
    for directory in (*spools, paths.trajectories, paths.models):
        remove_temporary_files(directory)
    for unfinished in paths.scratch.glob("*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    for id_ in spooled(paths.labels) & dataset.ids:
        item_path(paths.labels, id_).unlink()
    paths.stop_sampling.unlink(missing_ok=True)
    paths.stop_training.unlink(missing_ok=True)


def checked_fingerprint(config: CampaignConfig, state: CampaignState, dataset: Dataset) -> str:
    """Return the fingerprint of the label source's level of theory.

    Raises
    ------
    SettingsError
        If the source cannot be made, cannot label an element, or is not that of the campaign's labels.
    """
    try:
        source = make_labeller(config.labeller)
    except ValueError as error:
        raise SettingsError(f"labeller: {' '.join(str(error).split())}") from error
    source.close()
    unknown = sorted(set(config.elements) - source.elements)
    if unknown:
        raise SettingsError(
            f"elements: the label source {config.labeller.kind!r} cannot label {', '.join(unknown)}"
        )
    refuse_other_level(source, dataset.fingerprint, "data set")
    refuse_other_level(source, state.fingerprint, "ledger")
    return source.fingerprint


def take_import(config: CampaignConfig, paths: CampaignPaths, fingerprint: str) -> tuple[int, int]:
    """Take labels from a file as starting data; the next synchronisation merges them as any other.

    Returns
    -------
    tuple[int, int]
        How many labels were taken, and how many were refused by the checks and are in quarantine.

    Raises
    ------
    SettingsError
        If the file cannot be read, or holds other elements, or no label that passes the checks.
    """
    path = Path(config.bootstrap.import_extxyz or "")
    try:
        records = read_extxyz(path, fingerprint)
    except ExtxyzError as error:
        raise SettingsError(f"bootstrap.import_extxyz: {error}") from error
    for record in records:
        strange = sorted(set(record.frame.get_chemical_symbols()) - set(config.elements))
        if strange:
            raise SettingsError(
                f"bootstrap.import_extxyz: {path}: {record.provenance.reason} holds {', '.join(strange)}; "
                f"expected only {', '.join(config.elements)}"
            )
    failures = [check_label(r.frame, r.label, config.checks, fingerprint) for r in records]
    n_refused = sum(failure is not None for failure in failures)
    if n_refused == len(records):
        raise SettingsError(
            f"bootstrap.import_extxyz: {path}: no label passes the checks, the first because "
            f"{failures[0].message if failures[0] else ''}"
        )
    for record, failure in zip(records, failures, strict=True):
        _take(paths, record, failure)
    return len(records) - n_refused, n_refused


def _take(paths: CampaignPaths, record: LabelRecord, failure: LabelFailure | None) -> None:
    if failure is None:
        write_label(paths.labels, record)
        return
    refusal = Refusal(
        record.id, record.frame, failure.reason, failure.message, record.provenance, record.label
    )
    write_refusal(paths.quarantine, refusal)
