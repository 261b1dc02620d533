"""The contrastive term: the source of its negatives, its weight (lambda) and temperature (tau)."""

from kbnn.techniques import Contrastive, EmbeddingQueue, MemoryBank, SameBatch
from research.experiments.baselines import FASHION, FASHION_SIGNS, OMNIGLOT, OMNIGLOT_SIGNS
from research.experiments.experiment import Settings, group


def contrast(source: str, weight: float, temperature: float, layers: str = "last") -> Settings:
    """Return the settings of a contrastive term."""
    term = Contrastive(NEGATIVES[source], weight, temperature, layers=layers)
    return dict(techniques=(term,))


NEGATIVES = {"batch": SameBatch(), "queue": EmbeddingQueue(), "bank": MemoryBank()}

EXPERIMENTS = {
    **group(
        "fashion-contrast-",
        FASHION,
        {
            "batch-lambda0.01-tau0.1": contrast("batch", 0.01, 0.1),
            "batch-lambda0.03-tau0.1": contrast("batch", 0.03, 0.1),
            "batch-lambda0.03-tau0.3": contrast("batch", 0.03, 0.3),
            "batch-lambda0.1-tau0.1": contrast("batch", 0.1, 0.1),
            "batch-lambda0.1-tau0.3": contrast("batch", 0.1, 0.3),
            "batch-lambda0.1-tau1.0": contrast("batch", 0.1, 1.0),
            "batch-lambda0.3-tau0.1": contrast("batch", 0.3, 0.1),
            "batch-lambda0.3-tau0.3": contrast("batch", 0.3, 0.3),
            "batch-all_layers-lambda0.1-tau0.3": contrast("batch", 0.1, 0.3, layers="all"),
            "queue-lambda0.03-tau0.3": contrast("queue", 0.03, 0.3),
            "queue-lambda0.1-tau0.1": contrast("queue", 0.1, 0.1),
            "queue-lambda0.1-tau0.3": contrast("queue", 0.1, 0.3),
            "bank-lambda0.03-tau0.3": contrast("bank", 0.03, 0.3),
            "bank-lambda0.1-tau0.1": contrast("bank", 0.1, 0.1),
            "bank-lambda0.1-tau0.3": contrast("bank", 0.1, 0.3),
            "bank-lambda3.2-tau0.1": contrast("bank", 3.2, 0.1),
        },
        baselines=FASHION_SIGNS,
    ),
    **group(
        "omniglot-contrast-",
        dict(OMNIGLOT, learning_rate=0.005),
        {
            "batch-lambda0.03-tau0.1": contrast("batch", 0.03, 0.1),
            "batch-lambda0.1-tau0.1": contrast("batch", 0.1, 0.1),
            "batch-lambda0.1-tau0.3": contrast("batch", 0.1, 0.3),
            "batch-lambda0.3-tau0.1": contrast("batch", 0.3, 0.1),
            "batch-lambda0.3-tau0.3": contrast("batch", 0.3, 0.3),
            "batch-lambda1.0-tau0.1": contrast("batch", 1.0, 0.1),
            "batch-lambda1.0-tau0.3": contrast("batch", 1.0, 0.3),
        },
        baselines=OMNIGLOT_SIGNS,
    ),
}
