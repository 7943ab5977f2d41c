"""Brings waiting jobs to free slots."""

from __future__ import annotations

from typing import Any

from scrapyd.poller import QueuePoller
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

log = Logger()


class Poller(QueuePoller):
    """Scrapyd's poller. It survives whatever a poll may raise; Scrapyd's timer ends for good at the first error."""

    def poll(self) -> Deferred[Any]:
        """Starts what waits, as far as slots are free."""
        return maybeDeferred(super().poll).addErrback(_survive)


def _survive(failure: Failure) -> None:
    error = f"{type(failure.value).__name__}: {failure.getErrorMessage()}"
    log.error("The queue could not be read and is asked again: {error}", error=error)
