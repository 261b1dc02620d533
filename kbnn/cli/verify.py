"""`kbnn verify`: compares a device file with the Keras model."""

import typer

from kbnn import converters
from kbnn.cli import options
from kbnn.cli.output import exit_codes, note, only_results_on_stdout, show
from kbnn.cli.progress import progress_bar
from kbnn.runs import model_source
from kbnn.runs.errors import FAILED


@exit_codes
def verify(
    source: options.RunOrModel,
    file: options.TfliteFile,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    int8_agreement: options.Int8Agreement = None,
    interpreter: options.Interpreter = None,
    best: options.Best = False,
    as_json: options.AsJson = False,
) -> None:
    """Compare a device file with the model that it was made from, on the test images.

    Example: kbnn verify runs/first first.tflite
    """
    with only_results_on_stdout():
        options.check_exists(file)
        found = model_source.load(source, best=best)
        test = model_source.load_data(found, data, data_dir).test
        with progress_bar("verifying") as progress, options.named_errors():
            parity = converters.verify(
                *(found.model, file, test),
                int8_agreement=int8_agreement,
                interpreter=interpreter,
                progress=progress,
            )
    show(parity, parity.to_dict(), as_json=as_json)
    if not parity.passed:
        for failure in parity.failures:
            note(options.with_options(f"Failed: {failure}"))
        raise typer.Exit(FAILED)
