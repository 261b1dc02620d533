"""Copies the model of a finished run and its device file to a folder, with a model card.

    python -m research.ship fashion_vgg_tiny ste_sign --real float --to examples/fashion_mnist

The model is always the model of seed 0, whatever the other seeds reached. The numbers on the card
come from results/bench.csv.
"""

import json
import pathlib
import shutil
from typing import Annotated, Any

import larq as lq
import tf_keras as keras
import typer

import kbnn
from research import bench, bench_table, benches
from research.bench_summary import format_accuracies, format_points
from research.bench_table import Row

SEED = 0

CARD = """# {title}

This is a binary network for {dataset}: `{architecture}` with the input quantizer
`{input_quantizer}` and the kernel quantizer `{kernel_quantizer}`. You need tf-keras, Larq and kbnn
to load `model.keras`. `model.tflite` is for Larq Compute Engine.
`python -m research.ship` wrote this folder from the bench `{bench}`, arm `{arm}`, seed {seed}.

| | |
|---|---|
| input | `{input_name}`: {input_shape}, {input_type}, {range} |
| output | `{output_name}`: {classes} logits |
| classes | {class_names} |
| training | {epochs} epochs, {validation:g} of the training images held out |
| optimizer | {optimizer}, learning rate {learning_rate:g} ({schedule}), batches of {batch_size} |
| multiply-accumulates | {binary_macs:,} of 1 bit, {real_macs:,} of 32 bits |
| size | {device_bytes:,} bytes; the real-valued network: {real_bytes:,} |
| versions | {versions} |

## Accuracy on the test images (%)

| | this model | all {runs} seeds |
|---|---|---|
| real-valued network (Keras) | | {real_accuracy} |
| this network in Keras | {keras_accuracy} | {keras_spread} |
| this network's device file | {device_accuracy} | {device_spread} |

Keras and the device file give {agreement} % of the images the same class.
`results/bench.csv` has the numbers for all seeds.

## Use

```python
import kbnn
import tf_keras as keras

model = keras.models.load_model("model.keras")
test = kbnn.data.load("{dataset}", normalize="{normalize}").test
print(kbnn.converters.verify(model, "model.tflite", test))
```

On a device with kbnn-runtime, run `kbnn-run classify model.tflite photo.jpg`. It reads
`model.json`, which describes how an image becomes an input and names the classes.

## Limits

The model was trained only on images of the data set ({augment}). How it behaves on other images is
unknown. The data set is Fashion-MNIST (Xiao, Rasul, Vollgraf, 2017), MIT licence.
"""


def main(
    name: Annotated[str, typer.Argument(metavar="BENCH", help="A bench of research/benches.")],
    arm: Annotated[str, typer.Argument(help="An arm with finished runs.")],
    real: Annotated[str, typer.Option(help="The arm of the real-valued network.")],
    to: Annotated[pathlib.Path, typer.Option(help="The folder to write.")],
    runs: Annotated[pathlib.Path, typer.Option(help="Folder of the runs.")] = bench.RUNS,
    file: Annotated[pathlib.Path, typer.Option(help="The table.")] = bench_table.FILE,
) -> None:
    """Copy model and device file of a run, and write the model card and the sidecar."""
    rows = [row for row in bench_table.read(file) if row.bench == name]
    own, others = ([row for row in rows if row.arm == each] for each in (arm, real))
    shipped = next((row for row in own if row.seed == SEED), None)
    if shipped is None or not others:
        raise typer.BadParameter(
            f"Expected rows of {name} {arm} (with seed {SEED}) and {real} in {file}. "
            f"Received: {len(own)} and {len(others)}"
        )
    run = benches.run_folder(runs, name, arm, SEED)
    to.mkdir(parents=True, exist_ok=True)
    for file_name in ("model.keras", "model.tflite"):
        shutil.copyfile(run / file_name, to / file_name)
    model = keras.models.load_model(run / "model.keras", compile=False)
    (to / "README.md").write_text(card(model, shipped, own, others))
    settings = _settings(shipped)
    ends = {} if settings["preprocessing"] == "inside" else {"scale": 1 / 127.5, "offset": -1.0}
    names = kbnn.data.describe(settings["dataset"]).class_names
    kbnn.converters.write_sidecar(to / "model.tflite", model, labels=names, **ends)


def card(model: keras.Model, shipped: Row, own: list[Row], real: list[Row]) -> str:
    """Return the text of the model card."""
    settings = _settings(shipped)
    profile = lq.models.ModelProfile(kbnn.converters.freeze(model))
    info = kbnn.data.describe(settings["dataset"])
    inside = settings["preprocessing"] == "inside"
    return CARD.format(
        title=f"{info.name}: {settings['architecture']}",
        **{key: settings[key] for key in _SETTINGS},
        bench=shipped.bench,
        arm=shipped.arm,
        augment=_AUGMENTATIONS[settings["augment"]],
        seed=shipped.seed,
        epochs=shipped.epochs,
        normalize="none" if inside else "pipeline",
        input_name=model.input_names[0],
        input_shape="x".join(map(str, model.input_shape[1:])),
        input_type=model.input.dtype.name,
        range="0 to 255, rescaled inside" if inside else "-1 to 1",
        output_name=model.output_names[0],
        classes=model.output_shape[-1],
        class_names=", ".join(info.class_names),
        binary_macs=profile.op_count("mac", 1),
        real_macs=profile.op_count("mac", 32),
        device_bytes=shipped.file_bytes,
        real_bytes=real[0].file_bytes,
        versions=", ".join(f"{k} {v}" for k, v in json.loads(shipped.versions).items()),
        runs=len(own),
        real_accuracy=_format([row.keras_accuracy for row in real]),
        keras_accuracy=format_points(shipped.keras_accuracy),
        keras_spread=_format([row.keras_accuracy for row in own]),
        device_accuracy=format_points(shipped.device_accuracy),
        device_spread=_format([row.device_accuracy for row in own]),
        agreement=format_points(shipped.class_agreement),
    )


_AUGMENTATIONS = {
    "none": "without augmentation",
    "flip": "mirrored at random",
    "crop": "cropped at random",
    "both": "mirrored and cropped at random",
}
_SETTINGS = (
    "dataset",
    "architecture",
    "input_quantizer",
    "kernel_quantizer",
    "validation",
    "optimizer",
    "learning_rate",
    "schedule",
    "batch_size",
)


def _settings(row: Row) -> dict[str, Any]:
    """Return the settings of a run without techniques, by name."""
    content = json.loads(row.settings)
    return {**content["data"], **content["network"], **content["fit"]}


def _format(accuracies: list[float | None]) -> str:
    """Return mean and standard deviation, in percent; every run for shipping has an accuracy."""
    return format_accuracies([value for value in accuracies if value is not None])


if __name__ == "__main__":
    typer.run(main)
