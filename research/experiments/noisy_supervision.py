"""Learning with noisy supervision, and the plain fine-tuning that it is compared with."""

from research.experiments.baselines import FASHION
from research.experiments.experiment import group

PRETRAINED = 3
"""How many networks fine-tuning starts from: seed i starts from the network of seed i modulo 3."""

FIRST = "fashion-pretrained"
TUNED = dict(FASHION, epochs=6, learning_rate=0.001)
LEARNED = dict(TUNED, kernel_quantizer="learned_sign")
SGD = dict(optimizer="sgd", learning_rate=0.01)  # as in the paper

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
            "mapping": dict(noise_rate=(0.0, 0.0)),
            "lns-rho0.05": dict(noise_rate=(0.05, 0.05)),
            "lns-rho0.2": dict(noise_rate=(0.2, 0.2)),
            "lns-rho0.3": dict(noise_rate=(0.3, 0.3)),
            "lns-depthwise": dict(mapping="depthwise"),
            "lns-bottleneck": dict(mapping="bottleneck"),
            "lns-random": dict(mapping_start="random"),
            "lns-scale0.01": dict(residual_scale=0.01),
            "lns-scale0.03": dict(residual_scale=0.03),
            "lns-scale0.3": dict(residual_scale=0.3),
            "lns-scale1.0": dict(residual_scale=1.0),
            "lns-alpha0.0": dict(auxiliary_weight=0.0),
            "lns-alpha0.001": dict(auxiliary_weight=0.001),
            "lns-alpha0.1": dict(auxiliary_weight=0.1),
            "lns-alpha1.0": dict(auxiliary_weight=1.0),
            "lns-lr0.0003": dict(learning_rate=0.0003),
            "lns-lr0.003": dict(learning_rate=0.003),
            "lns-sgd": SGD,
            "lns-scale1-sgd": dict(SGD, residual_scale=1.0),
        },
        baselines=("fashion-tuned",),
        fine_tunes=FIRST,
    ),
}
