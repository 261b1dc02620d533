"""Check the installed kbnn: run this outside the checkout, in an environment that has its wheel."""

import subprocess
import tempfile

import kbnn
import kbnn.converters

for package in (kbnn, kbnn.converters):
    if "site-packages" not in str(package.__file__):
        raise SystemExit(f"Expected the installed wheel. Received: {package.__file__}")

kbnn.data.load("fashion_mnist_sample", batch_size=8)
with tempfile.TemporaryDirectory() as folder:
    file = f"{folder}/model.tflite"
    kbnn.converters.convert(kbnn.models.vgg_tiny(), file)
    for command in (["kbnn", "--help"], ["kbnn", "inspect", file]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
