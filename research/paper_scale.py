"""Trains an arm of a bench on a machine with JAX and a GPU but without TensorFlow.

    python -m research.paper_scale export cifar_resnet20 ste_sign --out step --tool TOOL
    # on that machine, in a copy of step/: the command that `export` printed
    python -m research.paper_scale import cifar_resnet20 ste_sign --from step --tool TOOL \\
        --machine "a GPU"

TOOL is a folder with export_step.py, which writes a compiled step and reads variables back, and
with run_step.py and train_loop.py, which train that step under JAX. It is not part of kbnn.

`export` writes the step that `kbnn train` would run: model, quantizers, losses, optimizer, initial
weights. The loop adds the order of the images, the augmentation and the schedule. It differs from
`kbnn train` in three details: it draws other random numbers, the border of a random crop has the
mean colour instead of black, and a cosine schedule reaches 0 in the last step instead of one step
later. The loop's test images are the validation images; the real test images are not exported.

`import` measures the statistics of batch normalization anew, as `kbnn train` does. Arms whose
training needs more than such a step are refused.
"""

import csv
import importlib.util
import json
import pathlib
import shlex
from types import ModuleType
from typing import Annotated, Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
import typer

import kbnn
from kbnn.runs import RunConfig
from kbnn.runs.folder import RunFolder, versions, write_json
from kbnn.runs.run_model import build_model, load_data
from kbnn.techniques import NoisySupervision
from research import bench, bench_run, bench_table, benches, exported_step, provenance
from research.benches import Bench

TOOL_FILES = ("export_step.py", "run_step.py", "train_loop.py")
# The loop's arguments for kbnn's settings. It crops and flips, or does neither.
_AUGMENT = {"none": ["--no-augment"], "both": []}
_SCHEDULES = {
    "cosine": "cosine:{rate}:0",
    "linear": "linear:{rate}:0",
    "constant": "linear:{rate}:{rate}",
}
# Everything that it does in training is in the step; other techniques have trainers or schedules.
_TECHNIQUES = (NoisySupervision,)

BenchName = Annotated[
    str, typer.Argument(metavar="BENCH", help="A bench of research/benches, or a .toml file.")
]
ArmName = Annotated[str, typer.Argument(help="An arm of the bench.")]
Seed = Annotated[int, typer.Option(help="Seed of the initial weights and of the validation split.")]
DataDir = Annotated[pathlib.Path | None, typer.Option(help="Folder or file of the data.")]
Tool = Annotated[pathlib.Path, typer.Option(help=f"A folder with {', '.join(TOOL_FILES)}.")]

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0], no_args_is_help=True)


@app.command("export")
def export_run(
    name: BenchName,
    arm: ArmName,
    out: Annotated[pathlib.Path, typer.Option(help="Folder for the steps and the images.")],
    tool: Tool,
    seed: Seed = 0,
    data_dir: DataDir = None,
    data: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="An .npz file with x_train, y_train, x_test and y_test for the loop; "
            "by default the bench's images are written."
        ),
    ] = None,
) -> None:
    """Write the steps of an arm and print the command that trains it."""
    found = bench.load(name)
    config = _config(found, arm, seed, data_dir)
    exporter = load_tool(tool)
    check_exportable(config)
    # In the order of a training run, so that the seed gives the same initial weights.
    keras.utils.set_random_seed(config.fit.seed)
    splits = load_data(config)
    model = build_model(config)
    config.fit.replace(schedule="constant").compile(model, steps=1)
    out.mkdir(parents=True, exist_ok=True)
    if data is None:
        data = out / "data.npz"
        write_images(splits.train, splits.validation, data)
    with np.load(data, allow_pickle=False) as arrays:
        normalization = exported_step.Normalization.from_images(arrays["x_train"])
        validation_images = len(arrays["x_test"])
    export_steps(
        *(exporter, model, normalization, out),
        batch_size=config.data.batch_size,
        eval_batch_size=min(config.data.batch_size, validation_images),
    )
    command = loop_command(config, data.name)
    content = {
        "bench": found.name,
        "arm": arm,
        "settings": bench_table.settings_json(config),
        "learning_rate": exported_step.LEARNING_RATE,
        "normalization": {
            "mean": normalization.mean.tolist(),
            "std": normalization.std.tolist(),
        },
        "command": command,
        "commit": provenance.commit(),
        "versions": versions(),
    }
    write_json(out / "export.json", content)
    print(f"In {out}, with {data.name} there: {shlex.join(command)}")


@app.command("import")
def import_run(
    name: BenchName,
    arm: ArmName,
    folder: Annotated[
        pathlib.Path,
        typer.Option("--from", help="The exported folder, with trained.npz and trained.csv."),
    ],
    tool: Tool,
    machine: Annotated[str, typer.Option(help="Description of the machine that trained.")],
    seed: Seed = 0,
    data_dir: DataDir = None,
    file: Annotated[pathlib.Path, typer.Option(help="The table.")] = bench_table.FILE,
    runs: Annotated[pathlib.Path, typer.Option(help="Folder of the runs.")] = bench.RUNS,
) -> None:
    """Turn trained variables into a run, convert it, and add its row to results/bench.csv."""
    found = bench.load(name)
    config = _config(found, arm, seed, data_dir)
    name = found.name
    exporter = load_tool(tool)
    exported = json.loads((folder / "export.json").read_text())
    if exported["settings"] != bench_table.settings_json(config):
        raise typer.BadParameter(
            f"Expected {folder} to be an export of {name} {arm} with seed {seed}. "
            f"Received: {exported['bench']} {exported['arm']} with {exported['settings']}"
        )
    if (name, arm, seed) in {row.key for row in bench_table.read(file)}:
        raise typer.BadParameter(
            f"Expected a run that is not in {file} yet. Received: {name} {arm}, seed {seed}"
        )
    seconds = training_seconds(folder / "trained.csv", config.fit.epochs)
    model = build_model(config)
    load_trained_variables(exporter, folder / "trained.npz", model)
    run = RunFolder(benches.run_folder(runs, name, arm, seed))
    run.create(config)
    validated = recalibrate(model, config)
    model.save(run.model_file)
    row = bench_run.make_row(
        *(found, arm, config, run),
        validation_accuracy=validated[-1],
        validation_accuracy_before=validated[0] if len(validated) > 1 else None,
        cpu_seconds=seconds,
        train_seconds=seconds,
        machine=f"trained on {machine}, exported at {exported['commit']}; "
        f"converted on {provenance.machine()}",
    )
    bench_table.append(row, file)
    print(f"{name} {arm} seed {seed}: {row.accuracy:.4f}")


def load_tool(folder: pathlib.Path) -> ModuleType:
    """Import the module export_step from a folder that has all files of the tool."""
    missing = [name for name in TOOL_FILES if not (folder / name).is_file()]
    if missing:
        raise typer.BadParameter(
            f"Expected --tool to be a folder with {', '.join(TOOL_FILES)}. "
            f"Received: {folder}, without {', '.join(missing)}"
        )
    spec: Any = importlib.util.spec_from_file_location("export_step", folder / TOOL_FILES[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_exportable(config: RunConfig) -> None:
    """Raise typer.BadParameter if the loop cannot train with these settings."""
    if config.network.preprocessing != "inside":
        raise typer.BadParameter(
            'Expected an arm with preprocessing="inside", whose model takes bytes. '
            f"Received: preprocessing={config.network.preprocessing!r}"
        )
    if config.data.augment not in _AUGMENT:
        raise typer.BadParameter(
            f"Expected an arm with augment one of {', '.join(_AUGMENT)}. "
            f"Received: augment={config.data.augment!r}"
        )
    if config.fit.precision != "float32" or config.fit.warmup or config.fit.average_weights:
        raise typer.BadParameter(
            "Expected an arm in float32, without warm-up and averages of weights. Received: "
            f"precision={config.fit.precision!r}, warmup={config.fit.warmup:g}, "
            f"average_weights={config.fit.average_weights}"
        )
    others = [each.kind() for each in config.techniques if not isinstance(each, _TECHNIQUES)]
    if others:
        raise typer.BadParameter(
            "Expected an arm without techniques, or with noisy supervision, which the exported "
            f"step contains. Received: {', '.join(others)}"
        )
    if not config.data.validation:
        raise typer.BadParameter(
            "Expected an arm with a validation split, on which the loop measures. "
            f"Received: validation={config.data.validation}"
        )


def write_images(train: tf.data.Dataset, validation: tf.data.Dataset, file: pathlib.Path) -> None:
    """Write the training images, and the validation images as the loop's test images."""
    arrays = {}
    for name, dataset in (("train", train), ("test", validation)):
        images, labels = zip(*dataset.as_numpy_iterator(), strict=True)
        arrays |= {f"x_{name}": np.concatenate(images), f"y_{name}": np.concatenate(labels)}
    np.savez_compressed(file, **arrays)


def export_steps(
    exporter: ModuleType,
    model: keras.Model,
    normalization: exported_step.Normalization,
    out: pathlib.Path,
    *,
    batch_size: int,
    eval_batch_size: int,
) -> None:
    """Write the training step and the evaluation step of a compiled model."""
    for name, make, size in (
        ("train", exported_step.train_step, batch_size),
        ("eval", exported_step.eval_step, eval_batch_size),
    ):
        step = make(model, normalization)
        example = (tf.zeros((size, *model.input_shape[1:])), tf.zeros((size,), tf.int64))
        # Keras creates the variables of metrics when it first traces the step.
        step.get_concrete_function(*example)
        variables = exported_step.variables(model)
        spec = exporter.export_step(step, example, variables, out / name)
        unknown = sorted(set(spec["names"]) - set(variables))
        if unknown:
            # The loop passes variables from step to step by name.
            raise ValueError(
                f"Expected the {name} step to use only variables of the model, its optimizer and "
                f"its metrics. Received: {unknown}"
            )


def loop_command(config: RunConfig, data: str) -> list[str]:
    """Return the command that trains in the exported folder."""
    rate = _SCHEDULES[config.fit.schedule].format(rate=config.fit.learning_rate)
    return [
        *("python", "train_loop.py", "--train", "train", "--eval", "eval", "--data", data),
        *("--epochs", str(config.fit.epochs), "--seed", str(config.fit.seed), "--out", "trained"),
        *("--schedule", f"{exported_step.LEARNING_RATE}={rate}"),
        *_AUGMENT[config.data.augment],
    ]


def training_seconds(log: pathlib.Path, epochs: int) -> float:
    """Return the wall time in the loop's log, which must have all epochs."""
    with log.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    if len(rows) != epochs:
        raise typer.BadParameter(f"Expected {epochs} epochs in {log}. Received: {len(rows)}")
    return float(rows[-1]["seconds"])


def load_trained_variables(exporter: ModuleType, file: pathlib.Path, model: keras.Model) -> None:
    """Load the variables that the loop saved into the model."""
    variables = exported_step.model_variables(model)
    with np.load(file, allow_pickle=False) as saved:
        missing = sorted(set(variables) - set(saved.files))
    if missing:
        raise typer.BadParameter(
            f"Expected {file} to have the variables {missing}. Received: a file without them"
        )
    exporter.load_variables(file, variables)


def recalibrate(model: keras.Model, config: RunConfig) -> list[float]:
    """Measure the statistics of batch normalization anew, if the settings say so.

    Returns:
        The validation accuracy before, and after if there is a difference.
    """
    splits = load_data(config)
    config.fit.compile(model, steps=1)
    found = [model.evaluate(splits.validation, verbose=0, return_dict=True)["accuracy"]]
    if config.fit.recalibration:
        kbnn.recalibrate_batch_norm(model, splits.train, steps=config.fit.recalibration)
        config.fit.compile(model, steps=1)
        found += [model.evaluate(splits.validation, verbose=0, return_dict=True)["accuracy"]]
    return found


def _config(found: Bench, arm: str, seed: int, data_dir: pathlib.Path | None) -> RunConfig:
    bench.check_arm(found, arm)
    if found.arms[arm].needs:
        raise typer.BadParameter(
            f"Expected an arm that starts from new weights and has no teacher. Received: {arm}"
        )
    return found.config(arm, seed, bench.RUNS, data_dir)


if __name__ == "__main__":
    app()
