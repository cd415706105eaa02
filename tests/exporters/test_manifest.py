"""The files beside an artifact: complete, and refused when changed."""

import json
import os
import subprocess

import numpy as np
import pytest

from tests.exporters.conftest import CONFIG, SIZE
from tf_spot.errors import UserError
from tf_spot.exporters import verify
from tf_spot.exporters.manifest import artifact_path, check_sums, describe, read_manifest
from tf_spot.exporters.signature import Signature


def test_an_onnx_bundle_is_whole(onnx_bundle) -> None:
    manifest = json.loads((onnx_bundle / "manifest.json").read_text())
    assert set(manifest["parity"]) == {"1", "7", "64"}
    assert all(v["share"] <= 1e-4 for outputs in manifest["parity"].values() for v in outputs.values())
    assert set(manifest["outputs"]) == {"conv1", "conv2", "conv3", "conv4", "conv5", "embedding"}
    assert (
        manifest["config"] == CONFIG.to_dict()
        and manifest["size_bytes"] == (onnx_bundle / "features.onnx").stat().st_size
    )
    assert manifest["photos"] == {"data": "bundled photos", "compared": 64, "calibrated": 0}
    assert "Checked on 64: bundled photos." in (onnx_bundle / "README.md").read_text()
    assert manifest["class_names"] is None and manifest["versions"]["onnxruntime"] and manifest["versions"]["tf2onnx"]
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=onnx_bundle, check=True)
    assert verify(onnx_bundle)["files"] == 4
    assert read_manifest(onnx_bundle) == manifest


def test_shapes_are_free_where_any_size_is_taken(spotter) -> None:
    outputs = {"conv1": np.zeros((2, 8, 8, 16)), "embedding": np.zeros((2, 5))}
    shapes = {}
    for any_size in (False, True):
        signature = Signature(spotter, "features", any_size=any_size)
        manifest = describe(signature, "onnx", "none", "features.onnx", outputs, CONFIG)
        shapes[any_size] = [manifest["inputs"]["images"]["shape"], *(o["shape"] for o in manifest["outputs"].values())]
    assert shapes[False] == [["batch", SIZE, SIZE, 3], ["batch", 8, 8, 16], ["batch", 5]]
    assert shapes[True] == [["batch", None, None, 3], ["batch", None, None, 16], ["batch", 5]]


def test_a_changed_file_is_refused(copy_of_bundle) -> None:
    (copy_of_bundle / "README.md").write_text("something else")
    with pytest.raises(UserError, match="README.md .* was changed"):
        verify(copy_of_bundle)
    (copy_of_bundle / "README.md").unlink()
    with pytest.raises(UserError, match="README.md is missing"):
        verify(copy_of_bundle)


def test_a_file_that_is_not_listed_is_refused(copy_of_bundle) -> None:
    (copy_of_bundle / "more.txt").touch()
    with pytest.raises(UserError, match="more.txt is not in SHA256SUMS"):
        check_sums(copy_of_bundle)
    (copy_of_bundle / "SHA256SUMS").unlink()
    with pytest.raises(UserError, match="has no SHA256SUMS"):
        check_sums(copy_of_bundle)


def test_a_manifest_of_another_version_is_named(copy_of_bundle) -> None:
    manifest = json.loads((copy_of_bundle / "manifest.json").read_text())
    del manifest["reference_parity"]
    (copy_of_bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="lacks reference_parity"):
        verify(copy_of_bundle)


def test_a_folder_that_is_no_export(tmp_path) -> None:
    with pytest.raises(UserError, match="one that tf-spot export wrote; received: "):
        read_manifest(tmp_path)


@pytest.mark.parametrize("artifact", ["/etc/hostname", "../copy/features.onnx", "other.onnx", ".", 3])
def test_the_artifact_is_inside_and_covered_by_the_sums(copy_of_bundle, artifact: object) -> None:
    manifest = read_manifest(copy_of_bundle)
    assert artifact_path(copy_of_bundle, manifest) == copy_of_bundle / "features.onnx"
    with pytest.raises(UserError, match=r"stay inside it|must name an artifact in SHA256SUMS"):
        artifact_path(copy_of_bundle, manifest | {"artifact": artifact})


def test_a_linked_folder_is_not_covered(copy_of_bundle, tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (copy_of_bundle / "linked").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="SHA256SUMS"):
        artifact_path(copy_of_bundle, {"artifact": "linked"})


@pytest.mark.parametrize("name", ["manifest.json", "SHA256SUMS", "odd"])
def test_only_regular_files_are_opened(copy_of_bundle, name: str) -> None:
    """Opening a FIFO would wait for ever."""
    (copy_of_bundle / name).unlink(missing_ok=True)
    os.mkfifo(copy_of_bundle / name)
    with pytest.raises(UserError, match="missing or cannot be read|no SHA256SUMS|odd .*is no regular file"):
        verify(copy_of_bundle)
