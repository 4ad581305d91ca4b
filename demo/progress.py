"""The learners' progress, kept in SQLite: attempts at lessons, at most one open per learner and lesson."""

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS attempts (
    run_id TEXT PRIMARY KEY,
    student TEXT NOT NULL,
    lesson TEXT NOT NULL,
    answers TEXT NOT NULL DEFAULT '{}',
    started_at TEXT NOT NULL,
    finished_at TEXT,
    result TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS one_open_attempt ON attempts (student, lesson) WHERE finished_at IS NULL;
"""

ATTEMPTS = "SELECT run_id, answers, result FROM attempts WHERE student = ? AND lesson = ?"


class ProgressConflictError(Exception):
    """The request does not fit the state of the attempt; the message says which state and what to do."""


@dataclass(frozen=True)
class Attempt:
    """One attempt: a run, its answers, and once finished its result."""

    run_id: str
    answers: dict[str, str]
    result: dict[str, Any] | None


class ProgressStore:
    """All reads and writes are short; one connection serves the one event loop that calls them."""

    def __init__(self, database: Path | str) -> None:
        self._connection = sqlite3.connect(database, check_same_thread=False, autocommit=True)
        self._connection.executescript(SCHEMA)

    def close(self) -> None:
        self._connection.close()

    def latest(self, student: str, lesson: str) -> Attempt | None:
        """The open attempt if there is one, otherwise the one finished last."""
        return self._one(f"{ATTEMPTS} ORDER BY finished_at IS NULL DESC, finished_at DESC", student, lesson)

    def latest_finished(self, student: str, lesson: str) -> Attempt | None:
        return self._one(f"{ATTEMPTS} AND finished_at IS NOT NULL ORDER BY finished_at DESC", student, lesson)

    def open_attempt(self, student: str, lesson: str) -> Attempt:
        """The open attempt. Raises ProgressConflictError when there is none."""
        attempt = self.latest(student, lesson)
        if attempt is None or attempt.result is not None:
            raise ProgressConflictError('No attempt is open: post {"run_id": …} first.')
        return attempt

    def start(self, student: str, lesson: str, run_id: str) -> None:
        """Open an attempt; opening the same one again changes nothing."""
        try:
            self._connection.execute(
                "INSERT INTO attempts (run_id, student, lesson, started_at) VALUES (?, ?, ?, ?)",
                (run_id, student, lesson, _now()),
            )
        except sqlite3.IntegrityError:
            attempt = self.latest(student, lesson)
            if attempt is not None and attempt.result is None:
                if attempt.run_id == run_id:
                    return
                raise ProgressConflictError(f"Run {attempt.run_id} is open: resume it or finish it first.") from None
            raise ProgressConflictError(f"Run {run_id} is over: start a new attempt with a fresh run_id.") from None

    def save_answers(self, run_id: str, answers: dict[str, str]) -> None:
        """Add to the answers of a run; a later answer to a question replaces the earlier one."""
        self._connection.execute(
            "UPDATE attempts SET answers = json_patch(answers, ?) WHERE run_id = ?",
            (json.dumps(answers), run_id),
        )

    def finish(self, run_id: str, result: dict[str, Any]) -> None:
        self._connection.execute(
            "UPDATE attempts SET finished_at = ?, result = ? WHERE run_id = ?",
            (_now(), json.dumps(result), run_id),
        )

    def _one(self, query: str, student: str, lesson: str) -> Attempt | None:
        row = self._connection.execute(query, (student, lesson)).fetchone()
        return Attempt(row[0], json.loads(row[1]), json.loads(row[2]) if row[2] else None) if row else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
