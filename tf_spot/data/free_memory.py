"""How much memory decoded photos may take."""

from __future__ import annotations

import re
from pathlib import Path

import tensorflow as tf
from tensorflow.python.client import device_lib  # the public interface does not tell how much memory a GPU has

HOST_SHARE = 0.5  # of the memory that is free: training and the system's file cache need the rest
COPIED = 2**31  # bytes: `tf.data` keeps a copy of a tensor that its functions use, unless it is larger
DEVICE_SHARE = 0.25  # of a GPU's memory: networks and their gradients need the rest
LIMITS = (  # of a container: the most that it may use, and what it uses
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def most_bytes(place: str) -> int:
    """Return the bytes that decoded photos may take in the memory of the `device`, or of the `host`."""
    gpus = tf.config.list_logical_devices("GPU")
    if place == "device" and gpus:
        return int(DEVICE_SHARE * gpu_bytes())
    room = int(HOST_SHARE * free_host_bytes())
    return max(room // 2, room - COPIED)


def gpu_bytes() -> int:
    """Return the bytes that TensorFlow may use of the first GPU."""
    return min(device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU")


def free_host_bytes(meminfo: Path = Path("/proc/meminfo"), limits: tuple[tuple[str, str], ...] = LIMITS) -> int:
    """Return the bytes of the host's memory that are free, or that this container may still use."""
    available = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="ascii"))
    free = int(available[1]) * 1024 if available else 0
    for most, used in limits:
        if Path(most).is_file() and (text := Path(most).read_text(encoding="ascii").strip()).isdigit():
            free = min(free, int(text) - int(Path(used).read_text(encoding="ascii")))
    return max(0, free)
