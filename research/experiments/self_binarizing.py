"""Self-binarizing networks: which signs are smooth, and how sharp they become."""

from research.experiments.baselines import FASHION
from research.experiments.experiment import group

KERNELS = dict(FASHION, kernel_quantizer="smooth_sign")
INPUTS = dict(FASHION, normalization="binary", input_quantizer="smooth_sign")
BOTH = dict(INPUTS, kernel_quantizer="smooth_sign")

# Signs that are hard in the forward pass, so that the tanh gives only the gradient.
HARD_KERNELS = dict(kernel_hard_forward_from=0.0)
HARD_INPUTS = dict(hard_forward_from=0.0)
TO3_HARD = dict(HARD_INPUTS, input_sharpness=(1, 3))
BOTH_HARD = dict(TO3_HARD, **HARD_KERNELS)
# Kernels that become hard at the end, so that the network that trains is the network that ships.
END = dict(kernel_sharpness=(1, 100), sharpness_hold=0.2, kernel_hard_forward_from=0.8)

BASELINES = ("fashion-ste_sign-binary_norm", "fashion-ste_sign")

EXPERIMENTS = {
    **group(
        "fashion-smooth-kernels-",
        KERNELS,
        {
            "hard": dict(HARD_KERNELS, kernel_sharpness=(1, 10)),
            "end": END,
            "to10": dict(kernel_sharpness=(1, 10)),
            "to100": dict(kernel_sharpness=(1, 100)),
            "to1000": dict(kernel_sharpness=(1, 1000)),
            "to10-hard": dict(HARD_KERNELS, kernel_sharpness=(1, 10)),
        },
        baselines=("fashion-ste_sign",),
    ),
    **group(
        "fashion-smooth-inputs",
        INPUTS,
        {
            "": TO3_HARD,
            "-to3": dict(input_sharpness=(1, 3)),
            "-to10": dict(input_sharpness=(1, 10)),
            "-to1-hard": dict(HARD_INPUTS, input_sharpness=(1, 1)),
            "-to3-hard": TO3_HARD,
            "-to10-hard": dict(HARD_INPUTS, input_sharpness=(1, 10)),
            "-to10-hard0.8": dict(hard_forward_from=0.8, input_sharpness=(1, 10)),
            "-to3-hard-lr0.002": dict(TO3_HARD, learning_rate=0.002),
            "-to3-hard-lr0.01": dict(TO3_HARD, learning_rate=0.01),
        },
        baselines=BASELINES,
    ),
    **group(
        "fashion-smooth-",
        BOTH,
        {
            # The paper's form, which is never hard in the forward pass.
            "tanh": dict(kernel_sharpness=(1, 100), input_sharpness=(1, 100), sharpness_hold=0.2),
            "both": dict(TO3_HARD, kernel_sharpness=(1, 100), sharpness_hold=0.2),
            "both-end": dict(TO3_HARD, **END),
            "both-hard": dict(BOTH_HARD, kernel_sharpness=(1, 10)),
            "both-to100": dict(kernel_sharpness=(1, 100), input_sharpness=(1, 100)),
            "both-to100-to10": dict(kernel_sharpness=(1, 100), input_sharpness=(1, 10)),
            "both-to1000-to100": dict(kernel_sharpness=(1, 1000), input_sharpness=(1, 100)),
            "both-to1000-to3-hard": dict(TO3_HARD, kernel_sharpness=(1, 1000)),
            "both-to3-hard-to3-hard": dict(BOTH_HARD, kernel_sharpness=(1, 3)),
            "both-to10-hard-to3-hard": dict(BOTH_HARD, kernel_sharpness=(1, 10)),
            "both-to30-hard-to3-hard": dict(BOTH_HARD, kernel_sharpness=(1, 30)),
        },
        baselines=BASELINES,
    ),
    **group(
        "fashion-smooth-both-to100-to3-hard",
        dict(BOTH, **TO3_HARD, kernel_sharpness=(1, 100)),
        {
            "": {},
            "0.5": dict(hard_forward_from=0.5),
            "-hold0.3": dict(sharpness_hold=0.3),
            "-scale3": dict(kernel_scale=3.0),
            "-no_clip": dict(kernel_constraint="none"),
            "-lr0.002": dict(learning_rate=0.002),
            "-lr0.01": dict(learning_rate=0.01),
        },
        baselines=BASELINES,
    ),
}

RETIRED = (
    "fashion-smooth-both-to100-to3-hard-linear",
    "fashion-smooth-both-to10-hard-to3-hard-linear",
    "fashion-smooth-both-to10-hard-to3-hard-hashnet",
)
"""Experiments with rows in results/ that cannot be run: kbnn does not have their sharpness laws,
which gained nothing."""
