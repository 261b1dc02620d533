"""The checks of a training run's settings, and those that follow from others."""

import hashlib
import inspect
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from kbnn.graph.roles import ROLES
from kbnn.runs.errors import InputError
from kbnn.runs.run_choices import (
    BELONGING,
    CHAINS,
    CHOICES,
    CONTRAST,
    ENDS,
    GIVEN,
    LEARNED_SIGN,
    MIXED_UNTIL,
    MODELS,
    OPTIMIZERS,
    TUNING_RATES,
    option,
)
from kbnn.techniques.contrastive.contrastive_term import ContrastiveTerm
from kbnn.techniques.contrastive.negatives import SOURCES, MemoryBank, Negatives
from kbnn.techniques.contrastive.with_contrast import DEFAULT_DECAY
from kbnn.techniques.noisy_supervision.learned_sign import LearnedSign

_SMOOTH = "smooth_sign"
_DECAY = "contrast_decay"
# Weights of what a twin or a teacher teaches.
_TERMS = ("distillation_weight", "feature_weight", "teacher_contrast_weight")


def completed(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run, checked, with those filled in that follow from others.

    Args:
        settings: the fields of a `RunConfig`.
        defaults: their defaults.

    Raises:
        InputError: as `RunConfig`.
    """
    given = dict(settings)
    for name, choices in CHOICES.items():
        if given[name] not in choices:
            raise _expected(name, f"to be one of {', '.join(choices)}", repr(given[name]))
    given |= _belonging(given)
    if given["width"] is None:
        builder = inspect.signature(MODELS[given["model"]])
        given["width"] = builder.parameters["width"].default
    if given["learning_rate"] is None:
        rates = OPTIMIZERS if given["pretrained"] is None else TUNING_RATES
        given["learning_rate"] = rates[given["optimizer"]]
    if given["data_dir"] is not None:
        given["data_dir"] = os.path.abspath(given["data_dir"])
    if given["image_size"] is not None:
        given["image_size"] = tuple(given["image_size"])
    _check_values(given)
    _check_effect(given, defaults)
    given |= _ends_of_sharpness(given) | _learned_sign(given) | _latent(given) | _contrast(given)
    return given | _networks(given)


def learned_sign(settings: Mapping[str, Any]) -> LearnedSign:
    """The kernel quantizer that the settings of "learned_sign" describe."""
    arguments = {argument: settings[name] for argument, name in LEARNED_SIGN.items()}
    return LearnedSign(**{name: value for name, value in arguments.items() if value is not None})


def _expected(name: str, what: str, received: object) -> InputError:
    return InputError(f"Expected {option(name)} {what}. Received: {received}")


def _belonging(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that belong to a choice, filled in."""
    filled: dict[str, Any] = {}
    for choices, values in BELONGING:
        # A choice may itself belong to one.
        if _is_chosen(choices, {**settings, **filled}):
            for name, default in values.items():
                filled[name] = default if settings[name] is None else settings[name]
    settings = {**settings, **filled}
    for name in dict.fromkeys(name for _, values in BELONGING for name in values):
        if name in filled or settings[name] is None:
            continue
        needed = {
            chooser: accepted
            for choices, values in BELONGING
            if name in values
            for chooser, accepted in choices.items()
        }
        pairs = [f"{option(chooser)} {', '.join(accepted)}" for chooser, accepted in needed.items()]
        others = [f"{option(chooser)} {settings[chooser]}" for chooser in needed]
        raise _expected(name, f"with {' or '.join(pairs)} alone", ", ".join(others))
    return filled


def _is_chosen(choices: Mapping[str, tuple[str, ...]], settings: Mapping[str, Any]) -> bool:
    """Whether one of some choices is made."""
    return any(
        settings[chooser] in accepted or (accepted == (GIVEN,) and settings[chooser] is not None)
        for chooser, accepted in choices.items()
    )


def _check_effect(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise InputError for a setting that has no effect beside the others."""
    kernel, inputs = settings["kernel_quantizer"], settings["input_quantizer"]
    smooth = (_SMOOTH in (kernel, inputs), "a smooth_sign")
    binary = (kernel != "none", "a --kernel-quantizer")
    chain = (
        settings["model"] in CHAINS and "none" not in (kernel, inputs),
        f"--model {', '.join(CHAINS)} and quantizers",
    )
    needs = {
        "sharpness_law": smooth,
        "sharpness_hold": smooth,
        "hard_forward_from": (inputs == _SMOOTH, "--input-quantizer smooth_sign"),
        "kernel_hard_forward_from": (kernel == _SMOOTH, "--kernel-quantizer smooth_sign"),
        "kernel_constraint": binary,
        "kernel_scale": binary,
        "latent": binary,
        "contrast": (inputs != "none", "an --input-quantizer"),
        **dict.fromkeys(ENDS, chain),
    }
    for name, (fulfilled, what) in needs.items():
        if not fulfilled and settings[name] != defaults[name]:
            quantizers = f"--kernel-quantizer {kernel}, --input-quantizer {inputs}"
            raise _expected(
                name, f"with {what} alone", f"--model {settings['model']}, {quantizers}"
            )
    if settings["teacher"] is None:
        return
    if settings["latent"] != "none":
        raise _expected(
            "teacher", "without --latent, a training of its own", f"--latent {settings['latent']}"
        )
    if not any(settings[name] for name in _TERMS):
        raise _expected(
            "teacher",
            f"with one of {', '.join(map(option, _TERMS))} above 0",
            "0 for all of them",
        )


def _check_values(settings: Mapping[str, Any]) -> None:
    """Raise InputError for a value that is out of range."""

    def is_number(value: object) -> bool:
        is_bool = isinstance(value, bool)
        return isinstance(value, float | int) and not is_bool and math.isfinite(value)

    for name in ENDS:
        if not isinstance(settings[name], bool):
            raise _expected(name, "to be True or False", settings[name])
    for name in ("hard_forward_from", "kernel_hard_forward_from", "sharpness_hold"):
        if not is_number(settings[name]) or not 0 <= settings[name] <= 1:
            raise _expected(name, "to be a share, from 0 to 1", settings[name])
    until = settings["latent_until"]
    if until is not None and (not is_number(until) or not 0 < until <= 1):
        raise _expected("latent_until", "to be a share, above 0 and up to 1", repr(until))
    for name in ("width", "epochs", "batch_size"):
        if not isinstance(settings[name], int) or settings[name] < 1:
            raise _expected(name, "to be a positive integer", repr(settings[name]))
    for name in ("seed", "split_seed"):
        seed = settings[name]
        if name == "split_seed" and seed is None:
            continue
        if not isinstance(seed, int) or not 0 <= seed < 2**32:
            raise _expected(name, "to be an integer in [0, 2**32)", repr(seed))
    for name in ("learning_rate", "clip_norm", "kernel_scale", "temperature"):
        value = settings[name]
        if name in ("clip_norm", "temperature") and value is None:
            continue
        if not is_number(value) or value <= 0:
            raise _expected(name, "to be a positive, finite number", repr(value))
    for name in ("real_weight", *_TERMS, "gradient_weight"):
        value = settings[name]
        if value is not None and (not is_number(value) or value < 0):
            raise _expected(name, "to be a finite number from 0 on", repr(value))


def _ends_of_sharpness(settings: Mapping[str, Any]) -> dict[str, Any]:
    ends = {}
    for name in ("kernel_sharpness", "input_sharpness"):
        if settings[name] is None:
            continue
        ends[name] = tuple(settings[name])
        if len(ends[name]) != 2 or not all(0 < end <= 1e30 for end in ends[name]):
            raise _expected(name, "to be two positive numbers", ends[name])
    return ends


def _learned_sign(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Its noise rate as a pair; the quantizer itself checks its arguments."""
    if settings["kernel_quantizer"] != "learned_sign":
        return {}
    rate = settings["noise_rate"]
    pair = {"noise_rate": tuple(rate) if isinstance(rate, tuple | list) else (rate, rate)}
    try:
        learned_sign({**settings, **pair})
    except ValueError as error:
        message = str(error)
        for argument, name in LEARNED_SIGN.items():
            message = message.replace(f"`{argument}`", option(name))
        for argument in ("`rate_positive`", "`rate_negative`", "noise rates"):
            message = message.replace(argument, option("noise_rate"))
        raise InputError(message) from error
    return pair


def _latent(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Where the help of latent weights ends, and what the twin shares, in one order."""
    latent, until, share = (settings[name] for name in ("latent", "latent_until", "latent_share"))
    if latent == "none" and until is not None:
        raise _expected("latent_until", "with --latent", "none")
    if latent == "twin":
        terms = ("real_weight", *_TERMS)
        if not any(settings[name] for name in terms):
            raise _expected(
                "latent",
                f"twin with one of {', '.join(map(option, terms))} above 0",
                "0 for all of them",
            )
        given = settings["latent_share"]
        names = [] if given == "none" else [name.strip() for name in str(given).split(",")]
        if not set(names) <= set(ROLES):
            raise _expected("latent_share", f"to be of {', '.join(ROLES)}, or none", repr(given))
        share = ",".join(name for name in ROLES if name in names) or "none"
        if not isinstance(settings["balance_gradient"], bool):
            raise _expected("balance_gradient", "to be True or False", settings["balance_gradient"])
    if latent == "mixture" and until is None:
        until = MIXED_UNTIL
    return {"latent_until": until, "latent_share": share}


def _networks(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The folders of the runs whose networks a run takes, and the checksums of their files."""
    found: dict[str, Any] = {}
    for name, flag in (("pretrained", "--from"), ("teacher", "--teacher")):
        if settings[name] is None:
            continue
        folder = os.path.abspath(settings[name])
        checksum = settings[f"{name}_sha256"]
        if checksum is None:
            file = pathlib.Path(folder) / "model.keras"
            if not file.is_file():
                raise InputError(
                    f"Expected {flag} to be the folder of a finished run, with model.keras. "
                    f"Received: {folder}"
                )
            checksum = hashlib.sha256(file.read_bytes()).hexdigest()
        found |= {name: folder, f"{name}_sha256": checksum}
    return found


def negatives(source: str, count: int | None, rows: int | None) -> Negatives:
    """The negatives that the settings of a contrastive term describe."""
    options: dict[str, Any] = {} if count is None else {"count": count}
    return MemoryBank(rows, **options) if source == "bank" else SOURCES[source](**options)


def _contrast(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The decay of contrastive terms; the layer itself checks its arguments."""
    source, taps, decay = (settings[name] for name in ("contrast", "contrast_taps", _DECAY))
    if source == "none":
        if decay is not None:
            raise _expected(_DECAY, "with --contrast", "none")
        return {}
    if not isinstance(taps, str) or not all(taps.split(",")):
        raise _expected("contrast_taps", "to be last, all, or names as conv_1,conv_3", repr(taps))
    arguments = {argument: settings[name] for argument, name in CONTRAST.items()}
    arguments = {name: value for name, value in arguments.items() if value is not None}
    count = arguments.pop("count", None)
    if source == "batch" and count is not None:
        raise _expected("contrast_count", "with --contrast queue or bank", "batch")
    try:
        ContrastiveTerm(negatives(source, count, rows=1), **arguments)
    except ValueError as error:
        message = str(error)
        for argument, name in CONTRAST.items():
            message = message.replace(f"`{argument}`", option(name))
        raise InputError(message) from error
    is_one = taps != "all" and "," not in taps
    if is_one and decay is not None:
        raise _expected(_DECAY, "with several --contrast-taps", taps)
    return {_DECAY: None if is_one else decay or DEFAULT_DECAY}
