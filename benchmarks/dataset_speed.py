"""Speed of the data set against plain .npy files of the same arrays.

    python -m benchmarks.dataset_speed [--frames 10000 100000] [--repeats 3] [--directory DIR]

Both are synchronised to disk before the clock stops. The merge starts from label records, as a campaign does;
"merge, arrays made before" leaves out laying the records end to end and hashing them, which plain files do
not do either. Reading is from the page cache, and reads of the data set check every label's checksum.
Frames have 60 to 180 atoms, 120 on average.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import zarr
from ase import Atoms

from qm.label import Label
from workflow.dataset import Dataset
from workflow.storage.files import sync_tree
from workflow.storage.label_arrays import ROWS, LabelArrays
from workflow.storage.segments import write_segment
from workflow.storage.spool import LabelRecord, Provenance


def make_record(rng: np.random.Generator) -> LabelRecord:
    n_atoms = int(rng.integers(60, 181))
    frame = Atoms(
        numbers=np.full(n_atoms, 13),
        positions=rng.uniform(0, 14, (n_atoms, 3)),
        cell=14 * np.eye(3),
        pbc=True,
    )
    label = Label(
        energy_ev=-3.5 * n_atoms,
        forces_ev_per_ang=rng.normal(size=(n_atoms, 3)),
        stress_ev_per_ang3=np.diag(rng.normal(size=3)),
        fingerprint="0" * 32,
        code="eam",
        version="1",
        wall_s=0.01,
        core_s=0.01,
        host="node-1",
    )
    provenance = Provenance(
        source="trajectory", round=3, ensemble="round-0002", trajectory="0-12-3", time_fs=812.5
    )
    return LabelRecord(rng.bytes(16).hex(), frame, label, provenance)


def write_plain(arrays: LabelArrays, directory: Path) -> None:
    directory.mkdir()
    for name in ROWS:
        np.save(directory / f"{name}.npy", getattr(arrays, name))
    sync_tree(directory)


def read_plain(directory: Path) -> LabelArrays:
    return LabelArrays(**{name: np.load(directory / f"{name}.npy") for name in ROWS})


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(records: Sequence[LabelRecord], directory: Path) -> dict[str, float]:
    """Return seconds for each step, all in one directory that is empty afterwards."""
    arrays = LabelArrays.from_records(records, 1)
    (directory / "bare" / "segments").mkdir(parents=True)
    dataset = Dataset.open(directory / "dataset.zarr", create=True)
    times = {
        "write .npy": seconds(lambda: write_plain(arrays, directory / "plain")),
        "merge": seconds(lambda: dataset.merge(records, round=1)),
        "merge, arrays made before": seconds(lambda: write_segment(directory / "bare", 1, arrays)),
        "merge again (all known)": seconds(lambda: dataset.merge(records, round=2)),
        "read .npy": seconds(lambda: read_plain(directory / "plain")),
        "read arrays": seconds(lambda: Dataset.open(dataset.root).snapshot().arrays()),
        "read records": seconds(lambda: sum(1 for _ in dataset.snapshot().records())),
    }
    for path in directory.iterdir():
        shutil.rmtree(path)
    return times


def table(n_frames: int, runs: Sequence[dict[str, float]]) -> str:
    """Return the median rate of each step and the spread over runs."""
    lines = [
        f"{n_frames:,} frames",
        f"  {'':28}{'frames/s':>12}{'slowest':>12}{'fastest':>12}{'of .npy':>10}",
    ]
    for step in runs[0]:
        plain = "write .npy" if "merge" in step or "write" in step else "read .npy"
        rates = [n_frames / run[step] for run in runs]
        share = statistics.median(run[plain] / run[step] for run in runs)
        lines.append(
            f"  {step:28}{statistics.median(rates):12,.0f}{min(rates):12,.0f}{max(rates):12,.0f}{share:10.2f}"
        )
    return "\n".join(lines)


def machine() -> str:
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, zarr {zarr.__version__}"
    return f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; {versions}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--directory", type=Path, help="where to write; default the system's temporary directory"
    )
    given = parser.parse_args(arguments)
    print(machine())
    if given.directory is not None:
        Path(given.directory).mkdir(parents=True, exist_ok=True)
    for n_frames in given.frames:
        rng = np.random.default_rng(0)
        records = [make_record(rng) for _ in range(n_frames)]
        with tempfile.TemporaryDirectory(dir=given.directory) as directory:
            runs = [measure(records, Path(directory)) for _ in range(given.repeats)]
        print(table(n_frames, runs))


if __name__ == "__main__":
    main()
