"""What has to be known of a POTCAR; its content is licensed, and nothing else of it is kept."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qm.vasp.config import VaspConfig

_TITLE = re.compile(r"^\s*TITEL\s*=\s*(.*?)\s*$", re.MULTILINE)
_ELEMENT = re.compile(r"^\s*VRHFIN\s*=\s*([A-Za-z]{1,2})\s*:", re.MULTILINE)
_VALENCE = re.compile(r"\bZVAL\s*=\s*([\d.]+)")
_FUNCTIONAL = re.compile(r"^\s*LEXCH\s*=\s*(\S+)", re.MULTILINE)

_NAMES = {"PE": "PBE", "CA": "LDA", "91": "PW91"}


@dataclass(frozen=True)
class Potcar:
    """One element's POTCAR.

    Attributes
    ----------
    title
        Its line TITEL.
    valence
        Valence electrons.
    content
        What VASP is given.
    """

    title: str
    valence: float
    content: bytes


def read_potcars(config: VaspConfig) -> dict[str, Potcar]:
    """Read the POTCARs that the settings name, by element.

    Raises
    ------
    ValueError
        If one is missing, has changed, is no POTCAR of that element alone, or of another functional.
    """
    return {element: _read(element, config) for element in config.pseudopotentials}


def _read(element: str, config: VaspConfig) -> Potcar:
    file = config.pseudopotentials[element]
    content = file.read(element)
    text = content.decode("latin-1")
    titles, elements, valences, functionals = (
        pattern.findall(text) for pattern in (_TITLE, _ELEMENT, _VALENCE, _FUNCTIONAL)
    )
    where = f"POTCAR of {element}: {file.path}"
    if not (titles and elements and valences and functionals):
        raise ValueError(f"{where}: found no TITEL, VRHFIN, ZVAL and LEXCH; expected a POTCAR")
    if len(titles) > 1:
        raise ValueError(f"{where}: holds {len(titles)} elements; expected one")
    if elements[0] != element:
        raise ValueError(f"{where}: is of {elements[0]}; expected {element}")
    if file.title not in (None, titles[0]):
        raise ValueError(f"{where}: is {titles[0]!r}; expected {file.title!r}")
    expected = "CA" if config.functional == "LDA" else "PE"
    if functionals[0] != expected:
        raise ValueError(
            f"{where}: is for {_NAMES.get(functionals[0], functionals[0])}; "
            f"functional {config.functional} needs one for {_NAMES[expected]}"
        )
    return Potcar(titles[0], float(valences[0]), content)
