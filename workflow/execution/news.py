"""What happens to the machine under a campaign, told in lines: nodes and workers lost, a silent scheduler."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict


class News:
    """Gathers in any thread what the driver tells its user when it next asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._repeated: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._lines: list[str] = []
        self._silent = False

    def repeated(self, role: str, host: str, lost: str) -> None:
        """Take note that a task begins again since contact was lost with a ``worker`` or a ``node``."""
        with self._lock:
            self._repeated[host, lost][role] += 1

    def say(self, line: str) -> None:
        """Take note of anything else."""
        with self._lock:
            self._lines.append(line)

    def heard_of_scheduler(self, silence: str | None) -> None:
        """Take note of whether the scheduler answers (``None``), or what was said instead; told once."""
        with self._lock:
            if silence is not None and not self._silent:
                self._lines.append(
                    f"the scheduler does not answer; what runs goes on, new blocks must wait: {silence}"
                )
            if silence is None and self._silent:
                self._lines.append("the scheduler answers again")
            self._silent = silence is not None

    def lines(self) -> list[str]:
        """Return what there is to tell, and forget it."""
        with self._lock:
            lines = [_loss(*where, tasks) for where, tasks in sorted(self._repeated.items())]
            lines += self._lines
            self._repeated.clear()
            self._lines.clear()
            return lines


def _loss(host: str, lost: str, tasks: Counter[str]) -> str:
    count = " and ".join(f"{n} {role}" for role, n in sorted(tasks.items()))
    what = "no sign of life any more" if lost == "node" else "a worker died"
    return f"{host}: {what}; {count} {'task begins' if tasks.total() == 1 else 'tasks begin'} again elsewhere"
