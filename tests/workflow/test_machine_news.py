"""What the user is told of the machine: once, and in few lines."""

from __future__ import annotations

from workflow.execution.news import News


def test_losses_are_told_by_node_and_forgotten() -> None:
    news = News()
    for role in ("sampling", "labelling", "labelling"):
        news.repeated(role, "n7", "node")
    news.repeated("labelling", "n8", "worker")
    assert news.lines() == [
        "n7: no sign of life any more; 2 labelling and 1 sampling tasks begin again elsewhere",
        "n8: a worker died; 1 labelling task begins again elsewhere",
    ]
    assert news.lines() == []


def test_that_the_scheduler_is_silent_is_told_once_and_so_is_its_return() -> None:
    news = News()
    for silence in (None, None, "squeue: timed out", "squeue: timed out"):
        news.heard_of_scheduler(silence)
    (told,) = news.lines()
    assert told.startswith("the scheduler does not answer")
    assert told.endswith(": squeue: timed out")
    news.heard_of_scheduler("sbatch: refused")
    assert news.lines() == []
    for _ in range(2):
        news.heard_of_scheduler(None)
    assert news.lines() == ["the scheduler answers again"]
