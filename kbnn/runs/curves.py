"""What a run's training looked like, as pictures."""

import pathlib

from kbnn._files import replace_file
from kbnn.techniques.self_binarizing.weight_histograms import plot_weight_histograms


def draw_weights(file: pathlib.Path, path: pathlib.Path) -> None:
    """Draw the file of `kbnn.callbacks.WeightHistograms` as a PNG."""
    figure = plot_weight_histograms(file)
    with replace_file(path) as temporary:
        figure.savefig(temporary, format="png")


def draw(log: list[dict[str, float]], path: pathlib.Path) -> bool:
    """Draw loss and accuracy, what `log.csv` holds, as a PNG.

    Returns:
        False, and nothing is drawn, where matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ModuleNotFoundError:
        return False
    figure = Figure(figsize=(10, 4), layout="constrained")
    epochs = [row["epoch"] for row in log]
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label in ((metric, "training"), (f"val_{metric}", "validation")):
            if key in log[0]:
                axes.plot(epochs, [row[key] for row in log], marker=".", label=label)
        axes.set(xlabel="epoch", ylabel=metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    with replace_file(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)
    return True
