"""``python -m workflow.validate MODEL_OR_CAMPAIGN``: its properties beside others and published ones.

Exit status: 0 where the suite was run, whatever it found; 1 where it was interrupted; 2 for wrong use. What
is finished is kept: the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from validation.conditions import Conditions, LiquidRuns, MeltFreezeRun, MeltingRuns, StatePoint
from validation.suite import PROPERTIES, Property, SuiteName, properties
from workflow.display import complain, say
from workflow.validating.dynamics import Dynamics
from workflow.validating.numbers import seconds_text
from workflow.validating.outputs import Report, text_table, write_outputs
from workflow.validating.run import Examined, estimates_s, run_suite
from workflow.validating.sources import (
    Source,
    SourceError,
    comparison_source,
    kim_source,
    model_source,
    reference_source,
)
from workflow.validating.store import Store

DONE, INTERRUPTED, WRONG_USE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        model = model_source(options.model)
        reference = None if options.reference is None else reference_source(options.reference)
    except SourceError as error:
        complain(str(error))
        return WRONG_USE
    elements = sorted(model.elements or ())
    models, skipped = _comparison_models(options.kim, options.compare)
    sources = [model, *([reference] if reference else []), *models]
    out: Path = options.out or Path(f"validation-{model.name.replace(' ', '-')}")
    props = properties(options.suite, options.only)
    dynamics = Dynamics(_conditions(options), tuple(options.only), reference, say)
    try:
        _plan(sources, elements, options.suite, props, skipped, dynamics.conditions)
        results = _run(sources, elements, options.suite, props, Store(out / "properties"), dynamics)
    except KeyboardInterrupt:
        complain(f"interrupted; what is finished is in {out}, and the same command goes on")
        return INTERRUPTED
    except OSError as error:
        complain(f"{out}: cannot be written ({error.strerror})")
        return INTERRUPTED
    finally:
        for source in sources:
            source.close()
    report = Report(
        options.suite,
        props,
        elements,
        {source.name: source.fingerprint for source in sources},
        reference.name if reference else None,
        skipped,
        results,
    )
    page = write_outputs(report, out)
    say(f"\n{text_table(report)}\n\n{page}")
    return DONE


def _conditions(options: argparse.Namespace) -> Conditions:
    melting = MeltingRuns(tuple(options.melting), options.melting_guess, n_seeds=options.seeds)
    heat, cool = options.melt_freeze_steps
    return Conditions(LiquidRuns(tuple(options.liquid)), melting, MeltFreezeRun(n_heat=heat, n_cool=cool))


def _comparison_models(kim: Sequence[str], others: Sequence[str]) -> tuple[list[Source], dict[str, str]]:
    """Return potentials to compare with that can be used here, and why the others cannot."""
    sources: list[Source] = []
    skipped: dict[str, str] = {}
    for make, names in ((kim_source, kim), (comparison_source, others)):
        for name in names:
            try:
                sources.append(make(name))
            except SourceError as error:
                skipped[name] = str(error)
    return sources, skipped


def _plan(
    sources: Sequence[Source],
    elements: Sequence[str],
    suite: SuiteName,
    props: Sequence[Property],
    skipped: Mapping[str, str],
    conditions: Conditions,
) -> None:
    """Say what will be computed and, but for the quick suite, about how long it will take."""
    what = "asked for" if list(props) != properties(suite) else f"{suite} suite"
    say(f"{what} of {', '.join(elements)}: {', '.join(prop.name for prop in props)}")
    long = suite != "quick" or any(prop.runs for prop in props)
    for reason in skipped.values():
        say(f"not compared: {reason}")
    for source in sources:
        say(f"  {source.name}{_times(source, elements, props, conditions) if long else ''}")


def _times(source: Source, elements: Sequence[str], props: Sequence[Property], conditions: Conditions) -> str:
    estimates = [estimates_s(source, element, props, conditions) for element in elements]
    known = [times for times in estimates if times is not None]
    if not known:
        return ": cannot be timed, it fails on FCC"
    longest = sorted(
        ((sum(times[i] for times in known), prop.name) for i, prop in enumerate(props)), reverse=True
    )[:3]
    most = ", ".join(f"{name} {seconds_text(seconds)}" for seconds, name in longest)
    return f": about {seconds_text(sum(sum(times) for times in known))} ({most}), if nothing is known yet"


def _run(
    sources: Sequence[Source],
    elements: Sequence[str],
    suite: SuiteName,
    props: Sequence[Property],
    store: Store,
    dynamics: Dynamics,
) -> list[Examined]:
    total = len(sources) * len(elements) * len(props)
    results: list[Examined] = []

    def done(result: Examined) -> None:
        results.append(result)
        what = "known" if result.known else seconds_text(result.findings.seconds)
        failed = f": {result.findings.remark}" if result.findings.remark else ""
        say(f"[{len(results)}/{total}] {result.source}, {result.element} {result.property}: {what}{failed}")

    for source in sources:
        for element in elements:
            run_suite(source, element, suite, store, done, dynamics)
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workflow.validate",
        description="Compute physical properties of an ensemble.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL_OR_CAMPAIGN", help="an ensemble's directory, or a campaign's")
    add(
        "--reference",
        metavar="LABELLER",
        help="compare with a label source: eam, a campaign's YAML file, or an ensemble's directory",
    )
    add("--suite", choices=("quick", "full", "dynamics"), default="quick", help="(default %(default)s)")
    add(
        "--only",
        nargs="+",
        default=[],
        type=_property_name,
        metavar="PROPERTY",
        help="these properties instead of a suite, such as: melting",
    )
    add(
        "--liquid",
        nargs="+",
        default=[],
        type=_state_point,
        metavar="K[@GPA]",
        help="temperatures, and pressures if not zero, of the liquid, such as 1123 or 1273@5",
    )
    add(
        "--melting",
        nargs="+",
        default=[0.0],
        type=_number,
        metavar="GPA",
        help="pressures of melting (default 0)",
    )
    add("--melting-guess", type=_positive, metavar="K", help="where the search for melting begins")
    add(
        "--melt-freeze-steps",
        nargs=2,
        type=_count,
        default=(MeltFreezeRun.n_heat, MeltFreezeRun.n_cool),
        metavar="N",
        help="steps of heating and of cooling in the melt-freeze run "
        f"(default {MeltFreezeRun.n_heat} {MeltFreezeRun.n_cool}); crystals need time to form",
    )
    add("--seeds", type=_count, default=3, help="runs for each melting temperature (default %(default)s)")
    add(
        "--compare",
        nargs="+",
        default=[],
        metavar="POTENTIAL",
        help="compare with these: a setfl file, an ASE calculator's dotted name, or as for --reference",
    )
    add("--kim", nargs="+", default=[], metavar="NAME", help="compare with these models of OpenKIM")
    add("--out", type=Path, metavar="DIR", help="for the results; by default validation-NAME")
    return parser


def _property_name(text: str) -> str:
    if not any(prop.name.startswith(text) for prop in PROPERTIES):
        known = ", ".join(prop.name for prop in PROPERTIES)
        raise argparse.ArgumentTypeError(f"found {text!r}; expected the beginning of one of: {known}")
    return text


def _state_point(text: str) -> StatePoint:
    temperature, _, pressure = text.partition("@")
    return StatePoint(_positive(temperature), _number(pressure or "0"))


def _positive(text: str) -> float:
    value = _number(text)
    if value <= 0.0:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a number above zero")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a whole number above zero")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a number")
    return value


if __name__ == "__main__":
    sys.exit(main())
