"""Attack the local server with hostile requests, and see whether it refuses each and goes on serving.

    python studies/hostile_requests.py [--seconds 120] [--seed N] [--out FILE]

Exports an untrained network, starts `tf-spot serve` as a process of its own, and sends attacks in random order, each
with random sizes, over REST and gRPC. Meanwhile two clients send ordinary requests, one photo each. An attack has held
if it was refused with a code that names a mistake, or answered, and the server then answers an ordinary request right.
At the end the server must stop when told to, without a trace in its log. Writes results/hostile-requests.json: attacks
tried, held and failed, the slowest ordinary answer, and memory before and at the peak.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import httpx  # noqa: E402
import numpy as np  # noqa: E402

from studies.hostile_attacks import ATTACKS, Attack, Server, picture  # noqa: E402
from tf_spot.serving import Client, ServingError  # noqa: E402

MOST_MIB, MOST_SECONDS = 1024.0, 1.0  # above idle; of an ordinary answer
MOST_LOAD = 4.0  # of the machine before, at which the seconds are judged


class Witness:
    """Clients that send ordinary requests all the time, and compare the answers with the first."""

    def __init__(self, server: Server) -> None:
        self.slowest, self.answers = 0.0, 0
        self.wrong: list[str] = []
        self._stop = threading.Event()
        places = {"grpc": server.target, "rest": f"http://{server.address}"}
        self._clients = {p: Client(at, model="features", protocol=p, retries=0) for p, at in places.items()}
        self._file = picture("JPEG", 40)
        self._expected = {protocol: self._ask(protocol) for protocol in self._clients}
        self._threads = [threading.Thread(target=self._watch, args=(protocol,)) for protocol in self._clients]
        self._threads.append(threading.Thread(target=self._measure, args=(server,)))

    def _ask(self, protocol: str) -> np.ndarray:
        return self._clients[protocol].predict([self._file])["embedding"]

    def is_right(self) -> bool:
        """True if both protocols answer an ordinary request right now."""
        try:
            return all(np.allclose(self._ask(name), expected, atol=1e-5) for name, expected in self._expected.items())
        except ServingError:
            return False

    def _watch(self, protocol: str) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                if not np.allclose(self._ask(protocol), self._expected[protocol], atol=1e-5):
                    self.wrong.append(f"{protocol}: another answer")
            except Exception as error:
                self.wrong.append(f"{protocol}: {error}")
            self.slowest = max(self.slowest, time.monotonic() - started)
            self.answers += 1
            self._stop.wait(0.05)

    def _measure(self, server: Server) -> None:
        while not self._stop.wait(0.02):
            with suppress(OSError):
                server.peak = max(server.peak, server.memory())

    def __enter__(self) -> Witness:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for client in self._clients.values():
            client.close()


@contextmanager
def serving() -> Iterator[Server]:
    """Start a server, which is killed at the latest at the end."""
    with tempfile.TemporaryDirectory(prefix="tf_spot-hostile-") as folder:
        server = Server(Path(folder))
        try:
            yield server
        finally:
            server.process.kill()
            server.process.communicate()  # closes its pipes too


def attack_server(seconds: float, seed: int) -> dict[str, Any]:
    """Attack for about `seconds`, each attack at least once; return what was tried, held and failed."""
    chance = random.Random(seed)
    rows = {name: {"tried": 0, "held": 0} for name in ATTACKS}
    failed: list[str] = []
    load = os.getloadavg()[0]
    with serving() as server:
        with Witness(server) as witness:
            idle = server.memory()
            end, names = time.monotonic() + seconds, chance.sample(list(ATTACKS), len(ATTACKS))
            while names or time.monotonic() < end:
                names = names or chance.sample(list(ATTACKS), len(ATTACKS))
                name = names.pop()
                verdict = one_attack(ATTACKS[name], server, chance)
                held = verdict in ("refused", "answered") and server.process.poll() is None and witness.is_right()
                rows[name]["tried"] += 1
                rows[name]["held"] += held
                if not held:
                    failed.append(f"{name}: {verdict}")
        log = server.log.read_text(errors="replace")
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(60)
    peak = server.peak - idle
    checks = {
        "ordinary answers right": not witness.wrong,
        f"peak memory at most {MOST_MIB:.0f} MiB above idle": peak <= MOST_MIB,
        "no trace in the log": "Traceback" not in log,
        "stops with code 143": code == 143,
    }
    if load < MOST_LOAD:  # on a busy machine every answer is slow
        checks[f"slowest ordinary answer at most {MOST_SECONDS:.0f} s"] = witness.slowest <= MOST_SECONDS
    return {
        "rows": rows,
        "tried": sum(row["tried"] for row in rows.values()),
        "held": sum(row["held"] for row in rows.values()),
        "failed": failed + [name for name, holds in checks.items() if not holds] + witness.wrong[:5],
        "checks": checks,
        "ordinary_answers": witness.answers,
        "slowest_ordinary_seconds": round(witness.slowest, 3),
        "idle_mib": round(idle),
        "peak_above_idle_mib": round(peak),
        "log_lines": log.count("\n"),
        "load_before": load,
    }


def one_attack(attack: Attack, server: Server, chance: random.Random) -> str:
    try:
        return attack(server, chance)
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):  # refused before it was sent to its end
        return "refused"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def table(result: dict[str, Any]) -> str:
    """Return one line per kind of attack."""
    lines = ["attack                      tried   held"]
    lines += [f"{name:<26} {row['tried']:6} {row['held']:6}" for name, row in result["rows"].items()]
    memory = f"{result['idle_mib']} MiB idle, {result['peak_above_idle_mib']} MiB above it at the peak"
    slowest = f"the slowest in {result['slowest_ordinary_seconds']} s"
    lines.append(f"{result['ordinary_answers']} ordinary answers meanwhile, {slowest}; memory: {memory}")
    return "\n".join([*lines, f"failed: {len(result['failed'])}", *result["failed"]])


def main() -> None:
    """Attack, print the table and write the result."""
    from tf_spot.storage.files import write_json
    from tf_spot.storage.provenance import provenance

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "hostile-requests.json")
    options = parser.parse_args()
    result = attack_server(options.seconds, options.seed)
    print(table(result))
    command = f"python studies/hostile_requests.py --seconds {options.seconds:g} --seed {options.seed}"
    write_json(options.out, {"task": "hostile requests", "seed": options.seed} | result | provenance(command))


if __name__ == "__main__":
    main()
