"""The numbers of the paper's Tables 2 to 5, in percent.

Source: Jenni and Favaro, "Learning to Spot Artifacts", CVPR 2018, read in a published summary of the paper. The rows of
other works are as the paper has them. The paper's own row and random weights come first, the others in its order; names
are those of `published_works`.
"""

from __future__ import annotations

OWN_NETWORK = "own network"  # column of works that were measured with another network than the paper's

# STL-10: accuracy and its standard deviation over the ten folds, None where the paper gives none.
TABLE_2: dict[str, dict[str, tuple[float, float | None]]] = {
    "spot": {"conv5": (76.9, 0.2), "finetuned": (80.1, 0.3)},
    "Dosovitskiy et al., exemplar": {OWN_NETWORK: (74.2, 0.4)},
    "Dundar et al., convolutional clustering": {OWN_NETWORK: (74.1, None)},
    "Huang et al., attributes": {OWN_NETWORK: (76.8, 0.3)},
    "Swersky et al., Bayesian optimization": {OWN_NETWORK: (70.1, 0.6)},
    "Zhao et al., what-where": {OWN_NETWORK: (74.3, None)},
    "Denton et al., context-conditional GAN": {OWN_NETWORK: (77.8, 0.8)},
}

# PASCAL VOC, finetuned. Classification and detection: mean average precision, 2007. Segmentation: mean intersection
# over union, 2012.
TABLE_3_COLUMNS = ("classification", "detection", "segmentation")
TABLE_3: dict[str, tuple[float | None, float | None, float | None]] = {
    "spot": (69.8, 52.5, 38.1),
    "random": (53.3, 43.4, 19.8),
    "Krizhevsky et al., ImageNet labels": (79.9, 56.8, 48.0),
    "Agrawal et al., egomotion": (54.2, 43.9, None),
    "Bojanowski & Joulin, noise as targets": (65.3, 49.4, None),
    "Doersch et al., context": (65.3, 51.1, None),
    "Donahue et al., BiGAN": (60.1, 46.9, 35.2),
    "Jayaraman & Grauman, egomotion": (None, 41.7, None),
    "Krähenbühl et al., k-means": (56.6, 45.6, 32.6),
    "Larsson et al., colorization": (65.9, None, 38.0),
    "Noroozi & Favaro, jigsaw": (67.6, 53.2, 37.6),
    "Noroozi et al., counting": (67.7, 51.4, 36.6),
    "Owens et al., sound": (61.3, 44.0, None),
    "Pathak et al., inpainting": (56.5, 44.5, 29.7),
    "Pathak et al., moving objects": (61.0, 52.2, None),
    "Wang & Gupta, tracking": (63.1, 47.4, None),
    "Zhang et al., colorization": (65.9, 46.9, 35.6),
    "Zhang et al., split-brain": (67.1, 46.7, 36.0),
}

# Accuracy of linear classifiers on frozen conv1 ... conv5.
Linear = dict[str, tuple[float, float, float, float, float]]
TABLE_4: Linear = {  # ImageNet
    "spot": (19.5, 33.3, 37.9, 38.9, 34.9),
    "random": (11.6, 17.1, 16.9, 16.3, 14.1),
    "Krizhevsky et al., ImageNet labels": (19.3, 36.3, 44.2, 48.3, 50.5),
    "Doersch et al., context": (16.2, 23.3, 30.2, 31.7, 29.6),
    "Donahue et al., BiGAN": (17.7, 24.5, 31.0, 29.9, 28.0),
    "Krähenbühl et al., k-means": (17.5, 23.0, 24.5, 23.2, 20.6),
    "Noroozi & Favaro, jigsaw": (18.2, 28.8, 34.0, 33.9, 27.1),
    "Noroozi et al., counting": (18.0, 30.6, 34.3, 32.5, 25.7),
    "Pathak et al., inpainting": (14.1, 20.7, 21.0, 19.8, 15.5),
    "Zhang et al., colorization": (13.1, 24.8, 31.0, 32.6, 31.8),
    "Zhang et al., split-brain": (17.7, 29.3, 35.4, 35.2, 32.8),
}
TABLE_5: Linear = {  # Places205
    "spot": (23.3, 34.3, 36.9, 37.3, 34.4),
    "random": (15.7, 20.3, 19.8, 19.1, 17.5),
    "Krizhevsky et al., Places labels": (22.1, 35.1, 40.2, 43.3, 44.6),
    "Krizhevsky et al., ImageNet labels": (22.7, 34.8, 38.4, 39.4, 38.7),
    "Doersch et al., context": (19.7, 26.7, 31.9, 32.7, 30.9),
    "Donahue et al., BiGAN": (22.0, 28.7, 31.8, 31.3, 29.7),
    "Krähenbühl et al., k-means": (21.4, 26.2, 27.1, 26.1, 24.0),
    "Noroozi & Favaro, jigsaw": (23.0, 31.9, 35.0, 34.2, 29.3),
    "Noroozi et al., counting": (23.3, 33.9, 36.3, 34.7, 29.6),
    "Owens et al., sound": (19.9, 29.3, 32.1, 28.8, 29.8),
    "Pathak et al., inpainting": (18.2, 23.2, 23.4, 21.9, 18.4),
    "Wang & Gupta, tracking": (20.1, 28.5, 29.9, 29.7, 27.9),
    "Zhang et al., colorization": (16.0, 25.7, 29.6, 30.3, 29.7),
    "Zhang et al., split-brain": (21.3, 30.7, 34.0, 34.1, 32.5),
}
