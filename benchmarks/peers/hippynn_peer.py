"""hippynn: a training step of one network, of the size of its example for the ANI-Al data, pairs included."""

from __future__ import annotations

import hippynn
import numpy as np
import torch
from hippynn.experiment.assembly import assemble_for_training
from hippynn.experiment.step_functions import standard_step_fn
from hippynn.graphs import inputs, loss, networks, physics, targets

from benchmarks.engine_parts.timing import turn_of
from benchmarks.peers.client import serve

NETWORK = {
    "possible_species": [0, 13],
    "n_features": 10,
    "n_sensitivities": 20,
    "dist_soft_min": 1.25,
    "dist_soft_max": 7.0,
    "dist_hard_max": 7.5,
    "n_interaction_layers": 1,
    "n_atom_layers": 3,
    "sensitivity_type": "inverse",
    "resnet": True,
}


class HipNn:
    """What the benchmark asks hippynn to do."""

    def load(self, path: str, device: str) -> int:
        """Build the network and take a batch of equal frames; return the number of weights."""
        torch.set_num_threads(1)
        self.device = device
        places = inputs.PositionsNode(db_name="coordinates")
        graph_inputs = (inputs.SpeciesNode(db_name="species"), places, inputs.CellNode(db_name="cell"))
        network = networks.Hipnn("hipnn", graph_inputs, module_kwargs=NETWORK, periodic=True)
        energy = targets.HEnergyNode("energy", network)
        force = physics.GradientNode("force", (energy.mol_energy, places), sign=-1)
        energy.mol_energy.db_name, force.db_name = "energy", "force"
        error = loss.MSELoss.of_node(energy.mol_energy) + 0.1 * loss.MSELoss.of_node(force)
        modules, names = assemble_for_training(error, {"loss": error})
        self.model, self.loss = modules.model.to(device), modules.loss.to(device)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-5)
        arrays = self._arrays(path)
        self.inputs, self.targets = ([arrays[n] for n in names[side]] for side in ("inputs", "targets"))
        return sum(parameter.numel() for parameter in self.model.parameters())

    def _arrays(self, path: str) -> dict[str, torch.Tensor]:
        with np.load(path) as archive:
            floats = {
                "coordinates": archive["positions"],
                "cell": archive["cells"],
                "energy": archive["energies"][:, None],
                "force": archive["forces"],
            }
            species = np.full(archive["positions"].shape[:2], 13)
        tensors = {k: torch.as_tensor(v, dtype=torch.float32, device=self.device) for k, v in floats.items()}
        return {**tensors, "species": torch.as_tensor(species, device=self.device)}

    def train(self) -> tuple[float, float]:
        """Time one step of its own kind."""

        def call() -> None:
            standard_step_fn(self.optimiser, self.model, self.loss, self.inputs, self.targets)

        return turn_of(call, self.device)()


if __name__ == "__main__":
    hippynn.settings.PROGRESS = None
    rival = HipNn()
    serve({"load": rival.load, "train": rival.train})
