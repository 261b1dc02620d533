"""Say what the Raspberry Pi's camera sees, once or again and again.

    python classify_camera.py MODEL [--interval SECONDS] [--top 3] [--threads 4]
    python classify_camera.py MODEL --image photo.jpg      # without a camera

MODEL is a `.tflite` file, whose classes are named by the sidecar beside it (`model.json` for
`model.tflite`).
Each line is a time, the classes with their scores, and how long the model took.
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

# Larger than what networks take, and quick to convert.
_CAMERA_SIZE = (640, 480)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="the .tflite file")
    parser.add_argument("--image", help="an image file instead of the camera")
    parser.add_argument("--interval", type=seconds, help="go on, every so many seconds")
    parser.add_argument("--top", type=int, default=3, help="classes to show (3)")
    parser.add_argument("--threads", type=int, default=4, help="to compute with (4)")
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
    """A type for argparse: a time that can be waited."""
    value = float(text)
    if not 0 <= value < threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"Expected seconds from 0. Received: {text}")
    return value


def classify(
    interpreter: Interpreter,
    capture: Callable[[], np.ndarray],
    top: int,
    interval: float | None,
) -> None:
    """Print the classes of an image, and of further ones if there is an interval."""
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
    """A function that gives an image, (height, width, channels) uint8: from a file or the camera.

    Raises:
        ImportError: There is neither a file, which takes Pillow, nor picamera2.
        ValueError: The file is no image.
    """
    if path is not None:
        image = read_image(path)
        yield lambda: image
        return
    try:
        from picamera2 import Picamera2
    except ImportError as error:
        raise ImportError(
            "Expected picamera2 (`sudo apt install python3-picamera2`, and a virtual environment "
            "made with --system-site-packages), or --image FILE. Received neither"
        ) from error
    with Picamera2() as camera:
        # What libcamera calls BGR888 lies in memory as red, green, blue.
        camera.configure(
            camera.create_still_configuration(main={"size": _CAMERA_SIZE, "format": "BGR888"})
        )
        camera.start()
        # Exposure and white balance need some frames to settle.
        time.sleep(1)
        yield lambda: camera.capture_array("main")


if __name__ == "__main__":
    sys.exit(main())
