"""The works that the paper compares itself with, and the method of `tf-spot compare` that stands for each."""

from __future__ import annotations

from typing import NamedTuple


class Work(NamedTuple):
    """One work."""

    reference: str  # authors, venue, year
    idea: str  # what its network learns from
    ours: str = ""  # method of `tf-spot compare`
    reason: str = ""  # why there is none


# By the names of the rows of the paper's tables: first author, short name of the method.
WORKS: dict[str, Work] = {
    "Agrawal et al., egomotion": Work(
        "Agrawal, Carreira and Malik, ICCV 2015", "how the camera moved between two frames", reason="needs motion"
    ),
    "Bojanowski & Joulin, noise as targets": Work(
        "Bojanowski and Joulin, ICML 2017", "fixed random targets, each assigned to a photo", "noise-as-targets"
    ),
    "Denton et al., context-conditional GAN": Work(
        "Denton, Gross and Fergus, 2016", "adversarial inpainting together with labels", reason="needs labels"
    ),
    "Doersch et al., context": Work(
        "Doersch, Gupta and Efros, ICCV 2015", "where a patch lies beside another", "context"
    ),
    "Donahue et al., BiGAN": Work(
        "Donahue, Krähenbühl and Darrell, ICLR 2017", "the inverse of a generator of images", "bigan"
    ),
    "Dosovitskiy et al., exemplar": Work(
        "Dosovitskiy, Fischer, Springenberg, Riedmiller and Brox, TPAMI 2016",
        "which photo a varied patch is of",
        "exemplar",
    ),
    "Dundar et al., convolutional clustering": Work(
        "Dundar, Jin and Culurciello, 2015", "k-means of patches, layer by layer", reason="`kmeans` does conv1 alone"
    ),
    "Huang et al., attributes": Work(
        "Huang, Loy and Tang, CVPR 2016", "binary attributes that clusters share", reason="not built"
    ),
    "Jayaraman & Grauman, egomotion": Work(
        "Jayaraman and Grauman, ICCV 2015", "features that follow the camera's motion", reason="needs motion"
    ),
    "Krähenbühl et al., k-means": Work(
        "Krähenbühl, Doersch, Donahue and Darrell, ICLR 2016", "moments and clusters of some photos", "kmeans"
    ),
    "Krizhevsky et al., ImageNet labels": Work(
        "Krizhevsky, Sutskever and Hinton, NIPS 2012", "the labels of ImageNet", "supervised"
    ),
    "Krizhevsky et al., Places labels": Work(
        "Krizhevsky, Sutskever and Hinton, NIPS 2012", "the labels of Places", "supervised"
    ),
    "Larsson et al., colorization": Work(
        "Larsson, Maire and Shakhnarovich, CVPR 2017", "the colours of a grey photo, by hypercolumns", "colorization"
    ),
    "Noroozi & Favaro, jigsaw": Work("Noroozi and Favaro, ECCV 2016", "the order of shuffled tiles", "jigsaw"),
    "Noroozi et al., counting": Work(
        "Noroozi, Pirsiavash and Favaro, ICCV 2017", "counts of a photo that its tiles add up to", "counting"
    ),
    "Owens et al., sound": Work(
        "Owens, Wu, McDermott, Freeman and Torralba, ECCV 2016", "the sound of a video", reason="needs sound"
    ),
    "Pathak et al., inpainting": Work(
        "Pathak, Krähenbühl, Donahue, Darrell and Efros, CVPR 2016", "the missing middle of a photo", "inpainting"
    ),
    "Pathak et al., moving objects": Work(
        "Pathak, Girshick, Dollár, Darrell and Hariharan, CVPR 2017", "which pixels move together", reason="needs video"
    ),
    "Swersky et al., Bayesian optimization": Work(
        "Swersky, Snoek and Adams, NIPS 2013", "labels, with hyperparameters searched for", reason="needs labels"
    ),
    "Wang & Gupta, tracking": Work(
        "Wang and Gupta, ICCV 2015", "patches tracked through a video", reason="needs video"
    ),
    "Zhang et al., colorization": Work(
        "Zhang, Isola and Efros, ECCV 2016", "the colours of a grey photo", "colorization"
    ),
    "Zhang et al., split-brain": Work(
        "Zhang, Isola and Efros, CVPR 2017", "colours from lightness, lightness from colours", "split-brain"
    ),
    "Zhao et al., what-where": Work(
        "Zhao, Mathieu, Goroshin and LeCun, 2015", "reconstruction together with labels", reason="needs labels"
    ),
}
OWN = ("spot", "random")  # the paper's method, and random weights: rows that are of no other work


def here(method: str) -> str:
    """Return the method of `tf-spot compare` that stands for a row of the paper's tables; "-" where there is none."""
    return method if method in OWN else WORKS[method].ours or "-"
