import csv
import math
import shutil

import pytest
import yaml
from espresso_cases import GTH_AL, settings, skewed_cell
from tiny_campaign import tiny_settings
from vasp_cases import settings as vasp_settings

from qm.espresso.gth import convert
from workflow.converge import main
from workflow.convergence import Point, recommended, sweep, with_setting

needs_pw = pytest.mark.skipif(shutil.which("pw.x") is None, reason="no pw.x")


@pytest.fixture
def pseudopotential(tmp_path):
    path = tmp_path / "Al.upf"
    path.write_text(convert(GTH_AL, "Al"))
    return path


def point(value, energy, force, failures=()):
    return Point("k_spacing_per_ang", value, energy, force, 1.0, (), failures)


def test_the_cheapest_value_is_recommended_from_which_on_all_are_good():
    good, bad = (1.0, 0.01), (20.0, 0.01)
    points = [point(0.5, *good), point(0.4, *bad), point(0.3, *good), point(0.2, *good), point(0.1, 0.0, 0.0)]
    assert recommended(points, 5.0, 0.05) == points[2]
    assert recommended(points, 30.0, 0.05) == points[0]
    assert recommended(points, 0.5, 0.05) is None
    assert recommended(points, 5.0, 0.001) is None


def test_a_value_with_failed_labels_is_not_recommended():
    points = [point(0.4, 1.0, 0.01), point(0.3, 1.0, 0.01, ("walltime",)), point(0.1, 0.0, 0.0)]
    assert recommended(points, 5.0, 0.05) is None


def test_the_cutoff_of_the_density_keeps_its_ratio(pseudopotential):
    config = settings(pseudopotential, wavefunction_cutoff_ry=20.0, density_cutoff_ry=160.0)
    assert with_setting(config, "wavefunction_cutoff_ry", 30.0).density_cutoff_ry == pytest.approx(240.0)
    assert with_setting(config, "k_spacing_per_ang", 0.3).density_cutoff_ry == 160.0


@pytest.mark.dft
@needs_pw
def test_errors_fall_towards_the_reference(pseudopotential):
    gamma = settings(pseudopotential, k_spacing_per_ang=9.0, k_shift=[0, 0, 0])
    cells = [skewed_cell(), skewed_cell() * (1, 1, 2)]
    cells[1].rattle(0.1, seed=1)
    points = sweep(gamma, cells, "wavefunction_cutoff_ry", [30.0, 12.0, 20.0])
    assert [p.value for p in points] == [12.0, 20.0, 30.0]
    assert points[0].force_error_ev_per_ang > 3.0 * points[1].force_error_ev_per_ang > 0.0
    assert points[0].energy_error_mev_per_atom > points[1].energy_error_mev_per_atom > 0.0
    assert points[2].force_error_ev_per_ang == 0.0
    assert all(p.core_s > 0.0 and p.meshes == ("1×1×1",) and p.failures == () for p in points)
    alone = sweep(gamma, cells[:1], "wavefunction_cutoff_ry", [20.0, 30.0])
    assert math.isnan(alone[0].energy_error_mev_per_atom)  # one cell cannot tell an error from a constant


@pytest.mark.dft
@pytest.mark.slow
@needs_pw
def test_the_command_writes_table_and_plot_and_says_what_to_take(pseudopotential, tmp_path, capsys):
    file, out = tmp_path / "my.yaml", tmp_path / "out"
    coarse = settings(pseudopotential, wavefunction_cutoff_ry=12.0, k_spacing_per_ang=9.0, k_shift=[0, 0, 0])
    small = {"builder__side_ang": [3.8, 4.2], "builder__density_g_per_cm3": [2.0, 2.2]}
    file.write_text(yaml.safe_dump(tiny_settings(labeller=coarse.model_dump(mode="json"), **small)))
    words = ["--campaign", str(file), "--frames", "2", "--cutoffs", "12", "16", "20", "--out", str(out)]
    words += ["--spacings", "3.0", "1.5", "1.0", "--energy-error", "1e4", "--force-error", "1e3"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "recommended: wavefunction_cutoff_ry: 12" in said
    assert "recommended: k_spacing_per_ang: 3" in said
    assert (out / "convergence.svg").read_text().startswith("<?xml")
    rows = list(csv.DictReader((out / "convergence.csv").open()))
    assert len(rows) == 6
    assert float(rows[0]["force_error_ev_per_ang"]) > float(rows[1]["force_error_ev_per_ang"]) > 0.0


def test_other_codes_have_a_cutoff_by_another_name(tmp_path, capsys):
    """VASP's stand-in knows no cutoff, and multiplies all by 1 + 0.1 / number of k-points."""
    file, out = tmp_path / "my.yaml", tmp_path / "out"
    small = {"builder__side_ang": [3.8, 4.2], "builder__density_g_per_cm3": [2.0, 2.2]}
    source = vasp_settings(tmp_path, k_spacing_per_ang=2.0).model_dump(mode="json")
    file.write_text(yaml.safe_dump(tiny_settings(labeller=source, **small)))
    words = ["--campaign", str(file), "--frames", "1", "--cutoffs", "300", "400", "--spacings", "2", "0.9"]
    assert main([*words, "--energy-error", "1e4", "--force-error", "1e3", "--out", str(out)]) == 0
    assert "recommended: cutoff_ev: 300" in capsys.readouterr().out
    coarse, fine = [
        row for row in csv.DictReader((out / "convergence.csv").open()) if "spacing" in row["axis"]
    ]
    assert (coarse["meshes"], float(coarse["energy_error_mev_per_atom"]) > 0.0) == ("1×1×1", True)
    assert fine["meshes"] == "2×2×2"


def test_wrong_use_is_one_line(pseudopotential, tmp_path, capsys):
    file = tmp_path / "my.yaml"

    def said(*words, **changes):
        file.write_text(yaml.safe_dump(tiny_settings(**changes)))
        assert main(["--campaign", str(file), *words]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert "labeller.kind: eam has no cutoff and k-points; expected espresso" in said()
    source = settings(pseudopotential).model_dump(mode="json")
    assert "--cutoffs: found one value" in said("--cutoffs", "20", "20", labeller=source)
    pseudopotential.unlink()
    assert "Al.upf: No such file" in said(labeller=source)
