"""``python -m workflow.study table1|efficiency CAMPAIGN``: what active learning is worth.

Exit status: 0 where the study was done; 1 where it was interrupted or could not be written; 2 for wrong use.
What is finished is kept: the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from potentials.storage import DamagedModelError
from workflow.display import complain, say
from workflow.settings.argument_types import count, positive
from workflow.settings.overrides import add_set_option
from workflow.studying.campaign_labels import StudiedCampaign, StudyError, open_campaign
from workflow.studying.conventional import ConventionalConfig
from workflow.studying.efficiency import Efficiency
from workflow.studying.table1 import Table1

DONE, INTERRUPTED, WRONG_USE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _parser().parse_args(arguments)
    out: Path = options.out or Path(f"{options.study}-{options.campaign.resolve().name}")
    try:
        with closing(open_campaign(options.campaign, _overrides(options))) as campaign:
            study = _study(options, campaign, out)
            for line in study.plan():
                say(line)
            files = study.run(say)
    except (StudyError, DamagedModelError) as error:
        complain(str(error))
        return WRONG_USE
    except KeyboardInterrupt:
        complain(f"interrupted; what is finished is in {out}, and the same command goes on")
        return INTERRUPTED
    except OSError as error:
        complain(f"{error.filename or out}: {error.strerror}")
        return INTERRUPTED
    say("\n" + ", ".join(map(str, files)))
    return DONE


def _overrides(options: argparse.Namespace) -> list[str]:
    members = [] if options.members is None else [f"potential.n_members={options.members}"]
    return [*members, *options.overrides]


def _study(options: argparse.Namespace, campaign: StudiedCampaign, out: Path) -> Table1 | Efficiency:
    dynamics = ConventionalConfig(
        duration_ps=options.md_ps, crystal_k=tuple(options.crystal_k), melt_k=tuple(options.melt_k)
    )
    if options.study == "table1":
        return Table1(campaign, dynamics, options.seeds, options.labels, options.workers, out)
    return Efficiency(
        campaign,
        dynamics,
        options.seeds,
        None if options.sizes is None else tuple(options.sizes),
        options.factor,
        options.frames_per_trajectory,
        options.test_frames,
        options.workers,
        out,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workflow.study",
        description="What active learning is worth.",
        epilog="Options follow the study, such as --out, --seeds, --members, --workers and --set; "
        "STUDY --help has all.",
        allow_abbrev=False,
    )
    studies = parser.add_subparsers(dest="study", required=True, metavar="STUDY")
    table1 = studies.add_parser(
        "table1", help="active-learned data against FCC and melts", allow_abbrev=False
    )
    _add_common(table1)
    table1.add_argument("--labels", type=count, metavar="N", help="to learn from, at most; default: all")
    efficiency = studies.add_parser(
        "efficiency", help="active learning against random selection", allow_abbrev=False
    )
    _add_common(efficiency)
    add = efficiency.add_argument
    add("--sizes", type=count, nargs="+", metavar="N", help="labels to learn from; default: four sizes")
    add("--factor", type=_at_least_one, default=2.0, metavar="X", help=_FACTOR)
    add("--frames-per-trajectory", type=count, default=12, metavar="N", help=_FRAMES)
    add("--test-frames", type=count, default=80, metavar="N", help="of each test set (default %(default)s)")
    return parser


_FACTOR = "random selection goes on to so many times the campaign's labels (default %(default)s)"
_FRAMES = "labels that a replayed trajectory gives on average (default %(default)s)"


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("campaign", type=Path, metavar="CAMPAIGN", help="directory of a campaign of one element")
    add("--out", type=Path, metavar="DIR", help="for everything; default STUDY-CAMPAIGN")
    add("--seeds", type=count, default=3, metavar="N", help="trainings of each kind (default %(default)s)")
    add("--members", type=count, metavar="N", help="size of the ensembles; default: the campaign's")
    add("--workers", type=count, default=1, metavar="N", help="processes (default %(default)s)")
    add(
        "--md-ps",
        type=positive,
        default=4.0,
        metavar="PS",
        help="each crystal or melt (default %(default)s)",
    )
    add("--crystal-k", type=positive, nargs=2, default=(50.0, 900.0), metavar="K", help="(50 900)")
    add("--melt-k", type=positive, nargs=2, default=(900.0, 2000.0), metavar="K", help="(900 2000)")
    add_set_option(parser, "training.max_epochs=20")


def _at_least_one(text: str) -> float:
    value = float(text)
    if not 1.0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
