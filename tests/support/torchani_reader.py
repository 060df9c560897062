"""Runs where TorchANI is installed: evaluate frames with an exported ensemble, as its README says to load it.

python torchani_reader.py EXPORTED FRAMES.traj RESULTS.npz
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from ase.io import read

exported, frames, results = (Path(argument).resolve() for argument in sys.argv[1:])
lines = (exported / "README").read_text().partition("in Python:\n")[2]
os.chdir(exported.parent)  # paths in the README begin with the directory's own name
names: dict[str, object] = {}
exec(lines, names)
arrays: dict[str, object] = {}
for precision, calculator in (("single", names["calculator"]), ("double", names["model"].double().ase())):
    for index, frame in enumerate(read(frames, index=":")):
        frame.calc = calculator
        arrays[f"{precision}_energy_{index}"] = frame.get_potential_energy()
        arrays[f"{precision}_forces_{index}"] = frame.get_forces()
        if frame.pbc.all():
            arrays[f"{precision}_stress_{index}"] = frame.get_stress(voigt=False)
        if precision == "double":
            species, positions = (
                torch.as_tensor(values)[None] for values in (frame.numbers, frame.positions)
            )
            cell = torch.as_tensor(frame.cell.array) if frame.pbc.any() else None
            pbc = torch.as_tensor(frame.pbc) if frame.pbc.any() else None
            members = names["model"]((species, positions), cell, pbc, ensemble_values=True).energies
            arrays[f"members_{index}"] = members[:, 0].detach().numpy()
np.savez(results, **arrays)
