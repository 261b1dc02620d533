"""The settings of a run's network."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import tf_keras as keras

from kbnn import data, models
from kbnn._settings import Settings, document_settings, setting
from kbnn.techniques.trained_run import TrainedRun

ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {
    "vgg_tiny": models.vgg_tiny,
    "vgg_small": models.vgg_small,
    "resnet20": models.resnet20,
    "resnet20_plain": functools.partial(models.resnet20, shortcuts="plain"),
    "resnet18": models.resnet18,
    "resnet18_small": functools.partial(models.resnet18, stem="small"),
    "resnet34": models.resnet34,
    "alexnet": models.alexnet,
}
QUANTIZERS = ("input_quantizer", "kernel_quantizer")
_REAL = "none"
_SIGNS = ("ste_sign", "approx_sign", "swish_sign")
_USUAL = _SIGNS[0]
_BINARY_ENDS = ("binary_stem", "binary_classifier")


@document_settings
@dataclasses.dataclass(frozen=True)
class Network(Settings):
    """The network that a run trains.

    Args:
        {settings}

    Raises:
        ValueError: A value is not valid, or has no effect together with the others.

    Example:
        >>> from kbnn.runs import Network
        >>> Network(architecture="resnet20").width
        16
    """

    architecture: str = setting(
        "vgg_tiny", "architecture", choices=tuple(ARCHITECTURES), flag="--model"
    )
    width: int | None = setting(
        None, "filters of the first layer", least=1, unset="the architecture's", flag="--width"
    )
    input_quantizer: str | None = setting(
        None,
        f"quantizer of the inputs of binary layers; {_REAL} uses a ReLU instead",
        choices=(*_SIGNS, _REAL),
        unset=f"the method's, else {_USUAL}",
        flag="--input-quantizer",
    )
    kernel_quantizer: str | None = setting(
        None,
        f"quantizer of the kernels of binary layers; {_REAL} leaves the kernels real-valued",
        choices=(*_SIGNS, "magnitude_aware_sign", _REAL),
        unset=f"the method's, else {_USUAL}",
        flag="--kernel-quantizer",
    )
    preprocessing: str = setting(
        "inside",
        "where images are rescaled: with inside, the model takes uint8 images and rescales them; "
        "with pipeline, it takes float32 images in -1 to 1",
        choices=("inside", "pipeline"),
    )
    normalization: str | None = setting(
        None,
        "normalization layers; binary ones include the sign, and need an architecture without "
        "branches",
        choices=("batch", "binary"),
        unset="the method's, else batch",
    )
    kernel_constraint: str = setting(
        "weight_clip",
        "constraint on the latent weights of binary kernels: weight_clip keeps them in -1 to 1",
        choices=("weight_clip", "none"),
    )
    kernel_scale: float = setting(
        1.0, "factor for the initial values of binary kernels", least=1e-6, most=1e6
    )
    binary_stem: bool = setting(
        False, "whether the first layer is binary too, in architectures without branches"
    )
    binary_classifier: bool = setting(
        False, "whether the last layer is binary too, in architectures without branches"
    )
    end_activation: str = setting(
        "relu",
        "activation between the last binary layer and a real-valued classifier; rprelu comes from "
        "ReActNet",
        choices=("relu", "rprelu", _REAL),
    )
    reactnet: bool = setting(
        False,
        "whether to add ReActNet's learned shifts and RPReLU; only in residual networks",
    )
    pretrained: TrainedRun | None = setting(
        None,
        "finished run whose network this run starts from",
        unset="new weights",
        form="RUN",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width is None:
            self._keep("width", self._parameters["width"].default)
        is_real = _REAL in (self.input_quantizer, self.kernel_quantizer)
        for name in _BINARY_ENDS:
            if getattr(self, name) and (not self.has_no_branches or is_real):
                raise ValueError(
                    f"Expected `{name}` only with two quantizers and an architecture without "
                    f"branches. Received: architecture={self.architecture}, "
                    f"input_quantizer={self.input_quantizer}, "
                    f"kernel_quantizer={self.kernel_quantizer}"
                )
        if self.reactnet and self.has_no_branches:
            raise ValueError(
                "Expected `reactnet` with a residual architecture. "
                f"Received: architecture={self.architecture}"
            )
        for name in ("kernel_constraint", "kernel_scale"):
            is_given = getattr(self, name) != self.fields()[name].default
            if is_given and self.kernel_quantizer == _REAL:
                raise ValueError(
                    f"Expected `{name}` with a kernel quantizer. Received: kernel_quantizer={_REAL}"
                )

    @property
    def has_no_branches(self) -> bool:
        """Whether the architecture is a chain of layers."""
        return _BINARY_ENDS[0] in self._parameters

    def complete(self, arguments: Mapping[str, Any]) -> "Network":
        """Fill in missing settings: from the builder arguments of techniques, or with defaults.

        A quantizer that a technique provides stays None.

        Raises:
            ValueError: The network and a technique both give the same quantizer.
        """
        given = {name: getattr(self, name) for name in QUANTIZERS}
        for name, value in given.items():
            if value is not None and name in arguments:
                raise ValueError(
                    f"Expected `{name}` from the network or from a technique. Received: {value} "
                    f"from the network, and {type(arguments[name]).__name__} from a technique"
                )
        filled = {
            name: _USUAL for name, value in given.items() if value is None and name not in arguments
        }
        if self.normalization is None:
            fits = self.has_no_branches and self.input_quantizer != _REAL
            wanted = arguments.get("normalization", "batch")
            filled["normalization"] = wanted if fits else "batch"
        return self.replace(**filled)

    def build(self, info: data.DataInfo, arguments: Mapping[str, Any]) -> keras.Model:
        """The network with new weights, which returns logits.

        Args:
            info: The data.
            arguments: The builder arguments of techniques.
        """
        is_inside = self.preprocessing == "inside"
        constraint = None if self.kernel_constraint == "none" else self.kernel_constraint
        scale = self.kernel_scale**2  # Glorot's variance, times this
        return ARCHITECTURES[self.architecture](
            input_shape=info.input_shape,
            classes=info.classes,
            width=self.width,
            **self.quantizers(arguments),
            normalization=self.normalization,
            kernel_initializer=keras.initializers.VarianceScaling(scale, "fan_avg", "uniform"),
            kernel_constraint=constraint,
            preprocessing=data.normalization_layer() if is_inside else None,
            classifier_activation=None,
            end_activation=None if self.end_activation == _REAL else self.end_activation,
            **{name: True for name in (*_BINARY_ENDS, "reactnet") if getattr(self, name)},
        )

    def quantizers(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The quantizers, including those in the builder arguments of techniques."""
        own = {name: getattr(self, name) for name in QUANTIZERS}
        own = {name: None if value == _REAL else value for name, value in own.items()}
        return own | {name: arguments[name] for name in QUANTIZERS if name in arguments}

    @property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(ARCHITECTURES[self.architecture]).parameters
