import pytest
from pydantic import TypeAdapter, ValidationError

from qm.config import AseConfig, EamConfig, LabellerConfig
from qm.eam import EamLabeller
from workflow.labellers import make_labeller

ADAPTER = TypeAdapter(LabellerConfig)


def test_kind_chooses_the_label_source():
    assert ADAPTER.validate_python({"kind": "eam"}) == EamConfig()
    config = ADAPTER.validate_python({"kind": "ase", "calculator": "ase.calculators.emt.EMT"})
    assert isinstance(config, AseConfig)
    assert isinstance(make_labeller(EamConfig()), EamLabeller)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "siesta"}, "kind"),
        ({"kind": "eam", "cutoff": 5}, "cutoff"),
        ({"kind": "eam", "parameters": "1999"}, "parameters"),
        ({"kind": "ase"}, "calculator"),
        ({"kind": "ase", "calculator": "EMT"}, "calculator"),
        ({"kind": "ase", "calculator": "os.system; x"}, "calculator"),
        ({"kind": "ase", "calculator": "a.b", "elements": ["Aluminium"]}, "Aluminium"),
        ({"kind": "ase", "calculator": "a.b", "elements": []}, "elements"),
        ({"kind": "ase", "calculator": "a.b", "walltime_s": 0}, "walltime_s"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings, words):
    with pytest.raises(ValidationError, match=words):
        ADAPTER.validate_python(settings)


def test_the_two_sets_of_coefficients_are_two_levels_of_theory():
    first, second = (make_labeller(EamConfig(parameters=year)) for year in ("2001", "2004"))
    assert first.fingerprint != second.fingerprint
    assert first.elements == second.elements
    assert len(first.elements) == 16
