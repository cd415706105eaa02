"""Time the input pipeline: python benchmarks/input_pipeline.py [--photos FOLDER]

Measures the training images per processor-second (decoded, cropped, with colour shifts), from files and from photos
kept decoded in the host's memory; an epoch of which all photos are decoded first, relative to one from files; the rate
at which libjpeg-turbo (in Pillow) decodes the same files at full size; and the share of a training's time in which the
step waits for the next batch. Without `--photos` it writes 512 JPEG files of 256 x 192 pixels from the bundled photos.
Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import tf_spot  # noqa: E402, I001  (sets the environment that TensorFlow reads when imported)
import tensorflow as tf  # noqa: E402
from PIL import Image, features  # noqa: E402

from tf_spot.config import preset  # noqa: E402
from tf_spot.data import Source, load  # noqa: E402
from tf_spot.data.photo_cache import decode_all  # noqa: E402
from tf_spot.models.from_config import build_autoencoder, build_spotter  # noqa: E402

FILES, SHAPE = 512, (192, 256)
ROOM = 2**31  # bytes, that the decoded photos may take


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=6, help="training steps whose waiting is measured")
    parser.add_argument("--batches", type=int, default=64, help="batches to decode")
    options = parser.parse_args()
    if not features.check("libjpeg_turbo"):
        sys.exit("this Pillow has no libjpeg-turbo")
    with tempfile.TemporaryDirectory() as folder:
        photos = options.photos or make_photos(Path(folder))
        print(json.dumps(measure(photos, options)))


def make_photos(folder: Path) -> Path:
    """Write FILES crops of the bundled photos as JPEG files into `folder`, and return it."""
    stream = load("photos", image_size=SHAPE[1]).unlabelled(32)
    for i, images in enumerate(stream.take(FILES // 32)):
        for j, image in enumerate(tf.cast(images * 127.5 + 127.5, tf.uint8).numpy()):
            Image.fromarray(image[: SHAPE[0]]).save(folder / f"{32 * i + j:04}.jpg", quality=90)
    return folder


def measure(photos: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return the rates and the share of time spent waiting."""
    fields = {"data.image_size": options.size, "network.width": options.width, "training.batch_size": options.batch}
    config = preset("stl10").replace(**fields)
    source = load(f"folder:{photos}", image_size=options.size, config=config.data)
    stream, count = iter(source.unlabelled(options.batch)), source.count("unlabelled")
    turbo = decode_rate(sorted(photos.rglob("*.jpg"))[:FILES])
    ours = pipeline_rate(stream, options.batches, options.batch)
    waiting = waiting_share(build_spotter(config, build_autoencoder(config)), stream, options.steps)
    filling = filling_seconds(source)
    kept = pipeline_rate(iter(source.unlabelled(options.batch)), options.batches, options.batch)
    return {
        "image_size": options.size,
        "batch": options.batch,
        "photos": count,
        "libjpeg_turbo_images_per_core_second": round(turbo, 1),
        "pipeline_images_per_core_second": round(ours, 1),
        "cached_pipeline_images_per_core_second": round(kept, 1),
        # Decoding all photos into the cache and then an epoch from it, over an epoch from files.
        "first_epoch_with_cache": round((filling + count / kept) * ours / count, 3),
        "share_of_time_waiting": round(waiting, 4),
    }


def decode_rate(files: list[Path]) -> float:
    """Return full-size images per processor-second; the files' bytes are in memory."""
    held = [io.BytesIO(file.read_bytes()) for file in files]
    started = time.process_time()
    for file in held:
        Image.open(file).load()
    return len(held) / (time.process_time() - started)


def pipeline_rate(stream: Iterator[tf.Tensor], batches: int, batch: int) -> float:
    """Return training images per processor-second over all threads; the first batches fill the prefetch buffers."""
    for _ in range(8):
        next(stream)
    started = time.process_time()
    for _ in range(batches):
        next(stream)
    return batches * batch / (time.process_time() - started)


def filling_seconds(source: Source) -> float:
    """Keep all photos of a source in the host's memory, and return the processor-seconds that it took."""
    decode_all(source.views.split, "host", ROOM)  # traces, and warms the file cache
    started = time.process_time()
    source.views.cache = decode_all(source.views.split, "host", ROOM)
    return time.process_time() - started


def waiting_share(spotter: tf_spot.ArtifactSpotter, stream: Iterator[tf.Tensor], steps: int) -> float:
    """Return the share of the time of `steps` updates spent waiting for the next batch."""
    update = tf.function(lambda images: tf.add_n(list(spotter.train_step(images).values())))
    for _ in range(2):
        float(update(next(stream)))
    waited, started = 0.0, time.perf_counter()
    for _ in range(steps):
        requested = time.perf_counter()
        images = next(stream)
        waited += time.perf_counter() - requested
        float(update(images))
    return waited / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
