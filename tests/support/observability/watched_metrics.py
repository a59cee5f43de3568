"""The metrics that dashboards and alarms of an evaluated template name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Watched(NamedTuple):
    """One metric, by everything that identifies it in CloudWatch."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]


def of_alarm(alarm: Mapping[str, Any]) -> list[Watched]:
    """The metrics of an alarm, whether it watches one or an expression."""
    metrics = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
    return [
        Watched(
            metric["Namespace"],
            metric["MetricName"],
            frozenset((dimension["Name"], dimension["Value"]) for dimension in metric["Dimensions"]),
        )
        for metric in metrics or [alarm]
    ]


def widgets(dashboard: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """The properties of the dashboard's widgets of a type: `metric` or `log`."""
    body = json.loads(dashboard["DashboardBody"])
    return [widget["properties"] for widget in body["widgets"] if widget["type"] == kind]


def of_widget(widget: Mapping[str, Any]) -> Iterator[Watched]:
    """The metrics of a metric widget, in which `.` stands for the value above, and `...` for all above it.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    """
    above: list[str] = []
    for line in widget["metrics"]:
        parts = [part for part in line if isinstance(part, str)]
        if parts[0] == "...":
            parts = [*above[: len(above) - len(parts) + 1], *parts[1:]]
        above = [above[place] if part == "." else part for place, part in enumerate(parts)]
        yield Watched(above[0], above[1], frozenset(zip(above[2::2], above[3::2], strict=True)))
