"""A tiny training that the tests of killing and resuming start as a process of its own.

    python runner.py PHOTOS RUN [SIGNAL STAGE STEP]

`KILL spotter 7` sends itself SIGKILL after step 7 of stage 2, once the last checkpoint that was due is written. `KILL
write 8` does so while a checkpoint of stage 2, of step 8 or later, is being written. The environment variable PRECISION
sets `training.precision`, and LINEAR_PROBE=0 leaves out the linear probe.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from tf_spot.config import Config, preset

CONFIG: Config = preset("tiny").replace(
    **{
        "data.image_size": 16,
        "network.width": 0.125,
        "network.fc_units": 16,
        "game.history_batches": 2,
        "training.batch_size": 4,
        "training.precision": os.environ.get("PRECISION", "float32"),
        "training.autoencoder_steps": 10,
        "training.spotter_steps": 21,
        "training.steps_per_epoch": 6,
        "training.checkpoint_steps": 4,
        "training.picture_epochs": 2,
        "training.probe_epochs": 2,
        "training.linear_probe": os.environ.get("LINEAR_PROBE") != "0",
        "data.held_out_share": 0.2,
    }
)


def kill_during_write(folder: Path, step: int) -> None:
    """Wait for the folder that a checkpoint is written in, and kill this process."""
    while True:
        for entry in folder.glob(".aside-*"):
            name = entry.name.removeprefix(".aside-")
            if name.isdigit() and int(name) >= step:
                os.kill(os.getpid(), signal.SIGKILL)


def wait_for_checkpoint(folder: Path, step: int) -> None:
    """Wait until the last checkpoint before a step is there: it is written beside the training."""
    every = CONFIG.training.checkpoint_steps
    due = (step - 1) // every * every
    while due and not (folder / f"step-{due:08d}").exists():
        time.sleep(0.001)


def main(photos: str, out: str, name: str = "KILL", stage: str = "never", step: str = "0") -> None:
    from tf_spot.training.interrupts import Interrupted
    from tf_spot.training.train import train

    if stage == "write":
        arguments = (Path(out) / "checkpoints" / "spotter", int(step))
        threading.Thread(target=kill_during_write, args=arguments, daemon=True).start()

    def on_progress(done: int, total: int, text: str) -> None:
        if text.startswith("photos"):  # told of on a busy machine only
            return
        print(text.split()[0], done, flush=True)
        if text.startswith(stage) and done == int(step):
            if name == "KILL":
                wait_for_checkpoint(Path(out) / "checkpoints" / stage, done)
            os.kill(os.getpid(), signal.Signals[f"SIG{name}"])

    try:
        train(CONFIG, f"folder:{photos}", out, resume=True, on_progress=on_progress)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.exit_code)


if __name__ == "__main__":
    main(*sys.argv[1:])
