"""Looks at one node as a worker of one executor would see it.

``python -m workflow.diagnosis.node REQUEST`` is started on every node in the place of Parsl's manager, by the
same launcher with the same environment, and prints what it has found as one line of JSON. Each check imports
what it needs: a library that cannot be loaded is one of the findings.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from site_configs.cores import usable_gpus
from site_configs.launch_variables import GPUS, SCRATCH
from site_configs.pinning import VISIBLE, GpuError, assigned_gpu
from workflow.diagnosis.finding import Finding, right, unknown, wrong

ANSWER = "smelter-doctor: "
"""How the line begins that holds the findings."""
SECRET = "visible"
"""File that the command leaves in the directory, for nodes to find."""
_CONNECT_S = 10.0
_LEAST_FREE_GIB = 1.0


@dataclass(frozen=True)
class Request:
    """What is to be looked at.

    Attributes
    ----------
    part
        Name of the executor.
    directory
        A directory where campaigns will lie.
    addresses, port
        Where the driver listens.
    secret
        What `SECRET` holds, and the driver says to whom it hears.
    labels
        Whether labels are made here.
    campaign, overrides
        Settings of a campaign and changes of them, where its label source is to be looked at.
    """

    part: str
    directory: str
    addresses: tuple[str, ...]
    port: int
    secret: str
    labels: bool = False
    campaign: str | None = None
    overrides: tuple[str, ...] = ()


def examine(request: Request) -> list[Finding]:
    """Return what is found on this node."""
    findings = [found for check in _CHECKS for found in _tried(check, request)]
    return [replace(found, host=platform.node()) for found in findings]


def _tried(check: Callable[[Request], Iterator[Finding]], request: Request) -> list[Finding]:
    try:
        return list(check(request))
    except Exception as error:  # noqa: BLE001 (one check that breaks must not hide what the others find)
        subject = check.__name__.strip("_").replace("_", " ")
        return [wrong(subject, f"{type(error).__name__}: {error}", "look into this on the node")]


def _gpus(request: Request) -> Iterator[Finding]:
    """Look for the GPU of every worker, and let torch see these only, as they will."""
    names = os.environ.get(GPUS, "")
    if not names:
        return
    subject, n_workers = f"GPUs of {request.part}", len(names.split(","))
    try:
        mine = {assigned_gpu({**os.environ, "PARSL_WORKER_RANK": str(i)}) for i in range(n_workers)}
    except GpuError as error:
        yield wrong(subject, str(error), "compare site.node.gpus, and how the site asks for GPUs")
        return
    shown = usable_gpus()
    os.environ[VISIBLE] = ",".join(sorted(mine))
    text = f"{len(mine)} for {n_workers} {'worker' if n_workers == 1 else 'workers'}"
    if shutil.which("nvidia-smi") is None:
        yield unknown(subject, f"{text}, but there is no nvidia-smi to see them with")
    elif len(shown) < len(mine):
        remedy = "set site.node.gpus to what a node has, or mend how the site asks for GPUs"
        yield wrong(subject, f"{text} are stated, nvidia-smi shows {len(shown)}", remedy)
    else:
        yield right(subject, f"{text}, nvidia-smi shows {len(shown)}")


def _pytorch(request: Request) -> Iterator[Finding]:
    if request.part == "labelling":  # loads torch only if its code does
        return
    n_gpus = len(os.environ.get(VISIBLE, "").split(",")) if os.environ.get(GPUS) else 0
    subject = f"PyTorch of {request.part}" if n_gpus else "PyTorch"
    try:
        import torch
    except Exception as error:  # noqa: BLE001 (a damaged library raises anything)
        yield wrong(subject, f"cannot be imported: {error}", f"install it for {sys.executable}")
        return
    text = f"Python {platform.python_version()}, torch {torch.__version__}"
    if not n_gpus:
        yield right(subject, text)
    elif torch.version.cuda is None:
        yield wrong(subject, f"{text} is built without CUDA", "install PyTorch's CUDA build where this runs")
    elif torch.cuda.device_count() < n_gpus or not torch.cuda.is_available():
        seen = f"{text} for CUDA {torch.version.cuda} sees {torch.cuda.device_count()} of {n_gpus} GPUs"
        yield wrong(subject, seen, "compare its CUDA with what nvidia-smi says of the driver")
    else:
        yield right(subject, f"{text}, CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}")


def _descriptors(request: Request) -> Iterator[Finding]:
    if request.part == "labelling":
        return
    import torch

    from potentials.descriptors import DescriptorSpec
    from potentials.kernels.select import kernel_for

    device = "cuda" if os.environ.get(GPUS) and torch.cuda.is_available() else "cpu"
    spec = DescriptorSpec(1, 5.0, 3.5, (1.0,), 16.0, (1.0,), 8.0, (0.5,), 32.0)
    kernel = type(kernel_for(spec, device)).__name__.removesuffix("Kernel").lower()
    if kernel != "torch":
        yield right("descriptors", f"{kernel} kernel on {device}")
        return
    reason, remedy = _why_slow(device)
    yield wrong("descriptors", f"torch kernel on {device}, many times slower: {reason}", remedy)


def _why_slow(device: str) -> tuple[str, str]:
    from potentials.kernels import cpp, triton

    if device == "cuda":
        return triton.available()[1], "install triton in a version that goes with this torch"
    return cpp.available()[1], "install again on this kind of node, with a C++ compiler"


def _scratch(request: Request) -> Iterator[Finding]:
    """Look at where label codes work: as the campaign says, or the site, or among the campaigns."""
    if not request.labels:
        return
    path = _campaigns_scratch(request) or os.environ.get(SCRATCH) or str(Path(request.directory).parent)
    remedy = "set site.scratch to a directory that every node has and you may write to"
    if "$" in path:
        yield wrong("scratch", f"{path}: this variable is not set here", remedy)
        return
    try:
        with tempfile.TemporaryDirectory(prefix="smelter-doctor-", dir=path) as directory:
            Path(directory, "file").write_bytes(b"0" * 4096)
        free_gib = shutil.disk_usage(path).free / 2**30
    except OSError as error:
        yield wrong("scratch", f"{path}: {error.strerror}", remedy)
        return
    if free_gib < _LEAST_FREE_GIB:
        yield wrong("scratch", f"{path}: {free_gib:.2f} GiB free", "make room there, or set site.scratch")
    else:
        yield right("scratch", f"{path} is writable, {free_gib:.0f} GiB free")


def _campaigns_scratch(request: Request) -> str | None:
    if request.campaign is None:
        return None
    from workflow.settings.load import load_campaign

    config = load_campaign(Path(request.campaign), request.overrides)
    return getattr(config.labeller, "scratch_directory", None)


def _shared_directory(request: Request) -> Iterator[Finding]:
    """Look whether the nodes share the directory, and whether files can be synchronised and renamed in it."""
    from potentials.durable import replace_file

    directory = Path(request.directory)
    remedy = "give --directory on a file system that the nodes share with this host and may write to"
    try:
        seen = (directory / SECRET).read_text() == request.secret
        replace_file(directory / own_file(request.part, platform.node()), request.secret.encode())
    except OSError as error:
        yield wrong("shared directory", f"{directory.parent}: {error.strerror} on the node", remedy)
        return
    if not seen:
        yield wrong("shared directory", f"{directory.parent} is another one on the node", remedy)
        return
    yield right("shared directory", f"{directory.parent} is shared, files synchronised and renamed")


def own_file(part: str, host: str) -> str:
    """Return the name of the file that a node writes into the directory."""
    return f"seen-{part}-{host}"


def _network(request: Request) -> Iterator[Finding]:
    """Look by which of its addresses the driver can be reached; workers need one."""
    reached: list[str] = []
    silent: list[str] = []
    for address in request.addresses:
        try:
            with socket.create_connection((address, request.port), _CONNECT_S) as connection:
                said = connection.makefile().readline().strip()
        except OSError as error:
            silent.append(f"{address} ({error.strerror or error})")
            continue
        (reached if said == request.secret else silent).append(address)
    if reached:
        yield right("network", f"the driver is reached at {', '.join(reached)}")
    else:
        text = f"the driver is not reached at {', '.join(silent)}"
        yield wrong("network", text, "set site.interface to the nodes' own network, such as ib0 or hsn0")


def _label_code(request: Request) -> Iterator[Finding]:
    if request.campaign is None:
        return
    from qm.codes import CODES
    from qm.dft_config import DftConfig
    from workflow.labellers import make_labeller
    from workflow.settings.load import load_campaign

    config = load_campaign(Path(request.campaign), request.overrides).labeller
    remedy = "load it in site.environment, or give its path in the campaign's labeller settings"
    try:
        if not isinstance(config, DftConfig):
            make_labeller(config).close()
            yield right("label code", f"{config.kind} can be made")
            return
        code = CODES[type(config)]
        version = code.program_version(config)
        code.resolved(config)  # refuses pseudopotentials that are missing or have changed
    except (ValueError, OSError) as error:
        yield wrong("label code", f"{config.kind}: {error}", remedy)
        return
    if config.version not in {None, version}:
        text = f"{config.command} is version {version}, the campaign says {config.version}"
        yield wrong("label code", text, remedy)
    else:
        yield right("label code", f"{config.command} {version}")


_CHECKS: tuple[Callable[[Request], Iterator[Finding]], ...] = (
    _gpus,  # before torch is loaded, which then sees these only
    _pytorch,
    _descriptors,
    _scratch,
    _shared_directory,
    _network,
    _label_code,
)


def main() -> None:
    """Print the findings."""
    request = Request(**json.loads(sys.argv[1]))
    answer = [asdict(finding) for finding in examine(request)]
    sys.stdout.write(f"{ANSWER}{json.dumps([request.part, platform.node(), answer])}\n")


if __name__ == "__main__":
    main()
