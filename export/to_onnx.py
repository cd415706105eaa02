"""A run as an ONNX file, and the same photo through it without tf-spot.

    python export/to_onnx.py RUN OUT PHOTO

Exports the classifier where the run has one, else the features. Prints the size, the largest difference from the Keras
model, the time for one photo, and its class or how long its embedding is.
"""

import json
import subprocess
import sys
import time
from pathlib import Path


def make(run: str, out: str) -> None:
    from tf_spot import export_onnx, load_classifier, load_spotter

    if Path(run, "classifier.keras").is_file():  # tf-spot evaluate --task finetune wrote it
        manifest = export_onnx(load_classifier(run), out, part="classifier")
    else:
        manifest = export_onnx(load_spotter(run), out)
    outputs = [figures for batch in manifest["parity"].values() for figures in batch.values()]
    print(f"size                {manifest['size_bytes']:,} bytes")
    print(f"largest difference  {max(figures['share'] for figures in outputs):.1e} of the output's largest value")


def ask(out: str, photo: str) -> None:
    """Nothing below needs tf-spot: this is what a service does."""
    import numpy as np
    import onnxruntime
    from PIL import Image

    manifest = json.loads(Path(out, "manifest.json").read_text())
    session = onnxruntime.InferenceSession(str(Path(out, manifest["artifact"])), providers=["CPUExecutionProvider"])
    _, height, width, _ = manifest["inputs"]["images"]["shape"]
    with Image.open(photo) as opened:
        images = np.asarray(opened.convert("RGB").resize((width, height)), np.float32)[None]  # in [0, 255]
    wanted = "probabilities" if manifest["part"] == "classifier" else "embedding"
    session.run([wanted], {"images": images})  # the first call prepares the others
    started = time.perf_counter()
    (answer,) = session.run([wanted], {"images": images})
    print(f"one photo           {1000 * (time.perf_counter() - started):.1f} ms, decoding not included")
    if wanted == "probabilities":
        print(f"class               {manifest['class_names'][answer[0].argmax()]}, probability {answer.max():.2f}")
    else:
        print(f"embedding           {answer.shape[1]} numbers")
    if "tf_spot" in sys.modules:
        sys.exit("tf_spot was imported")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ask"]:
        ask(*sys.argv[2:])
    elif len(sys.argv) == 4:
        make(sys.argv[1], sys.argv[2])
        sys.stdout.flush()
        sys.exit(subprocess.run([sys.executable, __file__, "--ask", *sys.argv[2:]]).returncode)
    else:
        sys.exit(__doc__)
