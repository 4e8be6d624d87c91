"""Answers given before: good for as long as nobody has committed a change."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from panelcal.storage.reader import Reader

Answer = TypeVar("Answer")

MOST_QUESTIONS = 512
"""More than a job asks about; an answer of 32 panels takes some 30 kB."""


class Memory(threading.local, Generic[Answer]):
    """Answers to questions that are asked repeatedly, as each thread has seen the database.

    Parameters
    ----------
    reader : Reader
        Asked each time whether anything was committed since.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._version: tuple[int, int | str] | None = None
        self._answers: dict[Hashable, Answer | None] = {}

    def recall(self, question: Hashable, ask: Callable[[], Answer]) -> Answer:
        """Return the answer to a question, asking if nothing remembered holds.

        An answer is kept from the second time on: a question that is asked once
        does not pay for the version. That is looked up *before* the question is
        asked, so that what is committed meanwhile can only make an answer newer.
        """
        if question not in self._answers:
            if len(self._answers) >= MOST_QUESTIONS:
                self._answers.clear()
            self._answers[question] = None
            return ask()
        version = self._reader.version()
        if version != self._version:
            self._version, self._answers = version, dict.fromkeys(self._answers)
        answer = self._answers[question]
        if answer is None:
            answer = self._answers[question] = ask()
        return answer
