"""Calculators that no potential should be, and one that counts."""

import math

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT


class Raises(Calculator):
    """Fails with an error of a kind that nobody expects of a calculator."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        raise AttributeError("no such parameter\nand a second line")


class NotANumber(Calculator):
    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {
            "energy": math.nan,
            "forces": np.full((len(atoms), 3), math.nan),
            "stress": np.full(6, math.nan),
        }


class Explodes(EMT):
    """Copper by EMT while it is a small cell; forces without end in larger ones."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if len(atoms) > 4:
            self.results["forces"] = 1e6 * np.random.default_rng(1).normal(size=(len(atoms), 3))


class UpsideDown(EMT):
    """Minus EMT: every crystal is where the energy is highest."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {name: -value for name, value in self.results.items()}


class Counting(EMT):
    """EMT that counts what it is asked for."""

    n_evaluations = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.n_evaluations += 1


class Members(EMT):
    """EMT as an ensemble of three whose members differ by a factor on the energy."""

    factors = np.array([0.9, 1.0, 1.1])

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["member_energies"] = self.factors * self.results["energy"]
        self.results["energy_std"] = float(self.results["member_energies"].std())
