"""Measures what learned signs are worth, and how many single signs are wrong.

    python -m research.learned_signs compare RUN ... --file results/learned_signs.csv
    python -m research.learned_signs summary results/learned_signs.csv
    python -m research.learned_signs rates RUN ... --file results/noise_rates.csv

`compare` measures, for each run, the share of binary weights whose learned sign differs from the
sign of the latent weight, and the validation accuracy with either signs. Both networks have their
batch normalization recalibrated on training images (`kbnn.recalibrate_batch_norm`). `summary` shows
the means of each arm, and what the learned signs are worth with a 95 % interval.

`rates` flips signs one at a time. For each layer of each run it gives the share of flips that lower
the loss on training images (`kbnn.techniques.estimate_noise_rate`).
"""

import csv
import dataclasses
import pathlib
import statistics
from typing import Annotated

import numpy as np
import typer

import kbnn
from kbnn.graph.larq_quantizers import KERNEL_QUANTIZERS, latent_kernel, quantized_kernels
from research import finished_runs, provenance, tables
from research.bench_statistics import mean_difference
from research.bench_summary import format_difference

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0], no_args_is_help=True)

Runs = Annotated[list[pathlib.Path], typer.Argument(help="Folders of finished runs.")]
File = Annotated[pathlib.Path, typer.Option(help="The table to write.")]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The learned signs of a run, and the signs of its latent weights.

    Attributes:
        run: its folder: bench, arm and seed.
        weights: number of its binary weights.
        decided: share of them whose learned sign differs from the latent weight's.
        learned: validation accuracy with the learned signs.
        latent: validation accuracy with the signs of the latent weights.
        validation_images: number of validation images.
        batches: number of training batches for batch normalization.
        commit: of the repository.
    """

    run: str
    weights: int
    decided: float
    learned: float
    latent: float
    validation_images: int
    batches: int
    commit: str


@dataclasses.dataclass(frozen=True)
class Rate:
    """The share of a kernel's signs that are wrong.

    Attributes:
        run: its folder: bench, arm and seed.
        kernel: its name.
        rate: share of flips that lower the loss.
        low: lower end of its 95 % confidence interval.
        high: upper end.
        tried: number of signs that were flipped.
        images: number of training images in the loss.
        commit: of the repository.
    """

    run: str
    kernel: str
    rate: float
    low: float
    high: float
    tried: int
    images: int
    commit: str


@app.command()
def compare(
    runs: Runs,
    file: File,
    batches: Annotated[int, typer.Option(help="Batches of training images.")] = 200,
) -> None:
    """Compare learned signs with the signs of the latent weights."""
    rows = []
    for run in runs:
        rows.append(compare_signs(run, batches))
        print(rows[-1], flush=True)
    tables.write(rows, file)


@app.command()
def summary(file: Annotated[pathlib.Path, typer.Argument(help="A table of `compare`.")]) -> None:
    """Show the mean over the runs of each arm, in percent."""
    of_arms: dict[str, list[dict[str, str]]] = {}
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            of_arms.setdefault("/".join(row["run"].split("/")[:-1]), []).append(row)
    for arm, rows in of_arms.items():
        share = statistics.fmean(float(row["decided"]) for row in rows)
        worth = mean_difference([float(row["learned"]) - float(row["latent"]) for row in rows])
        print(
            f"{arm}: {len(rows)} runs, {100 * share:.2f} decided, worth {format_difference(worth)}"
        )


@app.command()
def rates(
    runs: Runs,
    file: File,
    images: Annotated[int, typer.Option(help="Training images.")] = 5000,
    samples: Annotated[int, typer.Option(help="Signs to try in each layer.")] = 200,
) -> None:
    """Flip signs one at a time, and count the flips that lower the loss."""
    rows = []
    for run in runs:
        found = measure_rates(run, images, samples)
        print(*found, sep="\n", flush=True)
        rows += found
    tables.write(rows, file)


def compare_signs(run: pathlib.Path, batches: int) -> Comparison:
    """Return the comparison for a run."""
    model, splits = finished_runs.load(run)
    learned = kbnn.converters.freeze(model)
    latent = kbnn.requantize(model, kernel_quantizer="ste_sign")
    differing, weights = 0, 0
    shipped, plain = quantized_kernels(learned), quantized_kernels(latent)
    for name, (layer, argument) in quantized_kernels(model).items():
        real = latent_kernel(layer, argument).numpy()
        differing += int(np.sum((latent_kernel(*shipped[name]).numpy() >= 0) != (real >= 0)))
        weights += real.size
        kernel = getattr(plain[name][0], KERNEL_QUANTIZERS[argument])
        getattr(kernel, "latent_variable", kernel).assign(real)
    # Both networks get the same images; the pipeline draws others for each pass.
    images = [batch for batch, _ in splits.train.take(batches)]
    for network in (learned, latent):
        kbnn.recalibrate_batch_norm(network, images)
    return Comparison(
        run=finished_runs.name(run),
        weights=weights,
        decided=round(differing / weights, 5),
        learned=finished_runs.accuracy(learned, splits.validation),
        latent=finished_runs.accuracy(latent, splits.validation),
        validation_images=sum(len(labels) for _, labels in splits.validation),
        batches=len(images),
        commit=provenance.commit(),
    )


def measure_rates(run: pathlib.Path, count: int, samples: int) -> list[Rate]:
    """Return the rate of each binary kernel of a run."""
    model, splits = finished_runs.load(run)
    images, labels = next(iter(splits.train.unbatch().take(count).batch(count)))
    found = kbnn.techniques.estimate_noise_rate(model, images, labels, samples=samples)
    return [
        Rate(
            run=finished_runs.name(run),
            kernel=row.kernel,
            rate=round(row.rate, 4),
            low=round(row.low, 4),
            high=round(row.high, 4),
            tried=row.tried,
            images=len(labels),
            commit=provenance.commit(),
        )
        for row in found
    ]


if __name__ == "__main__":
    app()
