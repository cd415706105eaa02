"""`tf-spot serve` as a process of its own, over real sockets."""

import subprocess
import sys
import threading
from pathlib import Path

START_SECONDS = 240.0  # importing TensorFlow on a busy machine


class Server:
    """A started server; its stderr is kept in `log`."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "tf_spot", "serve", str(folder), "--rest-port", "0", "--grpc-port", "0"]
        self.log = folder.parent / f"{folder.name}-server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=log, text=True)
        killer = threading.Timer(START_SECONDS, self.process.kill)
        killer.start()
        lines = [self.process.stdout.readline() for _ in range(3)]
        killer.cancel()
        assert lines[2], self.log.read_text()
        self.model_url = lines[0].split()[1]
        self.url = self.model_url.split("/v1/")[0]
        self.target = lines[1].split()[1]

    def stop(self) -> int:
        self.process.terminate()
        code = self.process.wait(30)
        self.process.stdout.close()
        return code
