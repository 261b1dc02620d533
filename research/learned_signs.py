"""Measures whether the mappings of learned signs decide well, and how many signs are wrong alone.

    python -m research.learned_signs decided runs/final/fashion-tuned-lns/seed_* \
        --file results/learned_signs.csv
    python -m research.learned_signs summary results/learned_signs.csv
    python -m research.learned_signs rates runs/final/fashion-pretrained/seed_* \
        --file results/noise_rates.csv

`decided`: of each run, the share of binary weights that have another sign than the latent weight,
and the accuracy on the validation images with these signs and with those of the latent weights,
each with statistics of its own (`kbnn.recalibrate_batch_norm`, on training images). `summary` has
the means of each experiment, and a 95 % interval of what the signs of the mappings are worth.

`rates`: of each run, the share of signs whose flip lowers the loss on training images, layer by
layer (`kbnn.techniques.estimate_noise_rate`).
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
from research.accuracy_table import mean_difference

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0], no_args_is_help=True)

Runs = Annotated[list[pathlib.Path], typer.Argument(help="Folders of finished runs.")]
File = Annotated[pathlib.Path, typer.Option(help="The table; it is replaced.")]


@dataclasses.dataclass(frozen=True)
class Decided:
    """What the mappings of a run decide, and what it is worth.

    Attributes:
        run: its folder, relative to the folder of all runs.
        weights: number of its binary weights.
        decided: share of them whose sign is not that of the latent weight.
        learned: accuracy on the validation images with the signs of the mappings.
        latent: the same with those of the latent weights.
        validation_images: on which it was measured.
        batches: of training images, on which the statistics were measured.
        commit: the state of the repository.
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
    """How many of a kernel's signs are wrong, each by itself.

    Attributes:
        run: its folder, relative to the folder of all runs.
        kernel: its name.
        rate: share of the signs tried whose flip lowers the loss.
        low: lower end of its 95 % confidence interval.
        high: upper end.
        tried: number of signs.
        images: training images that the loss is of.
        commit: the state of the repository.
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
def decided(
    runs: Runs,
    file: File,
    batches: Annotated[int, typer.Option(help="Batches of training images.")] = 200,
) -> None:
    """Compare the signs of the mappings with those of the latent weights."""
    rows = []
    for run in runs:
        rows.append(decided_by(run, batches))
        print(rows[-1], flush=True)
    tables.write(rows, file)


@app.command()
def summary(file: Annotated[pathlib.Path, typer.Argument(help="A table of `decided`.")]) -> None:
    """Show the means over each experiment's runs, in percent."""
    of_experiments: dict[str, list[dict[str, str]]] = {}
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            of_experiments.setdefault(row["run"].split("/")[-2], []).append(row)
    for experiment, rows in of_experiments.items():
        share = statistics.fmean(float(row["decided"]) for row in rows)
        worth = mean_difference([float(row["learned"]) - float(row["latent"]) for row in rows])
        interval = (
            "" if worth.low is None else f" [{100 * worth.low:+.2f}, {100 * worth.high:+.2f}]"
        )
        print(
            f"{experiment}: {len(rows)} runs, {100 * share:.2f} decided, "
            f"worth {100 * worth.mean:+.2f}{interval}"
        )


@app.command()
def rates(
    runs: Runs,
    file: File,
    images: Annotated[int, typer.Option(help="Training images.")] = 5000,
    samples: Annotated[int, typer.Option(help="Signs to try in each layer.")] = 200,
) -> None:
    """Flip signs, one at a time."""
    rows = []
    for run in runs:
        found = rates_of(run, images, samples)
        print(*found, sep="\n", flush=True)
        rows += found
    tables.write(rows, file)


def decided_by(run: pathlib.Path, batches: int) -> Decided:
    """What the mappings of a run decide."""
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
    # The same images for both: the pipeline draws others for each pass.
    images = [batch for batch, _ in splits.train.take(batches)]
    for network in (learned, latent):
        kbnn.recalibrate_batch_norm(network, images)
    return Decided(
        run=finished_runs.name(run),
        weights=weights,
        decided=round(differing / weights, 5),
        learned=finished_runs.accuracy(learned, splits.validation),
        latent=finished_runs.accuracy(latent, splits.validation),
        validation_images=sum(len(labels) for _, labels in splits.validation),
        batches=len(images),
        commit=provenance.commit(),
    )


def rates_of(run: pathlib.Path, count: int, samples: int) -> list[Rate]:
    """The rates of a run's layers."""
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
