"""Holds kbnn's writer of device files against Larq Compute Engine's converter.

    python -m research.converters table vgg_tiny resnet20
    python -m research.converters random --count 3000

`table` converts the architectures of kbnn and, where larq-zoo is installed, of Larq Zoo, and writes
results/converters.csv. `random` converts small random networks and writes a row to
results/random_networks.csv; it fails if a file is wrong or a binary layer became real-valued.
"""

import dataclasses
import importlib.util
import json
import pathlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from typing import Annotated, NamedTuple

import numpy as np
import tf_keras as keras
import typer

from kbnn import converters, models
from kbnn.converters.report import Report
from kbnn.runs.folder import versions
from research import provenance, tables
from research.random_networks import random_network

TABLE = provenance.ROOT / "results" / "converters.csv"
RANDOM = provenance.ROOT / "results" / "random_networks.csv"
IMAGES = 16
CONVERTERS = ("kbnn", "lce")

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0], no_args_is_help=True)


@dataclasses.dataclass(frozen=True)
class Row:
    """One architecture and one converter.

    Attributes:
        network: the builder, with the side of its images.
        converter: "kbnn" or "lce".
        binary_layers: binary convolutions in the file.
        packed_outputs: those with bit-packed outputs.
        operators: all operators.
        file_bytes: size of the file.
        seconds: wall time of the conversion, without verification; after a first conversion.
        max_difference: largest difference from Keras on random images; images with ties left out.
        versions: versions of the packages, as JSON.
        machine: processor, instruction set, and numbers of cores and threads.
        commit: commit of the repository; "+" for uncommitted changes.
        date: day of the measurement.
    """

    network: str
    converter: str
    binary_layers: int
    packed_outputs: int
    operators: int
    file_bytes: int
    seconds: float
    max_difference: float
    versions: str
    machine: str
    commit: str
    date: str


@dataclasses.dataclass(frozen=True)
class RandomRow:
    """A range of random networks.

    Attributes:
        first: the first seed.
        count: how many networks.
        images: random images on which each file was compared with Keras.
        refused: networks that `convert` refused.
        reasons: the beginnings of these errors, with their numbers, as JSON.
        wrong: files that disagree with Keras.
        left_real: binary layers that became real-valued in a file.
        binary_layers: binary layers in all files.
        packed_outputs: bit-packed outputs in all files.
        lce_packed_outputs: the same in LCE's files of these networks; 0 without LCE.
        fewer_packed: networks of which kbnn's file has fewer bit-packed outputs than LCE's.
        larger: networks of which kbnn's file is larger than LCE's.
        versions: versions of the packages, as JSON.
        commit: commit of the repository; "+" for uncommitted changes.
        date: day of the measurement.
    """

    first: int
    count: int
    images: int
    refused: int
    reasons: str
    wrong: int
    left_real: int
    binary_layers: int
    packed_outputs: int
    lce_packed_outputs: int
    fewer_packed: int
    larger: int
    versions: str
    commit: str
    date: str


class _Architecture(NamedTuple):
    """How to build an architecture, and for which side of images."""

    build: Callable[[tuple[int, int, int]], keras.Model]
    side: int


def architectures() -> dict[str, _Architecture]:
    """The builders of kbnn and, where larq-zoo is installed, the architectures of Larq Zoo."""
    found = {
        "vgg_tiny": _Architecture(models.vgg_tiny, 28),
        "vgg_small": _Architecture(models.vgg_small, 32),
        "alexnet": _Architecture(lambda shape: models.alexnet(shape, 1000), 224),
        "resnet20": _Architecture(models.resnet20, 32),
        "resnet20_reactnet": _Architecture(lambda shape: models.resnet20(shape, reactnet=True), 32),
        "resnet18": _Architecture(lambda shape: models.resnet18(shape, 1000), 224),
        "resnet34": _Architecture(lambda shape: models.resnet34(shape, 1000), 224),
    }
    if importlib.util.find_spec("larq_zoo") is not None:
        import larq_zoo

        for module, names in {
            larq_zoo.sota: ("QuickNetSmall", "QuickNet", "QuickNetLarge"),
            larq_zoo.literature: (
                *("BinaryAlexNet", "XNORNet", "DoReFaNet", "BiRealNet", "BinaryResNetE18"),
                *("BinaryDenseNet28", "RealToBinaryNet", "MeliusNet22"),
            ),
        }.items():
            for name in names:
                found[name] = _Architecture(_zoo(getattr(module, name)), 224)
    return found


@app.command()
def table(
    names: Annotated[list[str] | None, typer.Argument(help="Architectures. (default: all)")] = None,
    file: Annotated[pathlib.Path, typer.Option(help="The table to write.")] = TABLE,
) -> None:
    """Convert architectures with both converters, and write their rows."""
    known = architectures()
    unknown = sorted(set(names or []) - set(known))
    if unknown:
        raise typer.BadParameter(f"Expected some of {', '.join(known)}. Received: {unknown}")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.tflite")
        _warm_up(path)
        for name in names or known:
            keras.backend.clear_session()
            architecture = known[name]
            model = architecture.build((architecture.side, architecture.side, 3))
            _randomize(model)
            rows = [_measure(f"{name} {architecture.side}", model, one, path) for one in CONVERTERS]
            for row in rows:
                print(
                    f"{row.network} {row.converter}: {row.binary_layers} binary, "
                    f"{row.packed_outputs} packed, {row.file_bytes:,} bytes, {row.seconds:.1f} s"
                )
            tables.update(rows, file, by=("network", "converter"))


@app.command("random")
def random_networks(
    count: Annotated[int, typer.Option(help="How many networks.", min=1)] = 3000,
    first: Annotated[int, typer.Option(help="The first seed.", min=0)] = 0,
    lce: Annotated[bool, typer.Option(help="Compare with LCE's converter.")] = True,
    file: Annotated[pathlib.Path, typer.Option(help="The table to write.")] = RANDOM,
) -> None:
    """Convert random networks, and fail if a file is wrong or a binary layer became real-valued."""
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + count):
            keras.backend.clear_session()
            problem = _try(random_network(seed), pathlib.Path(folder), counts, reasons, lce=lce)
            if problem:
                print(f"seed {seed}: {problem}", flush=True)
    row = RandomRow(
        first=first,
        count=count,
        images=IMAGES,
        reasons=json.dumps(reasons),
        **{name: counts[name] for name in _COUNTED},
        versions=json.dumps(versions()),
        commit=provenance.commit(),
        date=provenance.today(),
    )
    tables.update([row], file, by=("first", "count"))
    print(f"{count} networks: {', '.join(f'{name} {counts[name]}' for name in _COUNTED)}")
    if counts["wrong"] or counts["left_real"]:
        raise typer.Exit(1)


_COUNTED = (
    *("refused", "wrong", "left_real", "binary_layers", "packed_outputs"),
    *("lce_packed_outputs", "fewer_packed", "larger"),
)


def _try(
    model: keras.Model,
    folder: pathlib.Path,
    counts: Counter[str],
    reasons: Counter[str],
    *,
    lce: bool,
) -> str:
    """Convert a random network, count what came of it, and say what is wrong with it, or ""."""
    images = _images(model)
    path = folder / "model.tflite"
    try:
        report = converters.convert(model, path, verify_data=images).report
    except converters.VerificationError as error:
        counts["wrong"] += 1
        return str(error)
    except (converters.ConversionError, ValueError) as error:
        counts["refused"] += 1
        reasons[str(error)[:80]] += 1
        return ""
    real = [row.layer for row in report.layers if row.kind.startswith("Quant") and not row.binary]
    counts["left_real"] += len(real)
    counts["binary_layers"] += report.binary_ops
    counts["packed_outputs"] += packed_outputs(report)
    if lce:
        other = converters.convert(model, path, converter="lce").report
        counts["lce_packed_outputs"] += packed_outputs(other)
        counts["fewer_packed"] += packed_outputs(report) < packed_outputs(other)
        counts["larger"] += report.file_bytes > other.file_bytes
    return f"real-valued: {', '.join(real)}" if real else ""


def packed_outputs(report: Report) -> int:
    """How many binary layers of a file have only bit-packed outputs."""
    return sum(row.binary and row.output == "bit-packed" for row in report.layers)


def _measure(network: str, model: keras.Model, converter: str, path: pathlib.Path) -> Row:
    start = time.perf_counter()
    report = converters.convert(model, path, converter=converter).report
    seconds = time.perf_counter() - start
    parity = converters.verify(model, path, _images(model, 4))
    return Row(
        *(network, converter, report.binary_ops, packed_outputs(report)),
        operators=sum(report.operators.values()),
        file_bytes=report.file_bytes,
        seconds=seconds,
        max_difference=parity.max_difference_off_ties,
        versions=json.dumps(versions()),
        machine=provenance.machine(),
        commit=provenance.commit(),
        date=provenance.today(),
    )


def _warm_up(path: pathlib.Path) -> None:
    """Convert once with each converter, which imports packages and starts LCE's process."""
    for converter in CONVERTERS:
        converters.convert(models.vgg_tiny(width=8), path, converter=converter)


def _zoo(build: Callable[..., keras.Model]) -> Callable[[tuple[int, int, int]], keras.Model]:
    return lambda shape: build(weights=None, input_shape=shape, num_classes=1000)


def _randomize(model: keras.Model) -> None:
    """Give normalization the statistics of a trained network: fresh ones put values on ties."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        name = weight.name.split("/")[-1]
        if name.startswith("moving_variance"):
            weight.assign(rng.uniform(0.5, 2.0, weight.shape))
        elif name.startswith(("moving_mean", "beta")):
            weight.assign(rng.normal(size=weight.shape))


def _images(model: keras.Model, count: int = IMAGES) -> np.ndarray:
    (tensor,) = model.inputs
    return np.random.default_rng(1).normal(size=(count, *tensor.shape[1:])).astype("float32")


if __name__ == "__main__":
    app()
