"""A made-up campaign directory: a ledger as the driver writes it, with files beside it."""

from qm.config import EamConfig
from workflow.labellers import make_labeller
from workflow.ledger import Ledger
from workflow.settings.config import CampaignConfig
from workflow.settings.load import save_resolved
from workflow.storage.paths import CampaignPaths

T0 = 1_700_000_000.0


def make_config(**changes):
    return CampaignConfig.model_validate(
        {
            "name": "al-test",
            "elements": ("Al",),
            "labeller": {"kind": "eam"},
            "builder": {},
            "bootstrap": {"n_frames": 40},
            "synchronisation": {"min_new_labels": 20},
            "stop": {"median_survival_ps": 5.0, "max_labels": 200, "max_rounds": 9},
            **changes,
        }
    )


class SyntheticCampaign:
    """Writes events with times of its own, a minute apart."""

    def __init__(self, directory, config=None):
        self.directory = directory
        self.config = config or make_config()
        self.paths = CampaignPaths(directory)
        self.paths.make()
        save_resolved(self.config, self.paths.settings)
        save_resolved(self.config, self.paths.settings_in_force)
        self.time = T0
        self.n_labels = 0
        self._chunk = 0

    def record(self, event, **fields):
        self.time += 60.0
        with Ledger(self.directory) as ledger:
            ledger.append(event, **{"time": self.time, **fields})

    def start(self, **workers):
        self.record(
            "started",
            host="host-a",
            pid=4_194_303,
            settings_hash="0" * 32,
            resumed=False,
            campaign_id="c" * 32,
            fingerprint=make_labeller(EamConfig()).fingerprint,
            workers=workers or {"sampling": 1, "training": 1, "labelling": 1},
        )

    def label(self, n, failed=0):
        for i in range(n + failed):
            ok = i < n
            self.record(
                "labelled",
                id=f"{self.n_labels + i:032x}",
                ok=ok,
                reason="" if ok else "not_converged",
                message="",
                wall_s=36.0,
                core_s=36.0,
            )
        self.n_labels += n
        self.record(
            "merged", version=1, n_new=n, n_duplicates=0, n_labels=self.n_labels, n_atoms=100 * self.n_labels
        )

    def accept(self, **reasons):
        self.record("built", first=0, n=0, accepted=reasons, rejected={"too_close": 2})

    def sample(self, number, survived_ps, completed_ps=()):
        exposures = [
            {
                "trajectory_id": f"t{i}",
                "ensemble_id": f"round-{number:04d}",
                "entry_fs": 0.0,
                "exit_fs": 1000.0 * ps,
                "ended": True,
                "reason": reason,
            }
            for i, (ps, reason) in enumerate(
                [(ps, "max_force_disagreement") for ps in survived_ps]
                + [(ps, "completed") for ps in completed_ps]
            )
        ]
        self._chunk += 1
        self.record(
            "sampled",
            cycle=0,
            group=0,
            chunk=self._chunk,
            ensemble=f"round-{number:04d}",
            steps=1000,
            atom_steps=100_000,
            wall_s=30.0,
            exposures=exposures,
            accepted={},
            rejected={},
        )

    def train(self, number, energy, force, promoted=True):
        self.record("training", round=number, cycle=0, version=1)
        errors = {
            "energy_rmse_mev_per_atom": energy,
            "energy_mae_mev_per_atom": 0.8 * energy,
            "force_rmse_ev_per_ang": force,
            "force_mae_ev_per_ang": 0.8 * force,
            "n_labels": 12,
        }
        self.record(
            "trained",
            round=number,
            cycle=0,
            version=1,
            interrupted=False,
            n_labels=self.n_labels,
            n_validation=12,
            promoted=promoted,
            why="first",
            validation=errors,
            previous_validation=None,
            calibration={"energy": 1.5, "force": 1.2},
            epochs=50,
            wall_s=60.0,
            failed_members=[],
            restarted_members=[3],
        )

    def task(self, role, seconds, ok=True):
        self.record(
            "task",
            role=role,
            kind="work",
            started=self.time - seconds,
            ended=self.time,
            core_s=seconds,
            ok=ok,
            outcome="ok" if ok else "error",
        )


def two_rounds(directory, config=None):
    """Bootstrap, two rounds, trajectories under both."""
    campaign = SyntheticCampaign(directory, config)
    campaign.start()
    campaign.accept(bootstrap=40)
    campaign.label(40, failed=2)
    campaign.task("labelling", 600.0)
    campaign.train(1, energy=12.0, force=0.3)
    campaign.task("training", 300.0)
    campaign.sample(1, survived_ps=[0.1, 0.2, 0.4])
    campaign.task("sampling", 120.0)
    campaign.accept(max_force_disagreement=3)
    campaign.label(20)
    campaign.train(2, energy=4.0, force=0.1)
    campaign.sample(2, survived_ps=[1.0, 2.0], completed_ps=[5.0, 5.0, 5.0])
    campaign.accept(max_force_disagreement=2)
    return campaign
