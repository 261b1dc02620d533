"""Latent weights, and distillation from a separate teacher, with which they are compared."""

from typing import Any

from kbnn.graph.roles import ROLES
from kbnn.techniques import FeatureContrast, Gradient, LatentWeights, Mixture, Twin
from research.experiments.baselines import FASHION, FASHION_SIGNS, TWICE_THE_EPOCHS
from research.experiments.experiment import Experiment, Settings, group


def latent(way: Twin | Mixture | Gradient) -> Settings:
    """Return the settings of a run with latent weights."""
    return dict(techniques=(LatentWeights(way),))


def twin(
    real: float,
    distillation: float,
    features: float,
    share: tuple[str, ...] = ROLES,
    **arguments: Any,
) -> Settings:
    """Return the settings of a real-valued twin: weights of its terms, and shared layers."""
    weights = dict(distillation_weight=distillation, feature_weight=features)
    return latent(Twin(real, share=share, **weights, **arguments))


STEM = ("stem",)


def teacher_experiment(name: str, **terms: Any) -> dict[str, Experiment]:
    """Return the experiment that learns from the real-valued network by these terms."""
    return group(
        "fashion-teacher-",
        FASHION,
        {name: {}},
        baselines=FASHION_SIGNS,
        equal_time=TWICE_THE_EPOCHS,
        teacher="fashion-float",
        teacher_terms=terms,
    )


EXPERIMENTS = {
    **teacher_experiment("w0.1-t4", distillation_weight=0.1, temperature=4),
    **teacher_experiment("w0.3-t1", distillation_weight=0.3, temperature=1),
    **teacher_experiment("w0.3-t4", distillation_weight=0.3, temperature=4),
    **teacher_experiment("w1-t1", distillation_weight=1, temperature=1),
    **teacher_experiment("w1-t4", distillation_weight=1, temperature=4),
    **teacher_experiment("w3-t1", distillation_weight=3, temperature=1),
    **teacher_experiment(
        "contrast0.1", distillation_weight=0.0, teacher_contrast=FeatureContrast()
    ),
    **group(
        "fashion-latent-",
        FASHION,
        {"real-distillation0.3-stem": twin(1.0, 0.3, 0.0, STEM)},
        # The last baseline takes about as long: it trains a teacher, then the network.
        baselines=(*FASHION_SIGNS, "fashion-teacher-w1-t1"),
        equal_time=TWICE_THE_EPOCHS,
    ),
    **group(
        "fashion-latent-",
        FASHION,
        {
            "real": twin(1.0, 0.0, 0.0),
            "distillation": twin(0.0, 1.0, 0.0),
            "features": twin(0.0, 0.0, 1.0),
            "real-distillation-weak": twin(1.0, 0.1, 0.0),
            "real-distillation-until0.5": twin(1.0, 0.1, 0.0, until=0.5),
            "real0.1-distillation0.1": twin(0.1, 0.1, 0.0),
            "real0.05-distillation0.1-plain": twin(0.05, 0.1, 0.0, balance_gradient=False),
            "real-stem": twin(1.0, 0.0, 0.0, STEM),
            "distillation-stem": twin(0.0, 1.0, 0.0, STEM),
            "real-distillation-weak-stem": twin(1.0, 0.1, 0.0, STEM),
            "real-distillation0.3-stem-plain": twin(1.0, 0.3, 0.0, STEM, balance_gradient=False),
            "real-distillation-stem": twin(1.0, 1.0, 0.0, STEM),
            "real-features-stem": twin(1.0, 0.0, 1.0, STEM),
            "all-weak-stem": twin(1.0, 0.1, 1.0, STEM),
            "real-distillation-weak-separate": twin(1.0, 0.1, 0.0, ()),
            "mixture-until0.1": latent(Mixture(0.1)),
            "mixture-until0.3": latent(Mixture(0.3)),
            "mixture-until0.8": latent(Mixture(0.8)),
            "gradient": latent(Gradient()),
            "gradient0.1": latent(Gradient(0.1)),
            "gradient-until0.5": latent(Gradient(until=0.5)),
        },
        baselines=FASHION_SIGNS,
        equal_time=TWICE_THE_EPOCHS,
    ),
}
