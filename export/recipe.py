"""The part that all recipes share: export a run, then time one photo in a process that never imports tf_spot."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Outputs = dict[str, np.ndarray]  # by name, (1, ...) each
OpenArtifact = Callable[[dict, Path, Path], Callable[[], Outputs]]  # manifest, artifact and photo to a call


def main(export_function: str, open_artifact: OpenArtifact, timed: str) -> None:
    """Run a recipe: RUN OUT PHOTO on the command line.

    Args:
        export_function: of tf_spot, such as `export_onnx`.
        open_artifact: opens the artifact and prepares the photo; returns a function that runs the one on the other.
        timed: what the time includes.
    """
    arguments = sys.argv[1:]
    if len(arguments) != 3:
        sys.exit(sys.modules["__main__"].__doc__)
    if arguments[0] == "--time":  # the new process, see below
        time_artifact(open_artifact, timed, *map(Path, arguments[1:]))
        return
    run, out, photo = arguments
    export(export_function, run, out)
    sys.stdout.flush()
    # In a new process, to show that the artifact needs no tf-spot.
    command = [sys.executable, sys.argv[0], "--time", out, photo]
    sys.exit(subprocess.run(command).returncode)


def export(export_function: str, run: str, out: str) -> None:
    """Export the classifier if the run has one, else the features."""
    import tf_spot

    write = getattr(tf_spot, export_function)
    if Path(run, "classifier.keras").is_file():  # tf-spot evaluate --task finetune wrote it
        manifest = write(tf_spot.load_classifier(run), out, part="classifier")
    else:
        manifest = write(tf_spot.load_spotter(run), out)
    differences = [values["share"] for outputs in manifest["parity"].values() for values in outputs.values()]
    print(f"size                {manifest['size_bytes']:,} bytes")
    print(f"largest difference  {max(differences):.1e} of the output's largest value")


def time_artifact(open_artifact: OpenArtifact, timed: str, out: Path, photo: Path) -> None:
    """Run the artifact on the photo, and print the time and the result."""
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    call = open_artifact(manifest, out / manifest["artifact"], photo)
    call()  # the first call allocates memory and chooses kernels
    started = time.perf_counter()
    outputs = call()
    print(f"one photo           {1000 * (time.perf_counter() - started):.1f} ms, {timed}")
    if manifest["part"] == "classifier":
        (probabilities,) = outputs["probabilities"]  # (classes,)
        best = probabilities.argmax()
        print(f"class               {manifest['class_names'][best]}, probability {probabilities[best]:.2f}")
    else:
        print(f"embedding           {outputs['embedding'].shape[1]} numbers")
    if "tf_spot" in sys.modules:
        sys.exit("tf_spot was imported")


def read_photo(manifest: dict, photo: Path) -> np.ndarray:
    """Read a photo as the artifact takes it: float32 (1, height, width, 3), RGB in [0, 255]."""
    from PIL import Image

    _, height, width, _ = manifest["inputs"]["images"]["shape"]
    with Image.open(photo) as image:
        return np.asarray(image.convert("RGB").resize((width, height)), np.float32)[None]
