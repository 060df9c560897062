"""ASE calculators that misbehave on purpose, to be named by dotted name in settings."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, SCFError, all_changes
from ase.calculators.emt import EMT


class Faulty(Calculator):
    """Calls ``misbehave`` on every frame, or only on every ``every``-th."""

    implemented_properties: ClassVar = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, every: int = 1):
        super().__init__()
        self.every = every
        self.count = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        super().calculate(atoms, properties, system_changes)
        self.count += 1
        self.results = zero_results(len(atoms))
        if self.count % self.every == 0:
            self.misbehave()

    def misbehave(self):
        raise NotImplementedError


def zero_results(n_atoms):
    forces = np.zeros((n_atoms, 3))
    return {"energy": 0.0, "free_energy": 0.0, "forces": forces, "stress": np.zeros(6)}


class Zero(Faulty):
    """Behaves: everything is zero, at no cost."""

    def misbehave(self):
        pass


class AlwaysFails(Faulty):
    def misbehave(self):
        raise RuntimeError("this calculator always fails")


class NotConverged(Faulty):
    def misbehave(self):
        raise SCFError("no convergence in 100 iterations")


class ReturnsNan(Faulty):
    def misbehave(self):
        self.results["forces"][0, 0] = np.nan


class WrongShape(Faulty):
    def misbehave(self):
        self.results["forces"] = np.zeros((len(self.atoms) + 1, 3))


class Hangs(Faulty):
    def misbehave(self):
        time.sleep(3600.0)


class HangsDeaf(Faulty):
    """Hangs, busy and deaf to signals, having started a program of its own."""

    def misbehave(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
        program = subprocess.Popen(["sleep", "3600"])
        Path("program.pid").write_text(f"{program.pid} {os.getpid()}")
        while True:
            pass


class KillsItself(Faulty):
    def misbehave(self):
        os.kill(os.getpid(), signal.SIGKILL)


class Exits(Faulty):
    """Ends its process behind Python's back."""

    def misbehave(self):
        os._exit(3)


class KillsWorker(Faulty):
    """Kills the worker that runs the campaign's task, not only its own process."""

    def misbehave(self):
        os.kill(int(os.environ["SMELTER_WORKER"].partition(":")[0]), signal.SIGKILL)
        time.sleep(3600.0)


class EatsMemory(Faulty):
    """Allocates until there is no more, within a limit of its own so that the machine stays well."""

    def misbehave(self):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard == resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))
        hoard = []
        while True:
            hoard.append(np.empty(2**22))


class Talks(EMT):
    """Prints to standard output and reads standard input, as codes do."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        sys.stdout.write("talking\n")
        sys.stdout.flush()
        os.write(1, b"more talk\n")
        os.read(0, 10)
        super().calculate(atoms, properties, system_changes)


class EnergyOnly(EMT):
    """Has neither a free energy nor a stress."""

    implemented_properties: ClassVar = ["energy", "forces"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        super().calculate(atoms, properties, system_changes)
        for name in ("free_energy", "stress"):
            self.results.pop(name, None)


class Unreliable(EMT):
    """Fails on a third of all frames: by an exception, not-a-number, a hang, or its own end."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        super().calculate(atoms, properties, system_changes)
        digit = int(abs(atoms.positions[0, 0]) * 1e4) % 12
        if digit == 0:
            raise RuntimeError("one of those days")
        if digit == 3:
            self.results["forces"] = self.results["forces"] * np.nan
        if digit == 6:
            time.sleep(3600.0)
        if digit == 9:
            os.kill(os.getpid(), signal.SIGKILL)


class Slow(EMT):
    """Takes its time, so that a kill finds it at work; not for crystals, of which reports want hundreds."""

    def __init__(self, seconds: float = 0.03):
        super().__init__()
        self.seconds = seconds

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        if len(atoms) > 4:
            time.sleep(self.seconds)
        super().calculate(atoms, properties, system_changes)
