"""What a dataset is before it is read: image shape, classes, sizes."""

from typing import NamedTuple


class DataInfo(NamedTuple):
    """Facts about a dataset that a model builder needs.

    Attributes:
        name: The name given to `kbnn.data.load`.
        input_shape: `(height, width, channels)` of one image.
        classes: Number of classes; labels are `0 .. classes - 1`.
        class_names: The name of each label, in label order.
        train_size: Number of training images, before any are split off for validation.
        test_size: Number of test images.
    """

    name: str
    input_shape: tuple[int, int, int]
    classes: int
    class_names: tuple[str, ...]
    train_size: int
    test_size: int


_DIGITS = tuple("0123456789")
_CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_CIFAR10 = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
# The 100 "fine" labels.
_CIFAR100_NAMES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
    crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
    keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
    mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain
    plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
    television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
_CIFAR100 = tuple(_CIFAR100_NAMES.split())

_GRAY = (28, 28, 1)
_COLOR = (32, 32, 3)

# The datasets that have a name of their own.
KNOWN = {
    info.name: info
    for info in (
        DataInfo("fashion_mnist", _GRAY, 10, _CLOTHES, 60_000, 10_000),
        DataInfo("mnist", _GRAY, 10, _DIGITS, 60_000, 10_000),
        DataInfo("cifar10", _COLOR, 10, _CIFAR10, 50_000, 10_000),
        DataInfo("cifar100", _COLOR, 100, _CIFAR100, 50_000, 10_000),
        DataInfo("fashion_mnist_sample", _GRAY, 10, _CLOTHES, 5_000, 1_000),
    )
}
