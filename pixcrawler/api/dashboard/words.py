"""States and reasons as people say them, and in which colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pixcrawler.db.overview import Job, Progress
from pixcrawler.jobs import AttemptState, ExportState, JobState, Reason, RunState


class Said(NamedTuple):
    """A state in a word or two."""

    text: str
    tone: str  # a class of style sheet: quiet, busy, good, warn or bad


JOBS: Mapping[str, Said] = {
    JobState.PENDING: Said("waiting", "quiet"),
    "running": Said("crawling", "busy"),  # as its row in `public` says before it is claimed
    JobState.CRAWLING: Said("crawling", "busy"),
    JobState.CANCELLING: Said("stopping", "warn"),
    JobState.EXPORTING: Said("packing", "busy"),
    JobState.COMPLETED: Said("complete", "good"),
    JobState.FAILED: Said("failed", "bad"),
    JobState.CANCELLED: Said("cancelled", "quiet"),
}
RUNS: Mapping[str, Said] = {
    RunState.PENDING: Said("waiting", "quiet"),
    RunState.RUNNING: Said("at work", "busy"),
    RunState.DEFERRED: Said("pausing", "warn"),
    RunState.SUCCEEDED: Said("brought its share", "good"),
    RunState.SHORT: Said("found no more", "warn"),
    RunState.FAILED: Said("failed", "bad"),
    RunState.CANCELLED: Said("cancelled", "quiet"),
}
ATTEMPTS: Mapping[str, Said] = {
    AttemptState.DISPATCHING: Said("being sent", "quiet"),
    AttemptState.DISPATCHED: Said("sent", "quiet"),
    AttemptState.RUNNING: Said("at work", "busy"),
    AttemptState.SUCCEEDED: Said("succeeded", "good"),
    AttemptState.SHORT: Said("found no more", "warn"),
    AttemptState.FAILED: Said("failed", "bad"),
    AttemptState.DEFERRED: Said("paused", "warn"),
    AttemptState.CANCELLED: Said("cancelled", "quiet"),
    AttemptState.LOST: Said("lost", "bad"),
    AttemptState.UNDELIVERED: Said("not delivered", "warn"),
}
EXPORTS: Mapping[str, Said] = {
    ExportState.PENDING: Said("waiting", "quiet"),
    ExportState.BUILDING: Said("being built", "busy"),
    ExportState.DONE: Said("ready", "good"),
    ExportState.FAILED: Said("failed", "bad"),
    ExportState.CANCELLED: Said("cancelled", "quiet"),
    ExportState.REMOVED: Said("removed", "quiet"),
}

REASONS: Mapping[str, str] = {
    "open": "not decided yet",
    Reason.DUPLICATE_URL: "another run met the same address",
    Reason.DUPLICATE_BYTES: "the same file is kept already",
    Reason.NEAR_DUPLICATE: "a picture that looks the same is kept already",
    Reason.REPLACED: "was kept until a better copy came",
    Reason.TOO_SMALL: "a side is too short",
    Reason.ASPECT: "too long for its width",
    Reason.NOT_AN_IMAGE: "no JPEG, PNG, WebP or GIF, whatever its name",
    Reason.DAMAGED: "incomplete or broken",
    Reason.BOMB: "more pixels or frames than a picture needs",
    Reason.TOO_LARGE: "a file of more than 25 MiB",
    Reason.FORMAT: "an image of a format the job does not want",
    Reason.ANIMATED: "moves, and the job wants still images",
    Reason.TRAILING_DATA: "there is more in the file than the image",
    Reason.BLANK: "nothing to be seen: all of one shade",
    Reason.DARK: "nothing to be seen: too dark",
    Reason.BRIGHT: "nothing to be seen: too bright",
    Reason.BLURRED: "nowhere sharp",
    Reason.PLACEHOLDER: "says that there is no image",
    Reason.LICENCE: "not under a licence the job may use",
    Reason.FILTER: "not of the size or aspect the job wants",
    Reason.ROBOTS: "its host reserves it in robots.txt",
    Reason.TDMREP: "its host reserves it in tdmrep.json",
    Reason.AI_TXT: "its host reserves it in ai.txt",
    Reason.X_ROBOTS_TAG: "reserved by the header X-Robots-Tag",
    Reason.TDM_RESERVATION: "reserved by the header tdm-reservation",
    Reason.DATA_MINING: "reserved in the file itself",
    Reason.BAD_URL: "not an address",
    Reason.FIREWALL: "leads outside the public internet",
    Reason.HTTP_ERROR: "its host says that it is not there",
    Reason.SERVER_ERROR: "its host failed",
    Reason.TIMEOUT: "not there in 20 seconds",
    Reason.UNREACHABLE: "its host does not answer",
    Reason.CRASHED: "ended the process that looked at it",
    Reason.OVER_QUOTA: "good, but the job had enough",
    Reason.CANCELLED: "the job was cancelled",
    Reason.ABANDONED: "its run failed before it came to it",
    Reason.PAUSED: "its host asked for too long a pause",
    Reason.WITHDRAWN: "was taken back",
}


def job(seen: Job | Progress) -> Said:
    """How a job is."""
    if seen.state == JobState.COMPLETED and seen.outcome == "short":
        return Said("came short", "warn")
    return JOBS[seen.state] if seen.state in JOBS else Said(seen.state, "quiet")


def sentence(seen: Job | Progress) -> str:
    """How a job is, as a sentence."""
    kept, asked = f"{seen.kept:,}", f"{seen.asked:,}"
    match seen.state:
        case JobState.PENDING:
            return f"It waits for its turn. {asked} images are wanted."
        case JobState.CRAWLING | "running":
            return f"{kept} of {asked} images are there, and more are looked for."
        case JobState.CANCELLING:
            return f"It is being stopped. {kept} images are kept."
        case JobState.EXPORTING:
            return f"{kept} of {asked} images are there; the dataset is being packed."
        case JobState.COMPLETED if seen.outcome == "short":
            return f"{kept} of {asked} images are there, and no more are to be had."
        case JobState.COMPLETED:
            return f"All {asked} images are there."
        case JobState.CANCELLED:
            return f"It was stopped. {kept} of {asked} images are kept."
        case JobState.FAILED:
            return f"It came to nothing: {kept} of {asked} images are kept, and there is no dataset."
        case _:
            return f"{kept} of {asked} images are there."


def plain(name: str) -> str:
    """A name of a program's, for people: `near_duplicate`."""
    return name.replace("_", " ")
