"""Prepare a data set of tensorflow-datasets: a download is announced, and a server that is silent not waited for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tf_spot.errors import UserError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

log = logging.getLogger("tf_spot")

PATIENCE = 5.0  # seconds in which a server must answer; the library has no limit of its own


def prepared(name: str) -> tfds.core.DatasetBuilder:
    """Return a data set that is prepared in TFDS_DATA_DIR, or in ~/tensorflow_datasets; download it if it is not.

    Raises:
        UserError: no such data set, no answer from the server that has it, or another fault while it is prepared.
    """
    try:
        import tensorflow_datasets as tfds

        builder = tfds.builder(name)
        if not builder.is_prepared():
            _announce(name, builder)
        builder.download_and_prepare()
    except UserError:
        raise
    except Exception as error:  # the network, the disk and every data set's own code raise what they like
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"tfds:NAME must be a data set that tensorflow-datasets knows and can download; received: {name}, {reason}"
        ) from error
    return builder


def _announce(name: str, builder: tfds.core.DatasetBuilder) -> None:
    """Say what will be downloaded, and where to.

    Raises:
        UserError: the server of the files does not answer.
    """
    missing = missing_urls(builder)
    sizes = (builder.info.download_size, builder.info.dataset_size)
    download, written = (f"{int(size) / 2**20:,.0f} MiB" if size else "an unknown size" for size in sizes)
    log.warning(
        "tfds:%s is not in %s (TFDS_DATA_DIR): %s %s, and preparing %s",
        name, builder.data_dir, "downloading" if missing else "reading", download, written,
    )  # fmt: skip
    silence = unanswered(missing[0]) if missing else ""
    if silence:
        raise UserError(
            f"tfds:NAME must be prepared on this machine or downloadable; received: {name}, which is not in "
            f"{builder.data_dir}, and {urlsplit(missing[0]).netloc} does not answer: {silence}; connect, or set "
            "TFDS_DATA_DIR to the folder where it is prepared"
        )


def missing_urls(builder: tfds.core.DatasetBuilder) -> list[str]:
    """Return the addresses of files that a data set needs and that were not downloaded before."""
    # Beside each downloaded file lies an .INFO file, which names its address.
    infos = (builder.data_dir_root / "downloads").glob("*.INFO")
    told = "".join(info.read_text() for info in infos)
    return [url for url in builder.url_infos or () if url.startswith("http") and url not in told]


def unanswered(url: str) -> str:
    """Ask a server for a file and return why it does not answer; "" if it does, whatever it says."""
    import requests

    try:
        requests.head(url, timeout=PATIENCE).close()
    except requests.RequestException as error:
        return type(error).__name__
    return ""
