"""Measures the time and the peak memory of training steps against a plain Larq step.

    python -m research.step_cost run                        # writes to results/step_cost.csv
    python -m research.step_cost run residual-reactnet      # shows some
    python -m research.step_cost run resnet18-latent_twin --group latent    # writes some
    python -m research.step_cost memory chain-ste_sign

Time: the variants take turns in one process, and each turn is divided by the baseline's turn in
the same round. On a machine that has other work, processor time gives the steadier ratio. It does
not show that a step leaves processors idle; wall time does. Milliseconds depend on other work.

Memory: the peak of TensorFlow's allocator during a step (weights, optimizer, activations,
gradients, the batch), with a fresh process for each variant. Operations run one at a time there, so
that the order of threads does not matter; the number repeats to about 5 %. The resident memory of
the process would say little, because most of it is TensorFlow and the tracing of the graph.

All rows of a group come from one run, and the next run of that group replaces them. The table has a
group for each set of options that variants are measured with.
"""

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Annotated

import tensorflow as tf
import tf_keras as keras
import typer
from rich.console import Console
from rich.table import Table

from kbnn.runs.folder import versions
from kbnn.training.trainer import model_of
from research import provenance, step_timing, tables
from research.step_timing import Turn
from research.step_variants import USUAL, VARIANTS, with_baselines

FILE = provenance.ROOT / "results" / "step_cost.csv"
USUAL_GROUP = "usual"
# Rows of the memory bank in a variant.
_SAMPLES = 60_000
_MEMORY_STEPS = 10
_WIDTH = 125  # of the table, in a pipe too

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0], no_args_is_help=True)


@dataclasses.dataclass(frozen=True)
class Row:
    """The cost of a variant's step.

    Attributes:
        group: the run that the row comes from.
        variant: its name in `step_variants.VARIANTS`.
        baseline: the variant by which it is divided; a baseline is divided by itself.
        cpu_ratio: processor time, divided by the baseline's; median of the rounds.
        cpu_ratio_lower_quartile: a quarter of the rounds have a smaller ratio.
        cpu_ratio_upper_quartile: a quarter of the rounds have a larger ratio.
        wall_ratio: the same for wall time.
        wall_ratio_lower_quartile: a quarter of the rounds have a smaller ratio.
        wall_ratio_upper_quartile: a quarter of the rounds have a larger ratio.
        wall_milliseconds: wall time of a step, median of the rounds; depends on other work.
        memory_ratio: peak memory, divided by the baseline's.
        peak_bytes: peak of TensorFlow's allocator during a step.
        rounds: turns of each variant.
        steps: timed steps in a turn.
        batch_size: images of a step.
        image_shape: height x width x channels.
        versions: versions of the packages that the numbers depend on, as JSON.
        machine: processor and number of cores.
        commit: commit of the repository; "+" means that files had been edited.
        date: day of the run.
    """

    group: str
    variant: str
    baseline: str
    cpu_ratio: float
    cpu_ratio_lower_quartile: float
    cpu_ratio_upper_quartile: float
    wall_ratio: float
    wall_ratio_lower_quartile: float
    wall_ratio_upper_quartile: float
    wall_milliseconds: float
    memory_ratio: float
    peak_bytes: int
    rounds: int
    steps: int
    batch_size: int
    image_shape: str
    versions: str
    machine: str
    commit: str
    date: str


@app.command()
def run(
    variants: Annotated[
        list[str] | None,
        typer.Argument(help="Names from step_variants.py; by default all that are not large."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=2, help="Turns of each variant.")] = 20,
    steps: Annotated[int, typer.Option(min=1, help="Timed steps in a turn.")] = 5,
    batch_size: Annotated[int, typer.Option(min=1, help="Images of a step.")] = 128,
    group: Annotated[
        str | None,
        typer.Option(
            help="The group whose rows of the table are replaced; by default usual, if no variant "
            "is named. Without a group nothing is written."
        ),
    ] = None,
    file: Annotated[
        pathlib.Path,
        typer.Option(help="The table. (default: results/step_cost.csv)", show_default=False),
    ] = FILE,
) -> None:
    """Measure variants and their baselines, show their rows, and write those of a group."""
    _check_names(variants or [])
    names = with_baselines(variants or USUAL)
    # TensorFlow takes the models for one function that is traced again and again, and warns.
    tf.get_logger().setLevel("ERROR")
    # Before the times, because TensorFlow has not started threads yet that would compete.
    peaks = {name: _measure_peak(name, batch_size) for name in names}
    models = {name: VARIANTS[name].model() for name in names}
    turns = step_timing.take_turns(
        {name: training_step(model, batch_size) for name, model in models.items()},
        rounds=rounds,
        steps_per_round=steps,
    )
    shapes = {
        name: "x".join(map(str, model_of(model).input_shape[1:])) for name, model in models.items()
    }
    if group is None and not variants:
        group = USUAL_GROUP
    table = rows(turns, peaks, shapes, group=group or "", steps=steps, batch_size=batch_size)
    if group is not None:
        tables.update(table, file, by=["group"])
    Console(width=_WIDTH).print(_render(table))


@app.command()
def memory(
    variant: Annotated[str, typer.Argument(help="A name from step_variants.py.")],
    batch_size: Annotated[int, typer.Option(min=1, help="Images of a step.")] = 128,
) -> None:
    """Print the peak memory of a variant's step, in bytes."""
    _check_names([variant])
    # The default allocator on a CPU keeps no statistics; this one does. TensorFlow reads the
    # variable when it creates the first tensor.
    os.environ["TF_CPU_ALLOCATOR_USE_BFC"] = "true"
    tf.config.threading.set_inter_op_parallelism_threads(1)
    step = training_step(VARIANTS[variant].model(), batch_size)
    step()
    tf.config.experimental.reset_memory_stats("CPU:0")
    for _ in range(_MEMORY_STEPS):
        step()
    print(tf.config.experimental.get_memory_info("CPU:0")["peak"])


def training_step(model: keras.Model, batch_size: int) -> Callable[[], float]:
    """Return the step that `fit` runs, on one batch that stays the same; it returns the loss."""
    keras.utils.set_random_seed(0)
    shipped = model_of(model)
    images = tf.random.uniform((batch_size, *shipped.input_shape[1:]), -1.0, 1.0)
    labels = tf.random.uniform((batch_size,), 0, shipped.output_shape[-1], tf.int64)
    batch = [images, labels]
    if getattr(model, "with_index", False):
        batch.append(tf.random.shuffle(tf.range(_SAMPLES, dtype=tf.int64))[:batch_size])
    batches = iter(tf.data.Dataset.from_tensors(tuple(batch)).repeat())
    train = model.make_train_function()
    # Reading the loss waits for a step that a device runs in the background.
    return lambda: float(train(batches)["loss"])


def rows(
    turns: dict[str, list[Turn]],
    peaks: dict[str, int],
    shapes: dict[str, str],
    *,
    group: str,
    steps: int,
    batch_size: int,
) -> list[Row]:
    """Return the rows of a group."""
    measured_on = {
        "versions": json.dumps(versions()),
        "machine": provenance.machine(),
        "commit": provenance.commit(),
        "date": provenance.today(),
    }
    table = []
    for name, own in turns.items():
        baseline = VARIANTS[name].baseline or name
        table.append(
            Row(
                group=group,
                variant=name,
                baseline=baseline,
                **_ratio_columns("cpu", own, turns[baseline]),
                **_ratio_columns("wall", own, turns[baseline]),
                wall_milliseconds=round(1000 * statistics.median(turn.wall for turn in own), 3),
                memory_ratio=round(peaks[name] / peaks[baseline], 4),
                peak_bytes=peaks[name],
                rounds=len(own),
                steps=steps,
                batch_size=batch_size,
                image_shape=shapes[name],
                **measured_on,
            )
        )
    return table


def _ratio_columns(clock: str, own: list[Turn], baseline: list[Turn]) -> dict[str, float]:
    """Return the three columns of one clock."""
    found = step_timing.ratio(
        [getattr(turn, clock) for turn in own], [getattr(turn, clock) for turn in baseline]
    )
    return {
        f"{clock}_ratio": round(found.median, 4),
        f"{clock}_ratio_lower_quartile": round(found.lower_quartile, 4),
        f"{clock}_ratio_upper_quartile": round(found.upper_quartile, 4),
    }


def _check_names(names: list[str]) -> None:
    unknown = sorted(set(names) - set(VARIANTS))
    if unknown:
        raise typer.BadParameter(f"Expected {', '.join(VARIANTS)}. Received: {unknown}")


def _measure_peak(name: str, batch_size: int) -> int:
    command = [
        sys.executable,
        "-m",
        "research.step_cost",
        "memory",
        name,
    ]
    done = subprocess.run(
        [*command, "--batch-size", str(batch_size)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=provenance.ROOT,
    )
    return int(done.stdout)


def _render(table: list[Row]) -> Table:
    shown = Table(title="Cost of a training step, divided by the baseline's: median, quartiles")
    for heading in ("variant", "baseline", "processor", "wall", "ms", "memory", "peak MB"):
        shown.add_column(heading)
    for row in table:
        shown.add_row(
            *(row.variant, row.baseline),
            f"{row.cpu_ratio:.2f} "
            f"[{row.cpu_ratio_lower_quartile:.2f}, {row.cpu_ratio_upper_quartile:.2f}]",
            f"{row.wall_ratio:.2f} "
            f"[{row.wall_ratio_lower_quartile:.2f}, {row.wall_ratio_upper_quartile:.2f}]",
            f"{row.wall_milliseconds:.0f}",
            *(f"{row.memory_ratio:.2f}", f"{row.peak_bytes / 1e6:.1f}"),
        )
    return shown


if __name__ == "__main__":
    app()
