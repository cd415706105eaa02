"""Load data sets of the Hugging Face library `datasets`: a folder, its cache or the hub, without a long wait for it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tf_spot.errors import UserError
from tf_spot.storage.spec import looks_local

if TYPE_CHECKING:
    import datasets

log = logging.getLogger("tf_spot")

PATIENCE = 5.0  # seconds in which the hub must answer; the library itself would try for half a minute


class _Hub(NamedTuple):
    """What the hub said of a data set, or why it did not answer."""

    size: int = 0  # bytes of all files
    silence: str = ""


def load_splits(name: str, config: str | None = None, revision: str | None = None) -> dict[str, datasets.Dataset]:
    """Load every split of a data set.

    Args:
        name: a folder that `save_to_disk` wrote, another folder or a .parquet file that the library can load, or a name
            on the hub.
        config: which part of the data set, where it has several.
        revision: commit, tag or branch on the hub.

    Raises:
        UserError: the library is missing, or the data set is neither here nor can it be downloaded.
    """
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise UserError(f"hf:NAME needs {error.name}, which is missing; run pip install tf-spot[hf]") from error
    with _quiet():
        try:
            found = _local(Path(name).expanduser(), config) if looks_local(name) else _from_hub(name, config, revision)
        except UserError:
            raise
        except Exception as error:  # the network, the disk and what loads each format raise what they like
            raise UserError(
                f"hf:NAME must be a data set that the library datasets can load; received: {name}, {_reason(error)}"
            ) from error
    return dict(found) if isinstance(found, datasets.DatasetDict) else {"train": found}


def _local(path: Path, config: str | None) -> datasets.Dataset | datasets.DatasetDict:
    import datasets

    if path.is_file():
        return _prepared(datasets.load_dataset_builder("parquet", data_files={"train": str(path.resolve())}), str(path))
    if any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):  # of save_to_disk
        return datasets.load_from_disk(str(path))
    # An absolute path: a relative one may be the name of one of the library's own loaders.
    return _prepared(datasets.load_dataset_builder(str(path.resolve()), config), str(path))


def _from_hub(name: str, config: str | None, revision: str | None) -> datasets.DatasetDict:
    import datasets

    hub = _ask(name, revision)
    if hub.silence:
        with _offline():
            try:
                return datasets.load_dataset(name, config)
            except Exception as error:
                reason = _reason(error)  # another than that the hub was not asked: such as a config that is not there
                found = "" if "OfflineMode" in reason else f" ({reason})"
                raise UserError(
                    f"hf:NAME must be on this machine or the hub must answer; received: {name}, which is not in the "
                    f"cache {datasets.config.HF_DATASETS_CACHE}{found}, and the hub does not answer: "
                    f"{hub.silence}; connect, or give the folder where it is: hf:./PATH"
                ) from error
    return _prepared(datasets.load_dataset_builder(name, config, revision=revision), name, hub.size)


def _prepared(builder: datasets.DatasetBuilder, name: str, size: int | None = None) -> datasets.DatasetDict:
    """Return the splits, which are downloaded and written to the library's cache unless they are there.

    Args:
        builder: of the data set.
        name: for the log.
        size: bytes on the hub; None: the files are here.
    """
    import datasets

    if not os.path.isdir(builder.cache_dir):
        # The size of the part that is wanted, where the data set's card has it.
        most = (builder.info.download_size or size or 0) / 2**20
        doing = "reading" if size is None else f"downloading up to {most:,.0f} MiB of" if most else "downloading"
        log.warning("%s hf:%s into %s (HF_HOME), once", doing, name, datasets.config.HF_DATASETS_CACHE)
    builder.download_and_prepare()
    return builder.as_dataset()


def _ask(name: str, revision: str | None) -> _Hub:
    """Ask the hub for a data set, unless HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set.

    Raises:
        UserError: it answers that there is none, or that it may not be read.
    """
    import datasets
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    if datasets.config.HF_HUB_OFFLINE:
        return _Hub(silence="HF_HUB_OFFLINE is set")
    api = huggingface_hub.HfApi(endpoint=datasets.config.HF_ENDPOINT)
    try:
        info = api.dataset_info(name, revision=revision, timeout=PATIENCE, files_metadata=True)
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status >= 500:
            return _Hub(silence=f"status {status}")
        raise UserError(
            f"hf:NAME must be a data set on {datasets.config.HF_ENDPOINT} that you may read; received: {name}, status "
            f"{status}: {_reason(error)}; check the name, or log in: hf auth login"
        ) from error
    except Exception as error:  # of whatever library the connection is made with
        return _Hub(silence=_reason(error))
    return _Hub(size=sum(file.size or 0 for file in info.siblings or ()))


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Let the library look into its cache alone, as if HF_HUB_OFFLINE had been set before it was imported."""
    import datasets

    before, datasets.config.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let the library warn of errors alone, and show its progress to nobody but a person."""
    import datasets

    level, bars = datasets.logging.get_verbosity(), datasets.is_progress_bar_enabled()
    datasets.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if bars:
            datasets.enable_progress_bars()


def _reason(error: Exception) -> str:
    """Return the first line of an error."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
