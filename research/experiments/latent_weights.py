"""Latent weights, and distillation from a separate teacher, with which they are compared."""

from kbnn.graph.roles import ROLES
from research.experiments.baselines import FASHION, FASHION_SIGNS, TWICE_THE_EPOCHS
from research.experiments.experiment import Experiment, Settings, group


def twin(
    real: float, distillation: float, features: float, share: str = ",".join(ROLES)
) -> Settings:
    """Settings of a real-valued twin: the weights of its terms, and the layers that it shares."""
    return dict(
        latent="twin",
        real_weight=real,
        distillation_weight=distillation,
        feature_weight=features,
        latent_share=share,
    )


def teacher_experiment(name: str, **terms: float) -> dict[str, Experiment]:
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
    **teacher_experiment("contrast0.1", distillation_weight=0.0, teacher_contrast_weight=0.1),
    **group(
        "fashion-latent-",
        FASHION,
        {"real-distillation0.3-stem": twin(1.0, 0.3, 0.0, "stem")},
        # The last one is what you would do with two trainings instead of one that takes as long.
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
            "real-distillation-until0.5": dict(twin(1.0, 0.1, 0.0), latent_until=0.5),
            "real0.1-distillation0.1": twin(0.1, 0.1, 0.0),
            "real0.05-distillation0.1-plain": dict(twin(0.05, 0.1, 0.0), balance_gradient=False),
            "real-stem": twin(1.0, 0.0, 0.0, "stem"),
            "distillation-stem": twin(0.0, 1.0, 0.0, "stem"),
            "real-distillation-weak-stem": twin(1.0, 0.1, 0.0, "stem"),
            "real-distillation0.3-stem-plain": dict(
                twin(1.0, 0.3, 0.0, "stem"), balance_gradient=False
            ),
            "real-distillation-stem": twin(1.0, 1.0, 0.0, "stem"),
            "real-features-stem": twin(1.0, 0.0, 1.0, "stem"),
            "all-weak-stem": twin(1.0, 0.1, 1.0, "stem"),
            "real-distillation-weak-separate": twin(1.0, 0.1, 0.0, "none"),
            "mixture-until0.1": dict(latent="mixture", latent_until=0.1),
            "mixture-until0.3": dict(latent="mixture", latent_until=0.3),
            "mixture-until0.8": dict(latent="mixture", latent_until=0.8),
            "gradient": dict(latent="gradient"),
            "gradient0.1": dict(latent="gradient", gradient_weight=0.1),
            "gradient-until0.5": dict(latent="gradient", latent_until=0.5),
        },
        baselines=FASHION_SIGNS,
        equal_time=TWICE_THE_EPOCHS,
    ),
}
