"""``python -m workflow.validate MODEL_OR_CAMPAIGN``: its properties beside others and published ones.

Exit status: 0 where the suite was run, whatever it found; 1 where it was interrupted; 2 for wrong use. What
is finished is kept: the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from validation.suite import Property, SuiteName, properties
from workflow.display import complain, say
from workflow.validating.numbers import seconds_text
from workflow.validating.outputs import Report, text_table, write_outputs
from workflow.validating.run import Examined, estimates_s, run_suite
from workflow.validating.sources import Source, SourceError, kim_source, model_source, reference_source
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
    models, skipped = _comparison_models(options.kim)
    sources = [model, *([reference] if reference else []), *models]
    out: Path = options.out or Path(f"validation-{model.name.replace(' ', '-')}")
    props = properties(options.suite)
    try:
        _plan(sources, elements, options.suite, props, skipped)
        results = _run(sources, elements, options.suite, props, Store(out / "properties"))
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


def _comparison_models(names: Sequence[str]) -> tuple[list[Source], dict[str, str]]:
    """Return OpenKIM's models that can be used here, and why the others cannot."""
    sources, skipped = [], {}
    for name in names:
        try:
            sources.append(kim_source(name))
        except SourceError as error:
            skipped[name] = str(error)
    return sources, skipped


def _plan(
    sources: Sequence[Source],
    elements: Sequence[str],
    suite: SuiteName,
    props: Sequence[Property],
    skipped: Mapping[str, str],
) -> None:
    """Say what will be computed and, for the full suite, about how long it will take."""
    say(f"{suite} suite of {', '.join(elements)}: {', '.join(prop.name for prop in props)}")
    for reason in skipped.values():
        say(f"not compared: {reason}")
    for source in sources:
        say(f"  {source.name}{_times(source, elements, props) if suite == 'full' else ''}")


def _times(source: Source, elements: Sequence[str], props: Sequence[Property]) -> str:
    known = [times for element in elements if (times := estimates_s(source, element, props)) is not None]
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
            run_suite(source, element, suite, store, done)
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
    add("--suite", choices=("quick", "full"), default="quick", help="(default %(default)s)")
    add("--kim", nargs="+", default=[], metavar="NAME", help="compare with these models of OpenKIM")
    add("--out", type=Path, metavar="DIR", help="for the results; by default validation-NAME")
    return parser


if __name__ == "__main__":
    sys.exit(main())
