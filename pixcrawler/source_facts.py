"""What is known of a source, for programs: what it needs, what it brings, how its last check ended."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pixcrawler.config import Config, source_key
from pixcrawler.terms import Source


def has_key(source: Source) -> bool:
    """Whether the operator has what the source asks for with every request."""
    return source.key is None or source_key(source.key) is not None


def facts(source: Source, description: str, check: Any, config: Config) -> dict[str, Any]:
    """All that is known of a source; of its key only the variable. `check` is its row in `crawler.sources`, or None."""
    health = {"state": check.state, "reason": check.reason, "checked_at": check.checked_at} if check else None
    return {
        "name": source.name,
        "description": description,
        "key": {"variable": source.key.variable, "present": has_key(source)} if source.key else None,
        "terms": asdict(source.terms),
        "consent": source.name in config.accept_terms if source.terms.consent else None,
        "cap": source.cap,
        "needs_list": source.needs_list,
        "fields": list(source.fields),
        "filters": {name: list(values) for name, values in source.filters.items()},
        "check": health,
    }
