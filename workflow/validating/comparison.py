"""What several potentials found, side by side: rows of a table, and how far each is from the reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from validation.literature import LiteratureValue, literature, published_errors
from validation.results import Findings, Quantity, rms_difference
from validation.suite import Property
from workflow.validating.run import Examined

RMS = "RMS difference"


@dataclass(frozen=True)
class Row:
    """One quantity by every potential.

    Attributes
    ----------
    element, topic, quantity, unit
        Of what; the topic is the property it belongs to.
    by_source
        What each potential has, by its name; those without are missing.
    differences
        From the reference, of each other potential that has the quantity.
    literature
        Published values.
    published_errors
        How far published potentials were from their own label source.
    """

    element: str
    topic: str
    quantity: str
    unit: str
    by_source: Mapping[str, Quantity]
    differences: Mapping[str, float]
    literature: tuple[LiteratureValue, ...]
    published_errors: tuple[LiteratureValue, ...]

    @property
    def remarks(self) -> str:
        """What is odd about any of the numbers."""
        return "; ".join(
            f"{source}: {quantity.remark}" if len(self.by_source) > 1 else quantity.remark
            for source, quantity in self.by_source.items()
            if quantity.remark
        )


def by_source(results: Sequence[Examined], element: str, property_name: str) -> dict[str, Findings]:
    """Return the findings of one property of an element by the name of the potential."""
    return {
        result.source: result.findings
        for result in results
        if result.element == element and result.property == property_name
    }


def comparison(
    results: Sequence[Examined], element: str, props: Sequence[Property], reference: str | None = None
) -> list[Row]:
    """Return the rows of an element's table in the order of the suite.

    A property without any number has one row, whose remark says why.

    Parameters
    ----------
    reference
        Name of the potential from which the others' differences are counted.
    """
    rows: list[Row] = []
    for prop in props:
        rows += _rows(element, prop.name, by_source(results, element, prop.name), reference)
    return rows


def _rows(
    element: str, property_name: str, found: Mapping[str, Findings], reference: str | None
) -> list[Row]:
    units = {q.name: q.unit for findings in found.values() for q in findings.quantities}
    rows = [
        _row(element, property_name, name, unit, _with_name(found, name), reference)
        for name, unit in units.items()
    ]
    failed = {
        source: Quantity(property_name, math.nan, "", remark=findings.remark)
        for source, findings in found.items()
        if findings.remark
    }
    if failed:
        rows.append(_row(element, property_name, property_name, "", failed, None))
    return [*rows, *_rms_rows(element, property_name, found, reference)]


def _with_name(found: Mapping[str, Findings], name: str) -> dict[str, Quantity]:
    return {
        source: quantity
        for source, findings in found.items()
        for quantity in findings.quantities
        if quantity.name == name
    }


def _row(
    element: str,
    property_name: str,
    name: str,
    unit: str,
    quantities: Mapping[str, Quantity],
    reference: str | None,
) -> Row:
    zero = quantities[reference].value if reference is not None and reference in quantities else math.nan
    differences = {
        source: quantity.value - zero
        for source, quantity in quantities.items()
        if source != reference and math.isfinite(quantity.value - zero)
    }
    return Row(
        element,
        property_name,
        name,
        unit,
        quantities,
        differences,
        tuple(value for value in literature(element) if value.quantity == name),
        tuple(value for value in published_errors(element) if value.quantity == name),
    )


def _rms_rows(
    element: str, property_name: str, found: Mapping[str, Findings], reference: str | None
) -> list[Row]:
    """Return how far each potential's curves are from the reference's."""
    if reference is None or reference not in found:
        return []
    apart = {
        source: rms_difference(findings, found[reference])
        for source, findings in found.items()
        if source != reference
    }
    unit = found[reference].y_label.rpartition(", ")[2]
    name = f"{property_name}: {RMS}"
    quantities = {source: Quantity(name, value, unit) for source, value in apart.items() if value is not None}
    return [_row(element, property_name, name, unit, quantities, None)] if quantities else []
