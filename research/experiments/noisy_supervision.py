"""Learning with noisy supervision, and the plain fine-tuning that it is compared with."""

from typing import Any

from kbnn.techniques import NoisySupervision, Random, Residual
from research.experiments.baselines import FASHION
from research.experiments.experiment import Settings, group

PRETRAINED = 3
"""How many networks fine-tuning starts from: seed i starts from the network of seed i modulo 3."""

FIRST = "fashion-pretrained"
TUNED = dict(FASHION, epochs=6, learning_rate=0.001)
SGD = dict(optimizer="sgd", learning_rate=0.01)  # as in the paper


def learned(**arguments: Any) -> Settings:
    """Return the settings of learned signs with these arguments."""
    return dict(techniques=(NoisySupervision(**arguments),))


LEARNED = dict(TUNED, **learned())

EXPERIMENTS = {
    **group("fashion-tuned", TUNED, {"": {}}, fine_tunes=FIRST),
    **group(
        "fashion-tuned",
        TUNED,
        {
            "-lr0.0003": dict(learning_rate=0.0003),
            "-lr0.003": dict(learning_rate=0.003),
            "-sgd": SGD,
        },
        baselines=("fashion-tuned",),
        fine_tunes=FIRST,
    ),
    **group(
        "fashion-tuned-lns",
        LEARNED,
        # The second baseline is the mapping without the correction for the noise.
        {"": {}},
        baselines=("fashion-tuned", "fashion-tuned-mapping"),
        fine_tunes=FIRST,
    ),
    **group(
        "fashion-tuned-",
        LEARNED,
        {
            "mapping": learned(noise_rate=0.0),
            "lns-rho0.05": learned(noise_rate=0.05),
            "lns-rho0.2": learned(noise_rate=0.2),
            "lns-rho0.3": learned(noise_rate=0.3),
            "lns-depthwise": learned(mapping="depthwise"),
            "lns-bottleneck": learned(mapping="bottleneck"),
            "lns-random": learned(start=Random()),
            "lns-scale0.01": learned(start=Residual(0.01)),
            "lns-scale0.03": learned(start=Residual(0.03)),
            "lns-scale0.3": learned(start=Residual(0.3)),
            "lns-scale1.0": learned(start=Residual(1.0)),
            "lns-alpha0.0": learned(weight=0.0),
            "lns-alpha0.001": learned(weight=0.001),
            "lns-alpha0.1": learned(weight=0.1),
            "lns-alpha1.0": learned(weight=1.0),
            "lns-lr0.0003": dict(learning_rate=0.0003),
            "lns-lr0.003": dict(learning_rate=0.003),
            "lns-sgd": SGD,
            "lns-scale1-sgd": dict(SGD, **learned(start=Residual(1.0))),
        },
        baselines=("fashion-tuned",),
        fine_tunes=FIRST,
    ),
}
