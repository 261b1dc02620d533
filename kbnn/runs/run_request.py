"""The configuration that the options of `kbnn train` ask for."""

import pathlib
from typing import Any

from kbnn.runs.errors import InputError
from kbnn.runs.folder import RunFolder
from kbnn.runs.run_choices import CHAINS, METHODS, option
from kbnn.runs.run_config import RunConfig


def requested(
    given: dict[str, Any],
    folder: RunFolder,
    *,
    method: str | None,
    pretrained: pathlib.Path | None,
    resume: bool,
) -> RunConfig:
    """The settings of a run: a new one, one that goes on with a network, or one to resume.

    Args:
        given: settings that were given, by the names of `RunConfig`.
        folder: of the run.
        method: a name of `METHODS`, which stands for settings that are not given.
        pretrained: folder of the run whose network the new one goes on with.
        resume: go on with the run that is in the folder.

    Raises:
        InputError: settings that contradict each other, the method or the run that is there.
    """
    if pretrained is not None and resume:
        raise InputError("Expected --from or --resume. Received: both")
    settings = {**_settings_of(method, given), **given}
    if pretrained is not None and "normalization" not in given:
        settings.pop("normalization", None)  # the network has its own
    if pretrained is not None:
        return RunConfig.going_on(RunFolder(pretrained).config(), pretrained, **settings)
    return _resumed(folder, settings) if resume else _new(settings)


def remarks(config: RunConfig) -> list[str]:
    """What of a new run may not be meant."""
    if config.pretrained is None:
        learned = config.kernel_quantizer == "learned_sign"
        return ["Learned signs are made to go on with a trained network: --from RUN."] * learned
    first = RunFolder(config.pretrained).config()
    if first.data == config.data:
        return []
    return [
        f"The network was trained on {first.data}, and goes on with {config.data}: it may have "
        "seen images that are held out now."
    ]


def _settings_of(method: str | None, given: dict[str, Any]) -> dict[str, Any]:
    if method is not None and method not in METHODS:
        raise InputError(
            f"Expected --method to be one of {', '.join(METHODS)}. Received: {method!r}"
        )
    settings = {} if method is None else dict(METHODS[method])
    if settings and all(_contradicts(name, value, given) for name, value in settings.items()):
        name, value = next(iter(settings.items()))
        raise InputError(
            f"Expected {option(name)} {value} with --method {method}, or without {option(name)}. "
            f"Received: {given[name]}"
        )
    # What the method would have, where the network can.
    is_chain = given.get("model", RunConfig.model) in CHAINS
    if not is_chain or given.get("input_quantizer") == "none":
        settings.pop("normalization", None)
    of_smooth_signs = {
        "input_quantizer": ("input_sharpness", "hard_forward_from"),
        "kernel_quantizer": ("kernel_sharpness", "kernel_hard_forward_from"),
    }
    for quantizer, names in of_smooth_signs.items():
        if given.get(quantizer, "smooth_sign") != "smooth_sign":
            settings = {name: value for name, value in settings.items() if name not in names}
    return settings


def _contradicts(name: str, value: Any, given: dict[str, Any]) -> bool:
    """Whether a setting of a method's is given as another, which leaves nothing of it."""
    if name in ("contrast", "latent"):
        return given.get(name) == "none"  # the others are its sources of negatives, its ways
    return given.get(name, value) != value


def _new(given: dict[str, Any]) -> RunConfig:
    if "data" not in given:
        raise InputError(
            "Expected --data NAME, as fashion_mnist_sample. Received: none. "
            "(To go on with a run, give --resume.)"
        )
    if "teacher" in given:
        # The images that the teacher has not seen.
        given = {"split_seed": RunFolder(given["teacher"]).config().split, **given}
    return RunConfig(**given)


def _resumed(folder: RunFolder, given: dict[str, Any]) -> RunConfig:
    config = folder.config_to_resume()
    saved = config.to_dict()
    different = [
        f"{option(name)} {value} (the run has {saved[name]})"
        for name, value in given.items()
        if value != saved[name]
    ]
    if different:
        raise InputError(
            f"Expected the settings of the run in {folder.path}, or none of them. "
            f"Received: {', '.join(different)}. Start another run for other settings."
        )
    return config
