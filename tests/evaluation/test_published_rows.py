"""The numbers of the paper's tables, some of each written here a second time, and all of them plausible."""

from __future__ import annotations

from tf_spot.evaluation.published_rows import TABLE_2, TABLE_3, TABLE_4, TABLE_5


def test_rows_written_a_second_time() -> None:
    assert TABLE_2["Denton et al., context-conditional GAN"] == {"own network": (77.8, 0.8)}
    assert TABLE_2["Zhao et al., what-where"] == {"own network": (74.3, None)}
    assert TABLE_3["Krizhevsky et al., ImageNet labels"] == (79.9, 56.8, 48.0)
    assert TABLE_3["Krähenbühl et al., k-means"] == (56.6, 45.6, 32.6)
    assert TABLE_3["Pathak et al., moving objects"] == (61.0, 52.2, None)
    assert TABLE_3["Jayaraman & Grauman, egomotion"] == (None, 41.7, None)
    assert TABLE_4["Noroozi et al., counting"] == (18.0, 30.6, 34.3, 32.5, 25.7)
    assert TABLE_4["Zhang et al., split-brain"] == (17.7, 29.3, 35.4, 35.2, 32.8)
    assert TABLE_5["Owens et al., sound"] == (19.9, 29.3, 32.1, 28.8, 29.8)
    assert TABLE_5["Krizhevsky et al., Places labels"] == (22.1, 35.1, 40.2, 43.3, 44.6)


def test_no_row_is_missing_or_twice() -> None:
    """As many rows as the paper's tables have, no two alike."""
    assert [len(table) for table in (TABLE_2, TABLE_3, TABLE_4, TABLE_5)] == [7, 18, 11, 14]
    for table in (TABLE_3, TABLE_4, TABLE_5):
        assert len(set(table.values())) == len(table)


def test_the_paper_is_where_it_says_it_is() -> None:
    """Ahead of all methods without labels in classification and segmentation of VOC and on every layer of ImageNet; in
    detection behind the jigsaw."""
    labelled = {"Krizhevsky et al., ImageNet labels", "Krizhevsky et al., Places labels"}
    others = {name: row for name, row in TABLE_3.items() if name not in {"spot", *labelled}}
    for column, leads in ((0, True), (1, False), (2, True)):
        best = max(row[column] or 0 for row in others.values())
        assert ((TABLE_3["spot"][column] or 0) > best) == leads
    for layer in range(5):
        best = max(row[layer] for name, row in TABLE_4.items() if name not in {"spot", *labelled})
        assert TABLE_4["spot"][layer] > best
