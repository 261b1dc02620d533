"""Classify what the Raspberry Pi's camera sees, once or repeatedly.

    python classify_camera.py MODEL [--interval SECONDS] [--top 3] [--threads 4]
    python classify_camera.py MODEL --image photo.jpg      # without a camera

MODEL is a `.tflite` file whose classes are named in the sidecar next to it (`model.json` for
`model.tflite`). Each line of the output has the time, the classes with their scores, and how long
the model took.
"""

import argparse
import contextlib
import datetime
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from kbnn_runtime import Interpreter
from kbnn_runtime.images import read_image

# Larger than the input of most networks, and quick to convert.
_CAMERA_SIZE = (640, 480)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="the .tflite file")
    parser.add_argument("--image", help="classify an image file instead of the camera's images")
    parser.add_argument("--interval", type=seconds, help="repeat every so many seconds")
    parser.add_argument("--top", type=int, default=3, help="classes to show (3)")
    parser.add_argument("--threads", type=int, default=4, help="threads to use (4)")
    given = parser.parse_args()
    try:
        interpreter = Interpreter(given.model, num_threads=given.threads)
        with image_source(given.image) as capture:
            classify(interpreter, capture, given.top, given.interval)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        print(f"classify_camera: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def seconds(text: str) -> float:
    """A type for argparse: a time to wait."""
    value = float(text)
    if not 0 <= value < threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"Expected 0 or more seconds. Received: {text}")
    return value


def classify(
    interpreter: Interpreter,
    capture: Callable[[], np.ndarray],
    top: int,
    interval: float | None,
) -> None:
    """Print the classes of one image, or with an interval, of one image after another."""
    while True:
        image = capture()
        start = time.perf_counter()
        (found,) = interpreter.classify([image], top=top)
        milliseconds = 1000 * (time.perf_counter() - start)
        classes = "  ".join(f"{entry.label} {entry.score:.2f}" for entry in found)
        now = datetime.datetime.now().isoformat(timespec="seconds")
        print(f"{now}  {classes}  ({milliseconds:.1f} ms)", flush=True)
        if interval is None:
            return
        time.sleep(interval)


@contextlib.contextmanager
def image_source(path: str | None) -> Iterator[Callable[[], np.ndarray]]:
    """Yield a function that returns a uint8 image, (height, width, channels).

    The image comes from the file at `path`, or from the camera if that is None.

    Raises:
        ImportError: Pillow, which reads files, or picamera2 is not installed.
        ValueError: The file is not an image.
    """
    if path is not None:
        image = read_image(path)
        yield lambda: image
        return
    try:
        from picamera2 import Picamera2
    except ImportError as error:
        raise ImportError(
            "The camera needs picamera2: `sudo apt install python3-picamera2`, and a virtual "
            "environment made with --system-site-packages. To classify a file, pass --image FILE"
        ) from error
    with Picamera2() as camera:
        # libcamera's BGR888 has the bytes in the order red, green, blue.
        camera.configure(
            camera.create_still_configuration(main={"size": _CAMERA_SIZE, "format": "BGR888"})
        )
        camera.start()
        # Exposure and white balance take some frames to settle.
        time.sleep(1)
        yield lambda: camera.capture_array("main")


if __name__ == "__main__":
    sys.exit(main())
