"""Progress of work in rounds."""

from __future__ import annotations

from tf_spot.evaluation.work_progress import WorkProgress


def test_rounds_add_up_whether_done_in_units_in_shares_or_found_finished() -> None:
    told: list[tuple[int, int, str]] = []
    progress = WorkProgress(lambda *line: told.append(line), rounds=3, round_size=10)
    progress.begin("probing spot")
    progress.advance(2.4)
    progress.advance(2.4)
    progress.end()
    progress.begin("finetuning from random")
    progress.share_done(0.5)
    progress.end()
    progress.end()  # a cached result: nothing but its end
    assert told == [
        (0, 30, "probing spot"), (2, 30, "probing spot"), (5, 30, "probing spot"), (10, 30, "probing spot"),
        (10, 30, "finetuning from random"), (15, 30, "finetuning from random"), (20, 30, "finetuning from random"),
        (30, 30, "finetuning from random"),
    ]  # fmt: skip


def test_nobody_need_listen() -> None:
    progress = WorkProgress(None)
    progress.begin("x")
    progress.share_done(1.0)
    progress.end()
    assert progress.total == 1_000
