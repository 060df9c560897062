"""The report: one file, nothing from outside, whatever state the campaign is in."""

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from synthetic_campaign import SyntheticCampaign, make_config, two_rounds

from potentials import storage
from potentials.config import PUBLISHED_WIDTHS, AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.ensemble import AniEnsemble
from potentials.network import initial
from workflow.report import main, write_report
from workflow.reporting.properties import crystal_properties
from workflow.state import load_state
from workflow.storage.files import save_npz_atomic

SMALL = {
    **PUBLISHED_WIDTHS,  # random networks on these have minima; on wider bells few have
    "kind": "ani",
    "radial_cutoff_ang": 4.0,
    "angular_cutoff_ang": 3.5,
    "n_radial": 4,
    "radial_eta_per_ang2": 4.0,
    "n_angular_radial": 2,
    "n_angles": 2,
    "hidden": [4],
    "n_members": 2,
}


def save_random_ensemble(paths, number, elements=("Al",)):
    import torch

    config = AniConfig(**SMALL)
    spec = DescriptorSpec.from_config(config, len(elements))
    networks = initial(spec, config, [1, 2])
    shift = torch.zeros(len(elements), dtype=torch.float64)
    storage.save(AniEnsemble(config, elements, spec, networks, shift), paths.model(number))
    rng = np.random.default_rng(1)
    save_npz_atomic(
        paths.model(number) / "held_out.npz",
        {"n_atoms": np.full(20, 100)}
        | {
            f"{kind}_{what}_{suffix}": rng.uniform(0.001, 0.1, 20)
            for kind, suffix in (
                ("energy", "ev_per_sqrt_atom"),
                ("force", "mean_ev_per_ang"),
                ("force", "max_ev_per_ang"),
            )
            for what in ("error", "spread")
        },
    )


def pictures(html):
    found = re.findall(r'<img alt="([^"]+)" src="data:image/svg\+xml;base64,([^"]+)"', html)
    for _, data in found:
        ElementTree.fromstring(base64.b64decode(data))
    return [name for name, _ in found]


def has_outside_resource(html):
    return re.search(r'(src|href)="(?!data:)|@import|url\(', html) is not None


def test_a_whole_campaign_shows_every_picture(tmp_path):
    campaign = two_rounds(tmp_path)
    save_random_ensemble(campaign.paths, 2)
    campaign.record("stopped", state="converged", reason="the median trajectory survives 5 ps")
    html = write_report(tmp_path).read_text()
    assert pictures(html) == [
        "cold curves of Al",
        "held-out errors by round",
        "expected and real errors",
        "survival by round",
        "frames by reason",
        "time of the workers",
    ]
    assert not has_outside_resource(html)
    assert "the median trajectory survives 5 ps" in html
    assert "4.00 meV/atom" in html
    for structure in ("FCC", "HCP", "BCC", "SC", "diamond"):
        assert structure in html


def test_a_campaign_that_has_just_begun_has_a_report(tmp_path):
    SyntheticCampaign(tmp_path).start()
    html = write_report(tmp_path).read_text()
    assert "Nothing to show yet." in html
    assert "They appear with the first ensemble." in html


def test_a_lost_model_leaves_the_rest_of_the_report(tmp_path):
    two_rounds(tmp_path)
    html = write_report(tmp_path).read_text()
    assert "held-out errors by round" in pictures(html)


def test_text_from_outside_is_escaped(tmp_path):
    campaign = two_rounds(tmp_path)
    campaign.record("stopped", state="failed", reason="<script>alert(1)</script>")
    html = write_report(tmp_path).read_text()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_the_label_source_is_compared_only_where_labels_are_cheap(tmp_path):
    campaign = two_rounds(tmp_path)  # 36 s a label
    save_random_ensemble(campaign.paths, 2)
    state = load_state(tmp_path)
    assert crystal_properties(tmp_path, campaign.config, state).systems[0].source == []
    (tmp_path / "crystals.json").unlink()
    state.label_core_s = 0.1
    (aluminium,) = crystal_properties(tmp_path, campaign.config, state).systems
    fcc = aluminium.source[0]
    assert fcc.lattice_ang == pytest.approx(4.08, abs=0.01)
    hcp, bcc = aluminium.source[1:3]
    assert hcp.above_lowest_mev == pytest.approx(9, abs=2)
    assert bcc.above_lowest_mev == pytest.approx(57, abs=3)
    assert len(aluminium.curves) == 5


def test_properties_are_kept_until_there_is_another_ensemble(tmp_path):
    campaign = two_rounds(tmp_path)
    save_random_ensemble(campaign.paths, 2)
    state = load_state(tmp_path)
    first = crystal_properties(tmp_path, campaign.config, state)
    written = (tmp_path / "crystals.json").stat().st_mtime_ns
    again = crystal_properties(tmp_path, campaign.config, state)
    assert (tmp_path / "crystals.json").stat().st_mtime_ns == written
    assert again.ensemble == first.ensemble == "round-0002"
    np.testing.assert_equal(
        [row.energy_ev for row in again.systems[0].ensemble],
        [row.energy_ev for row in first.systems[0].ensemble],
    )
    np.testing.assert_array_equal(
        again.systems[0].curves[0].ensemble.spreads_ev, first.systems[0].curves[0].ensemble.spreads_ev
    )
    (tmp_path / "crystals.json").write_text("{ damaged")
    assert crystal_properties(tmp_path, campaign.config, state).ensemble == "round-0002"


def test_two_elements_have_compounds(tmp_path):
    campaign = two_rounds(tmp_path, make_config(elements=("Cu", "Al")))
    save_random_ensemble(campaign.paths, 2, ("Cu", "Al"))
    found = crystal_properties(tmp_path, campaign.config, load_state(tmp_path))
    assert [system.system for system in found.systems] == ["Cu", "Al", "Cu-Al"]
    assert [row.formula for row in found.systems[2].ensemble] == ["CuAl", "CuAl", "Cu3Al", "Al3Cu"]
    assert "formation, meV/atom" in write_report(tmp_path).read_text()


def test_the_command_writes_and_names_the_file(tmp_path, capsys):
    two_rounds(tmp_path)
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    assert main([str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
