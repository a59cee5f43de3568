"""`make report`: what the archived transcripts say about answers, tokens, cost and speed.

It reads ARCHIVE_FOLDER: the archive of `make run`, or a copy of the bucket. It prints tables, and writes an
HTML file with charts, for which plotly is imported.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

from chat_stream.transcripts.content import reduced
from chat_stream.transcripts.figures import AnswerFigures, answer_figures
from chat_stream.transcripts.transcript import Transcript, parse_transcript
from local.settings import ROOT, LocalSettings, LocalSettingsError

REPORT = ROOT / ".local" / "report.html"
HEAD = (
    "answers", "completed", "tokens in", "tokens out", "USD",
    "first token, median", "95 %", "tokens/s, median",
)  # fmt: skip
OUTCOMES = ("completed", "incomplete", "abandoned", "truncated", "failed")
UNKNOWN = "(unknown)"


class ArchivedAnswer(NamedTuple):
    """What the report needs of one transcript."""

    day: str
    model: str
    caller: str
    outcome: str
    first_token_s: float | None
    figures: AnswerFigures


class Summary(NamedTuple):
    """A group of answers in figures; None where no answer has one. Durations are in seconds."""

    answers: int
    outcomes: Mapping[str, int]
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    first_token_median_s: float | None
    first_token_95_s: float | None
    tokens_per_s_median: float | None

    def cells(self) -> list[str]:
        """The figures as text, in the order of HEAD."""
        return [
            str(self.answers),
            f"{self.outcomes.get('completed', 0) / self.answers:.1%}",
            str(self.input_tokens),
            str(self.output_tokens),
            _text(self.cost_usd, ".4f"),
            _text(self.first_token_median_s, ".2f", " s"),
            _text(self.first_token_95_s, ".2f", " s"),
            _text(self.tokens_per_s_median, ".0f"),
        ]


def main() -> int:
    """Print the tables and write the picture. Returns the exit status: 1 if there is nothing to report."""
    try:
        folder = LocalSettings.from_environment(os.environ).archive_folder
    except LocalSettingsError as error:
        print(error, file=sys.stderr)
        return 1
    answers = list(archived(folder))
    if not answers:
        print(f"there is no transcript in {folder}", file=sys.stderr)
        return 1
    for name in ("day", "model", "caller"):
        print("\n".join(table(name, summaries(answers, name))), end="\n\n")
    write_picture(answers, REPORT)
    print(f"the picture: {REPORT}")
    return 0


def archived(folder: Path) -> Iterator[ArchivedAnswer]:
    """The answers in an archive, oldest day first. Lines that are not transcripts are named and skipped."""
    for file in sorted(folder.glob("transcripts/date=*/*.jsonl")):
        for line in file.read_bytes().splitlines():
            try:
                yield _answer(parse_transcript(json.loads(line)))
            except (ValueError, RecursionError) as error:  # their messages quote nothing
                print(f"{file} is left out: {error}", file=sys.stderr)


def _answer(transcript: Transcript) -> ArchivedAnswer:
    figures = answer_figures(transcript.document)
    document = reduced(transcript, "none").document  # without names that might hold anything
    model, caller = document["request"]["model"] or UNKNOWN, document["caller"] or UNKNOWN
    first_ms = document["timings"]["time_to_first_token_ms"]
    first_s = None if first_ms is None else first_ms / 1000
    return ArchivedAnswer(transcript.date, model, caller, transcript.outcome, first_s, figures)


def summaries(answers: Iterable[ArchivedAnswer], *by: str) -> dict[tuple[str, ...], Summary]:
    """The summary of each group of answers, by the values of these fields, which also sort the groups."""
    groups: dict[tuple[str, ...], list[ArchivedAnswer]] = defaultdict(list)
    for answer in answers:
        groups[tuple(getattr(answer, name) for name in by)].append(answer)
    return {group: _summary(groups[group]) for group in sorted(groups)}


def _summary(answers: Sequence[ArchivedAnswer]) -> Summary:
    figures = [answer.figures for answer in answers]
    costs = [each.cost_usd for each in figures if each.cost_usd is not None]
    first_s = [answer.first_token_s for answer in answers if answer.first_token_s is not None]
    rates = [each.output_tokens_per_s for each in figures if each.output_tokens_per_s is not None]
    return Summary(
        len(answers),
        Counter(answer.outcome for answer in answers),
        sum(each.input_tokens or 0 for each in figures),
        sum(each.output_tokens or 0 for each in figures),
        sum(costs) if costs else None,
        _percentile(first_s, 50),
        _percentile(first_s, 95),
        _percentile(rates, 50),
    )


def _percentile(values: Sequence[float], percent: int) -> float | None:
    if len(values) < 2:
        return values[0] if values else None
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def _text(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"


def table(name: str, groups: Mapping[tuple[str, ...], Summary]) -> list[str]:
    """The lines of a table, with a row for each group."""
    rows = [(name, *HEAD), *((", ".join(group), *summary.cells()) for group, summary in groups.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def write_picture(answers: Sequence[ArchivedAnswer], file: Path) -> None:
    """Write an HTML file with charts by day: the outcomes, and each model's tokens and speed."""
    from plotly.graph_objects import Bar, Figure, Scatter  # type: ignore[import-untyped]
    from plotly.subplots import make_subplots  # type: ignore[import-untyped]

    titles = ("answers", "output tokens", "time to first token, median (s)", "tokens per second, median")
    figure: Figure = make_subplots(rows=2, cols=2, subplot_titles=titles)
    days = summaries(answers, "day")
    for outcome in OUTCOMES:
        counts = [summary.outcomes.get(outcome, 0) for summary in days.values()]
        figure.add_trace(Bar(x=[day for (day,) in days], y=counts, name=outcome), row=1, col=1)
    for (model,) in summaries(answers, "model"):
        own = summaries([answer for answer in answers if answer.model == model], "day")
        x, each = [day for (day,) in own], list(own.values())
        style = {"name": model, "legendgroup": model}
        figure.add_trace(Bar(x=x, y=[one.output_tokens for one in each], **style), row=1, col=2)
        for col, values in (
            (1, [one.first_token_median_s for one in each]),
            (2, [one.tokens_per_s_median for one in each]),
        ):
            trace = Scatter(x=x, y=values, mode="lines+markers", showlegend=False, **style)
            figure.add_trace(trace, row=2, col=col)
    figure.update_layout(barmode="stack", title="Answers by day", template="plotly_white")
    figure.update_xaxes(type="category")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.write_html(file, include_plotlyjs=True)


if __name__ == "__main__":
    sys.exit(main())
