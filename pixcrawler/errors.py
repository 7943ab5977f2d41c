"""Every error PixCrawler raises on purpose.

PixCrawlerError
├── UsageError             wrong use: a bad argument, setting or list file; exit status 2
├── DatabaseUnavailable    the database cannot be reached; try again or exit status 2
├── SchemaMismatch         the database lacks something we need; exit status 2
├── NodeUnavailable        Scrapyd did not answer, or not in time: the outcome is unknown, ask again
│   └── NodeDown           there was no connection at all: nothing was started
├── NodeRefused            Scrapyd answered "error": the outcome is known, nothing was started
├── NotAnImage             the bytes are no image we accept; its reason says why
├── SourceRefused          a source answered something no page can be read from; the run fails
├── SourceSaysLater        a source asked for a pause; the run is deferred
├── LeaseLost              the attempt is not ours any more: stop at once
├── StorageFailed          a file could not be stored or read; the run or export fails
├── LinkRefused            a link was changed, or is over
├── ExportFailed           a dataset could not be built or verified
└── NotDelivered           a mail or webhook was not taken; it is tried again, or given up
"""


class PixCrawlerError(Exception):
    """The root. Its message is one line and fit for the person who reads the terminal."""


class UsageError(PixCrawlerError):
    """Raised where input of a person is checked; ends the command with exit status 2."""


class DatabaseUnavailable(PixCrawlerError):
    """Raised by db.engine when no connection can be made."""


class SchemaMismatch(PixCrawlerError):
    """Raised by db.check; names every table and column that is missing or different."""


class NodeUnavailable(PixCrawlerError):
    """Raised by dispatcher.scrapyd when a node cannot be reached or does not answer in time."""


class NodeDown(NodeUnavailable):
    """Raised by dispatcher.scrapyd when no connection was made."""


class NodeRefused(PixCrawlerError):
    """Raised by dispatcher.scrapyd for an answer with `status: error`."""


class NotAnImage(PixCrawlerError):
    """Raised by imaging; carries the `Reason` the funnel counts."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


class SourceRefused(PixCrawlerError):
    """Raised by a spider's page reading; fails the run with its message."""


class SourceSaysLater(PixCrawlerError):
    """Raised by a spider's page reading; `seconds` until the source may be asked again."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message, seconds)
        self.message = message
        self.seconds = seconds

    def __str__(self) -> str:
        return self.message


class LeaseLost(PixCrawlerError):
    """Raised by a ledger when its attempt, job state or generation no longer allows writing."""


class StorageFailed(PixCrawlerError):
    """Raised by storage; its message names the key and the cause, such as a full disk."""


class LinkRefused(PixCrawlerError):
    """Raised by storage.links for a link it did not sign, or whose time is over."""


class ExportFailed(PixCrawlerError):
    """Raised by export when a dataset cannot be built or fails its own check."""


class NotDelivered(PixCrawlerError):
    """Raised by outbox; `for_good`: the receiver would say the same the next time."""

    def __init__(self, reason: str, *, for_good: bool = False) -> None:
        super().__init__(reason)
        self.for_good = for_good
