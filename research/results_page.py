"""Writes docs/results.md and its pictures from results/bench.csv.

    python -m research.results_page

The page has a table and a picture for each bench that has rows. Run the command again when the
table or a bench has changed.
"""

import json
import pathlib
import textwrap
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from research import bench_plot, bench_table, benches, provenance
from research.bench_results import BenchResults, check_settings
from research.bench_summary import describe_spread, summarize
from research.bench_table import Row

FILE = provenance.ROOT / "docs" / "results.md"
PICTURES = "pictures"

_INTRODUCTION = """\
`python -m research.results_page` wrote this page from
[`results/bench.csv`](../results/README.md). [How to measure](benchmarks.md) says how to repeat a
bench. Accuracy is measured with the converted file (the device file) on the test images, in %, as
mean +- standard deviation over the seeds. Arms for tuning are measured in Keras on the validation
images.

An effect is the difference from the baseline of the bench, in points. If the table names another
arm, it is the difference from that arm. Both have the same number of epochs unless an arm's name
says otherwise. Brackets contain the 95 % confidence interval over seeds, for these test images.
Each interval is for one comparison: of twenty arms without any effect, you can expect one to have
an interval that excludes 0.

Time is the processor time of the training, divided by the baseline's. It includes the trainings of
the networks that an arm starts from or learns from. "At equal time" compares an arm with plain
training that takes as long, interpolated between plain trainings of several lengths. An arm that
takes longer than any of them ("beyond") is compared with the longest, which favours the arm. The
table then has no verdict for this comparison."""

_HEADINGS = ("arm", "runs", "accuracy", "effect", "effect at equal time", "time", "verdict")


def main(
    file: Annotated[pathlib.Path, typer.Option(help="The table.")] = bench_table.FILE,
    out: Annotated[pathlib.Path, typer.Option(help="The page to write.")] = FILE,
) -> None:
    """Write the page, and a picture for each bench."""
    found = read_results([benches.load(name) for name in benches.names()], file)
    (out.parent / PICTURES).mkdir(parents=True, exist_ok=True)
    for results in found:
        if bench_plot.shown_arms(results):
            bench_plot.draw(results, out.parent / picture(results))
    out.write_text(page(found))


def read_results(of: Iterable[benches.Bench], file: pathlib.Path) -> list[BenchResults]:
    """Return the results of the benches that have rows.

    Raises:
        ValueError: an arm of a bench has other settings now than one of its rows.
    """
    rows = bench_table.read(file)
    found = []
    for bench in of:
        check_settings(bench, rows)
        results = BenchResults(bench, rows)
        if results.arms:
            found.append(results)
    return found


def picture(results: BenchResults) -> str:
    """Return the path of a bench's picture, from the folder of the page."""
    return f"{PICTURES}/bench_{results.bench.name}.png"


def page(found: Sequence[BenchResults]) -> str:
    """Return the text of the page, formatted as mdformat formats it."""
    parts = ["# Results of the benches", *map(_wrap, _INTRODUCTION.split("\n\n"))]
    if not found:
        parts.append("No bench has rows yet.")
    for results in found:
        parts += _section(results)
    return "\n\n".join(parts) + "\n"


def _section(results: BenchResults) -> list[str]:
    bench = results.bench
    rows = [row for arm in results.rows.values() for row in arm.values()]
    parts = [
        f"## {bench.title}",
        _wrap(f"`{bench.name}`: {_describe_training(results)} {_describe_origin(rows)}"),
        _wrap(f"{describe_spread(results)} The baseline is {_label(results, bench.baseline)}."),
        _table(results),
    ]
    if bench_plot.shown_arms(results):
        parts.append("The picture shows the effects of the binary networks.")
        parts.append(f"![Effects of the arms of {bench.name}]({picture(results)})")
    return parts


def _table(results: BenchResults) -> str:
    lines = [_line(_HEADINGS), _line(["--"] * len(_HEADINGS))]
    for arm in results.arms:
        cells = summarize(results, arm)
        kind = " (tuning)" if results.bench.arms[arm].is_tuning else ""
        lines.append(
            _line(
                (
                    *(f"{_label(results, arm)}{kind}", cells.runs, cells.accuracy, cells.effect),
                    *(cells.equal_time, cells.time, cells.verdict),
                )
            )
        )
    return "\n".join(lines)


def _describe_training(results: BenchResults) -> str:
    """Return a sentence on the network, the data and the fit of the baseline."""
    arm = results.bench.baseline if results.rows[results.bench.baseline] else results.arms[0]
    row = next(iter(results.rows[arm].values()))
    content = json.loads(row.settings)
    data, network, fit = content["data"], content["network"], content["fit"]
    source = "" if data["dataset"] == "folder" else f" on {data['dataset']}"
    width = "" if network["width"] is None else f" of width {network['width']}"
    return (
        f"{network['architecture']}{width}{source}, {row.epochs} epochs with {fit['optimizer']}, "
        f"learning rate {fit['learning_rate']:g} ({fit['schedule']}), batches of "
        f"{data['batch_size']}, augmentation {data['augment']}, {fit['precision']}; "
        f"{100 * data['validation']:g} % of the training images are held out. An arm has these "
        "settings unless its name says otherwise."
    )


def _describe_origin(rows: Sequence[Row]) -> str:
    """Return sentences on seeds, machines, versions and commits."""
    versions = {json.dumps(json.loads(row.versions), sort_keys=True) for row in rows}
    named = [
        ", ".join(f"{name} {version}" for name, version in json.loads(each).items())
        for each in sorted(versions)
    ]
    first, last = min(row.date for row in rows), max(row.date for row in rows)
    days = f"on {first}" if first == last else f"from {first} to {last}"
    machines = " and on ".join(sorted({row.machine for row in rows}))
    commits = sorted({row.commit for row in rows})
    return (
        f"Seeds: {_ranges({row.seed for row in rows})}. Measured {days}, on {machines}, with "
        f"{', or with '.join(named)}, at commit{'s' if len(commits) > 1 else ''} "
        f"{', '.join(commits)}."
    )


def _ranges(seeds: set[int]) -> str:
    """Return numbers as ranges, such as 0 to 4, 7."""
    starts = [seed for seed in sorted(seeds) if seed - 1 not in seeds]
    ends = [seed for seed in sorted(seeds) if seed + 1 not in seeds]
    parts = [f"{a}" if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=True)]
    return ", ".join(parts)


def _label(results: BenchResults, arm: str) -> str:
    return f"{results.bench.arms[arm].label} (`{arm}`)"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _wrap(text: str) -> str:
    return textwrap.fill(
        " ".join(text.split()), 100, break_long_words=False, break_on_hyphens=False
    )


if __name__ == "__main__":
    typer.run(main)
