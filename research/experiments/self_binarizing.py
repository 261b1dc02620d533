"""Self-binarizing networks: which signs are smooth, and how sharp they become."""

from kbnn.techniques import SelfBinarizing, SmoothSigns
from research.experiments.baselines import FASHION
from research.experiments.experiment import Settings, group

INPUTS = dict(FASHION, normalization="binary")

BASELINES = ("fashion-ste_sign-binary_norm", "fashion-ste_sign")


def to(last: float, hard_from: float = 1.0) -> SmoothSigns:
    """Return smooth signs whose sharpness rises from 1; 0 makes the forward pass hard."""
    return SmoothSigns((1, last), hard_from)


def smooth(kernels: SmoothSigns | None, inputs: SmoothSigns | None, hold: float = 0.05) -> Settings:
    """Return the settings of smooth signs of kernels, of inputs or of both."""
    return dict(techniques=(SelfBinarizing(kernels, inputs, hold),))


# Inputs that are hard in the forward pass, so that the tanh gives only the gradient.
TO3_HARD = to(3, 0)
# Kernels that become hard at the end, so that the network that trains is the network that ships.
END = to(100, 0.8)

EXPERIMENTS = {
    **group(
        "fashion-smooth-kernels-",
        dict(FASHION, normalization="batch"),
        {
            "hard": smooth(to(10, 0), None),
            "end": smooth(END, None, hold=0.2),
            "to10": smooth(to(10), None),
            "to100": smooth(to(100), None),
            "to1000": smooth(to(1000), None),
            "to10-hard": smooth(to(10, 0), None),
        },
        baselines=("fashion-ste_sign",),
    ),
    **group(
        "fashion-smooth-inputs",
        INPUTS,
        {
            "": smooth(None, TO3_HARD),
            "-to3": smooth(None, to(3)),
            "-to10": smooth(None, to(10)),
            "-to1-hard": smooth(None, to(1, 0)),
            "-to3-hard": smooth(None, TO3_HARD),
            "-to10-hard": smooth(None, to(10, 0)),
            "-to10-hard0.8": smooth(None, to(10, 0.8)),
            "-to3-hard-lr0.002": dict(smooth(None, TO3_HARD), learning_rate=0.002),
            "-to3-hard-lr0.01": dict(smooth(None, TO3_HARD), learning_rate=0.01),
        },
        baselines=BASELINES,
    ),
    **group(
        "fashion-smooth-",
        INPUTS,
        {
            # The paper's form, which is never hard in the forward pass.
            "tanh": smooth(to(100), to(100), hold=0.2),
            "both": smooth(to(100), TO3_HARD, hold=0.2),
            "both-end": smooth(END, TO3_HARD, hold=0.2),
            "both-hard": smooth(to(10, 0), TO3_HARD),
            "both-to100": smooth(to(100), to(100)),
            "both-to100-to10": smooth(to(100), to(10)),
            "both-to1000-to100": smooth(to(1000), to(100)),
            "both-to1000-to3-hard": smooth(to(1000), TO3_HARD),
            "both-to3-hard-to3-hard": smooth(to(3, 0), TO3_HARD),
            "both-to10-hard-to3-hard": smooth(to(10, 0), TO3_HARD),
            "both-to30-hard-to3-hard": smooth(to(30, 0), TO3_HARD),
        },
        baselines=BASELINES,
    ),
    **group(
        "fashion-smooth-both-to100-to3-hard",
        dict(INPUTS, **smooth(to(100), TO3_HARD)),
        {
            "": {},
            "0.5": smooth(to(100), to(3, 0.5)),
            "-hold0.3": smooth(to(100), TO3_HARD, hold=0.3),
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
