"""`kbnn train`: trains a model in a reproducible run that can be resumed."""

import contextlib
import pathlib
import shlex
import signal
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.table import Table

from kbnn.cli import options
from kbnn.cli.output import exit_codes, note, only_results_on_stdout, show
from kbnn.cli.progress import epoch_progress
from kbnn.runs.assignments import method_name
from kbnn.runs.errors import InputError
from kbnn.runs.folder import RunFolder
from kbnn.runs.recipe import begin_recipe, recipe_names, train_recipe
from kbnn.runs.resume import config_from_texts, remarks
from kbnn.runs.run import train_run
from kbnn.runs.run_config import RunConfig
from kbnn.techniques import TECHNIQUES


@options.with_settings
@exit_codes
def train(
    run: Annotated[
        pathlib.Path,
        typer.Option(help="Folder of the run: a new one or, with --resume, the existing one."),
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="A technique. You can give several. `kbnn settings METHOD` lists the settings of "
            "one. (default: straight-through gradients)",
            metavar="|".join(map(method_name, TECHNIQUES)),
            show_default=False,
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Another setting, such as weight=0.1. You can give several. `kbnn settings` lists "
            "them. If several methods have a setting of that name, put the method in front: "
            "contrastive.weight=0.1.",
            metavar="NAME=VALUE",
            show_default=False,
        ),
    ] = None,
    first: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--from",
            help="Folder of a finished run. The new run starts from its network and data.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Named settings. `kbnn recipes` lists them with their results. Options for data, "
            "seed and precision apply to all trainings of a recipe, other options to the last.",
            metavar="|".join(recipe_names()),
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume an interrupted run with its settings.")
    ] = False,
    as_json: options.AsJson = False,
    **texts: str,
) -> None:
    """Train a model, and write settings, log, checkpoints, curves and model to a folder.

    Example: kbnn train --data fashion_mnist_sample --epochs 5 --run runs/first

    To resume an interrupted run: kbnn train --resume --run runs/first. It ends with exactly the
    weights that it would have had without the interruption.
    """
    folder = RunFolder(run)
    techniques = [name.replace("-", "_") for name in method or []]
    with options.named_errors(), _interruption(folder):
        given = options.assignments(assignments or [], texts)
        if recipe is not None or (resume and folder.recipe() is not None):
            _check_recipe_options(recipe, first, resume, [*techniques, *given])
            if recipe is not None:
                begin_recipe(folder, recipe, techniques, given)
            result = train_recipe(folder, _train, note)
        else:
            config = config_from_texts(folder, techniques, given, first=first, resume=resume)
            if not resume:
                folder.check_new()
                folder.check_no_recipe()
                for remark in remarks(config):
                    note(options.with_options(remark))
            result = _train(config, folder.path, resume=resume)
    show(_table(result, folder), {"run": str(run), **result}, as_json=as_json)


def _train(
    config: RunConfig, path: pathlib.Path, *, resume: bool, test: bool = True
) -> dict[str, Any]:
    with only_results_on_stdout(), epoch_progress(config.fit.epochs) as progress:
        return train_run(config, path, resume=resume, test=test, callbacks=[progress], note=note)


def _check_recipe_options(
    recipe: str | None, first: pathlib.Path | None, resume: bool, others: list[str]
) -> None:
    if first is not None:
        raise InputError("Expected `recipe` or `pretrained`. Received: both")
    if resume and (recipe is not None or others):
        received = ["`recipe`"] if recipe is not None else [f"`{name}`" for name in others]
        raise InputError(
            "Expected no other options with `resume` for a run that a recipe began, which keeps "
            f"its settings. Received: {', '.join(received)}"
        )


@contextlib.contextmanager
def _interruption(folder: RunFolder) -> Iterator[None]:
    """Make Ctrl-C and SIGTERM end the command with a line that says how to resume."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt as error:
        if not (folder.config_file.exists() or folder.recipe_file.exists()):
            raise KeyboardInterrupt("Interrupted before the run began.") from error
        raise KeyboardInterrupt(
            f"Interrupted. Resume with: kbnn train --resume --run {shlex.quote(str(folder.path))}"
        ) from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _table(result: dict[str, Any], folder: RunFolder) -> Table:
    table = Table(title=str(folder.path), show_header=False)
    best = result["best_epoch"]
    for name in ("accuracy", "loss"):
        if f"test_{name}" in result:  # train_run(test=False) does not test
            table.add_row(f"test {name}", f"{result[f'test_{name}']:.4f}")
    if best is not None:
        before = result.get("validation_accuracy_before_recalibration")
        remark = "" if before is None else f" ({before:.4f} before recalibration)"
        table.add_row("validation accuracy", f"{result['validation_accuracy']:.4f}{remark}")
        table.add_row(
            "best validation accuracy",
            f"{best['val_accuracy']:.4f} (epoch {best['epoch']}, {folder.best_file})",
        )
    table.add_row("parameters", f"{result['parameters']:,}")
    epochs = f"{result['epochs']} epoch{'s' if result['epochs'] > 1 else ''}"
    table.add_row("training", f"{epochs}, {result['seconds']:.1f} s")
    table.add_row("model", f"{folder.model_file} (after the last epoch)")
    return table
