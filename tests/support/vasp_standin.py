"""Stands in for VASP, which needs a licence: reads its inputs and writes outputs in its formats.

Started as VASP is, in a directory with INCAR, POSCAR, KPOINTS and POTCAR. Energy, forces and stress are those
of a pair potential, times a factor that falls towards 1 with the number of k-points. Self-consistency takes
as many steps as the tags ask for. The variable STANDIN names what goes wrong, as real runs of VASP show it.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np

VERSION = os.environ.get("STANDIN_VERSION", "6.4.2")
CUTOFF_ANG, DEPTH_EV, RANGE_PER_ANG, BEST_ANG = 5.0, 0.3, 1.4, 2.8
KBAR_PER_EV_ANG3 = 1602.1766208
STEPS, HARD_STEPS = 12, 40
LABEL_BOX = """ -----------------------------------------------------------------------------
|                                                                             |
|     EEEEEEE  RRRRRR   RRRRRR   OOOOOOO  RRRRRR      ###     ###     ###     |
|     E        R     R  R     R  O     O  R     R     ###     ###     ###     |
|                                                                             |
|     {0:<73}|
|     {1:<73}|
|                                                                             |
|       ---->  I REFUSE TO CONTINUE WITH THIS SICK JOB ... BYE!!! <----       |
|                                                                             |
 -----------------------------------------------------------------------------
"""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def refuse(*lines: str) -> None:
    say(LABEL_BOX.format(*(*lines, "")[:2]))
    sys.exit(1)


def incar() -> dict[str, str]:
    if not Path("INCAR").exists():
        say(" No INCAR found, STOPPING")
        sys.exit(1)
    pairs = (line.partition("=") for line in Path("INCAR").read_text().splitlines())
    tags = {name.strip(): value.strip() for name, _, value in pairs}
    for name in ("ENCUT", "EDIFF", "SIGMA", "NBANDS"):
        if name in tags and not re.fullmatch(r"[-+.\deE]+", tags[name]):
            refuse(f"Error reading item '{name}' from file INCAR.")
    return tags


def poscar() -> tuple[np.ndarray, list[str], np.ndarray]:
    if not Path("POSCAR").exists():
        refuse("ERROR: No POSCAR found, STOPPING")
    lines = Path("POSCAR").read_text().splitlines()
    cell = np.array([[float(word) for word in line.split()] for line in lines[2:5]]) * float(lines[1])
    names, counts = lines[5].split(), [int(word) for word in lines[6].split()]
    symbols = [name for name, n in zip(names, counts, strict=True) for _ in range(n)]
    positions = np.array([[float(word) for word in line.split()] for line in lines[8 : 8 + len(symbols)]])
    if lines[7].strip()[0] in "Dd":
        positions = positions @ cell
    if np.linalg.det(cell) < 0.0:
        refuse("ERROR: the triple product of the basis vectors is negative", "exchange two basis vectors")
    return cell, symbols, positions


def check_potcar(symbols: list[str]) -> None:
    if not Path("POTCAR").exists():
        sys.stderr.write("forrtl: severe (29): file not found, unit 10, file POTCAR\n")
        sys.exit(29)
    elements = re.findall(r"VRHFIN =([A-Za-z]+):", Path("POTCAR").read_text())
    if elements != list(dict.fromkeys(symbols)):
        refuse("ERROR: the type information on POSCAR and POTCAR are incompatible", "POTCAR overwrites it")


def pairs(cell: np.ndarray, symbols: list[str], positions: np.ndarray, scale: float):
    """Return energy, forces and stress (positive under tension) of a Morse potential, cut off smoothly."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = [int(np.ceil(CUTOFF_ANG / height)) + 1 for height in heights]
    images = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach)))) @ cell
    energy, forces, virial = 0.0, np.zeros_like(positions), np.zeros((3, 3))
    depth = np.array([DEPTH_EV if symbol == "Al" else 1.5 * DEPTH_EV for symbol in symbols])
    fractional = positions @ np.linalg.inv(cell)
    wrapped = (fractional - np.floor(fractional)) @ cell
    for i, here in enumerate(wrapped):
        vectors = (wrapped[None] + images[:, None] - here).reshape(-1, 3)
        distances = np.linalg.norm(vectors, axis=1)
        near = (distances > 1e-6) & (distances < CUTOFF_ANG)
        r, vectors = distances[near], vectors[near]
        strength = np.sqrt(depth[i] * np.tile(depth, len(images))[near])
        decay = np.exp(-RANGE_PER_ANG * (r - BEST_ANG))
        smooth = (1.0 - (r / CUTOFF_ANG) ** 2) ** 3
        slope = 3.0 * (1.0 - (r / CUTOFF_ANG) ** 2) ** 2 * (-2.0 * r / CUTOFF_ANG**2)
        value = strength * (decay**2 - 2.0 * decay)
        derivative = strength * (-2.0 * RANGE_PER_ANG) * (decay**2 - decay)
        energy += 0.5 * float(np.sum(value * smooth))
        pull = (derivative * smooth + value * slope)[:, None] * vectors / r[:, None]
        forces[i] = pull.sum(axis=0)
        virial += 0.5 * vectors.T @ pull
    return scale * energy, scale * forces, scale * virial / np.linalg.det(cell)


def steps_needed(tags: dict[str, str], mode: str) -> int:
    """A hard cell converges only with gentle mixing or without any; a slow one goes on where it was."""
    if mode == "never":
        return 10**6
    if mode == "hard" and "AMIX" not in tags:
        return 10**6
    if mode == "very-hard" and tags["ALGO"] != "All":
        return 10**6
    return HARD_STEPS if tags["ICHARG"] == "2" else STEPS


def oszicar(tags: dict[str, str], energy: float, needed: int) -> tuple[int, bool]:
    """Write the steps, each with a third of the change before; the last is the first below EDIFF."""
    threshold, most = float(tags["EDIFF"]), int(tags["NELM"])
    done = min(needed, most)
    name = {"All": "CGA", "Fast": "RMM", "VeryFast": "RMM"}.get(tags["ALGO"], "DAV")
    rows = ["       N       E                     dE             d eps       ncg     rms          rms(c)"]
    for step in range(1, done + 1):
        change = 0.9 * threshold * 3.0 ** (needed - step) if needed < 10**6 else 0.1
        rows.append(
            f"{name}: {step:3d}    {energy:20.12E}   {-min(change, 9.0):12.5E}  {min(change, 9.0):12.5E}"
            f"  1000   0.100E-02"
        )
    rows.append(f"   1 F= {energy:.8E} E0= {energy + 0.01:.8E}  d E ={0.0:.6E}")
    Path("OSZICAR").write_text("\n".join(rows) + "\n")
    return done, needed <= most


def rows(values: np.ndarray, indent: int = 4) -> str:
    return "".join(f"{' ' * indent}<v>{''.join(f'{x:17.8f}' for x in row)} </v>\n" for row in values)


def vasprun(cell, symbols, positions, mesh, energy, forces, stress) -> str:
    """Return the parts of vasprun.xml that readers need; energies at zero smearing are others."""
    fractional = positions @ np.linalg.inv(cell)
    structure = (
        f'  <structure name="NAME">\n   <crystal>\n    <varray name="basis" >\n{rows(cell, 5)}    </varray>\n'
        f'   </crystal>\n   <varray name="positions" >\n{rows(fractional)}   </varray>\n  </structure>\n'
    )
    atoms = "".join(f"    <rc><c>{symbol:2s}</c><c>   1</c></rc>\n" for symbol in symbols)
    energies = "".join(
        f'   <i name="{name}">{value:17.8f} </i>\n'
        for name, value in (
            ("e_fr_energy", energy),
            ("e_wo_entrp", energy + 0.02),
            ("e_0_energy", energy + 0.01),
        )
    )
    kpoints = "".join(f"   <v>{k / mesh[0]:17.8f}{0.0:17.8f}{0.0:17.8f} </v>\n" for k in range(mesh[0]))
    weights = "".join(f"   <v>{1.0 / mesh[0]:17.8f} </v>\n" for _ in range(mesh[0]))
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n <generator>\n'
        f'  <i name="program" type="string">vasp </i>\n  <i name="version" type="string">{VERSION}  </i>\n'
        ' </generator>\n <kpoints>\n  <generation param="Gamma">\n'
        f'   <v type="int" name="divisions">{mesh[0]:8d}{mesh[1]:8d}{mesh[2]:8d} </v>\n  </generation>\n'
        f'  <varray name="kpointlist" >\n{kpoints}  </varray>\n'
        f'  <varray name="weights" >\n{weights}  </varray>\n </kpoints>\n'
        ' <parameters>\n  <i name="PSTRESS">      0.00000000</i>\n </parameters>\n'
        f" <atominfo>\n  <atoms>{len(symbols):8d} </atoms>\n"
        '  <array name="atoms" >\n   <dimension dim="1">ion</dimension>\n'
        '   <field type="string">element</field>\n   <field type="int">atomtype</field>\n'
        f"   <set>\n{atoms}   </set>\n  </array>\n </atominfo>\n"
        + structure.replace("NAME", "initialpos")
        + f" <calculation>\n  <scstep>\n   <energy>\n{energies}   </energy>\n  </scstep>\n"
        + structure.replace(' name="NAME"', "")
        + f'  <varray name="forces" >\n{rows(forces)}  </varray>\n'
        f'  <varray name="stress" >\n{rows(stress)}  </varray>\n'
        f"  <energy>\n{energies}  </energy>\n </calculation>\n"
        + structure.replace("NAME", "finalpos")
        + "</modeling>\n"
    )


def outcar(energy: float, steps: int, converged: bool, mode: str) -> str:
    """Return an OUTCAR; version 5 says that EDIFF is reached whether it is or not."""
    reached = "aborting loop because EDIFF is reached"
    if not converged and mode != "says-reached":
        reached = "aborting loop EDIFF was not reached (unconverged)"
    return (
        f" vasp.{VERSION} 20Jul23 (build Jan 01 2024 00:00:00) complex\n\n"
        " POTCAR:    PAW_PBE Al 04Jan2001\n"
        f"------------------------ {reached} ----------------------------------------\n\n"
        f"  free  energy   TOTEN  =  {energy:18.8f} eV\n\n"
        f"  energy  without entropy= {energy + 0.02:18.8f}  energy(sigma->0) = {energy + 0.01:18.8f}\n\n"
        f"--------------------------------------- Iteration      1({steps:4d})\n\n"
        " General timing and accounting informations for this job:\n"
        " ========================================================\n\n"
        "                  Total CPU time used (sec):        1.234\n"
    )


ENDS: dict[str, tuple[str, str, int]] = {
    "memory": ("", "forrtl: severe (41): insufficient virtual memory", 41),
    "disk": ("", "forrtl: severe (38): error during write, unit 12, file WAVECAR", 38),
    "stopcar": (" hard stop encountered!  aborting job ...", "", 0),
    "zpotrf": (" LAPACK: Routine ZPOTRF failed!           5           1", "", 1),
    "zpotrf-close": (
        "|     The distance between some ions is very small. Please check the nearest  |\n"
        " LAPACK: Routine ZPOTRF failed!           5           1",
        "",
        1,
    ),
    "edddav": (" Error EDDDAV: Call to ZHEGV failed. Returncode =   7 2   8", "", 1),
    "zbrent": (" ZBRENT: fatal error in bracketing", "", 1),
    "bands": (" ERROR: TOO FEW BANDS!! increase NBANDS", "", 1),
    "licence": ("", "no licence here", 3),
}
"""What is printed to standard output and error before the end, by mode, and the exit status."""

SIGNALS = {"killed": signal.SIGKILL, "crash": signal.SIGSEGV}


def perhaps_end(mode: str, tags: dict[str, str]) -> None:
    if mode == "sleeps":
        time.sleep(600.0)
    if mode in SIGNALS:
        os.kill(os.getpid(), SIGNALS[mode])
    if mode in ENDS and not (mode == "edddav" and tags["ALGO"] == "All"):
        output, errors, status = ENDS[mode]
        say(output)
        sys.stderr.write(f"{errors}\n")
        sys.exit(status)


def spoilt(mode: str, xml: str, outcar: str) -> tuple[str, str]:
    if mode == "stars":
        xml = re.sub(r'(<varray name="forces" >\n\s*<v>).*( </v>)', r"\1 **************** 0.0 0.0\2", xml)
    if mode == "few-forces":
        xml = re.sub(r'(<varray name="forces" >\n)\s*<v>.*</v>\n', r"\1", xml)
    if mode == "cut-xml":
        xml = xml[: xml.index("<calculation>") + 200]
    return xml, outcar[:200] if mode == "cut-outcar" else outcar


def main() -> None:
    mode = os.environ.get("STANDIN", "")
    say(" running    1 mpi-ranks, with    1 threads/rank, on    1 nodes")
    say(f" vasp.{VERSION} 20Jul23 (build Jan 01 2024 00:00:00) complex")
    tags = incar()
    cell, symbols, positions = poscar()
    if mode == "no-potcar":
        Path("POTCAR").unlink()
    check_potcar(symbols)
    say(f" POSCAR found type information on POSCAR {' '.join(dict.fromkeys(symbols))}")
    mesh = [int(word) for word in Path("KPOINTS").read_text().splitlines()[3].split()]
    perhaps_end(mode, tags)
    scale = 1.0 + 0.1 / float(np.prod(mesh))
    energy, forces, stress = pairs(cell, symbols, positions, scale)
    needed = steps_needed(tags, mode)
    steps, converged = oszicar(tags, energy, needed)
    if mode == "warns":
        say(" WARNING: Sub-Space-Matrix is not hermitian in DAV           1")
        say(" BRMIX: very serious problems")
    if mode == "box-unconverged" and not converged:
        say(" | The electronic self-consistency was not achieved in the given number of steps (NELM). |")
    text = vasprun(cell, symbols, positions, mesh, energy, forces, -KBAR_PER_EV_ANG3 * stress)
    whole = outcar(energy, steps, converged, mode)
    text, whole = spoilt(mode, text, whole)
    Path("vasprun.xml").write_text(text)
    Path("OUTCAR").write_text(whole)
    if tags["LCHARG"] == ".TRUE.":
        Path("CHGCAR").write_text("density so far\n")
        Path("WAVECAR").write_text("orbitals so far\n")


if __name__ == "__main__":
    main()
