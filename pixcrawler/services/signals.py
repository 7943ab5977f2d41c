"""Signals that ask to stop, in the words of asyncio."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeVar

Value = TypeVar("Value")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))


@contextmanager
def on_signal(handle: Callable[[], object]) -> Iterator[None]:
    """Calls `handle` in the running loop at each SIGINT, SIGTERM or SIGHUP."""
    loop = asyncio.get_running_loop()
    before = _handlers()
    _set_handlers(dict.fromkeys(before, lambda *_: loop.call_soon_threadsafe(handle)))
    try:
        yield
    finally:
        _set_handlers(before)


async def serve(service: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Runs a service whose event is set by the first signal; the second one raises `KeyboardInterrupt`."""
    stop = asyncio.Event()
    task = asyncio.ensure_future(service(stop))
    with on_signal(lambda: task.cancel() if stop.is_set() else stop.set()):
        try:
            await task
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


@contextmanager
def calm_exit(context: AbstractContextManager[Value]) -> Iterator[Value]:
    """Enters `context`, and leaves it without listening to signals: a second Ctrl-C cannot cut its clean-up short."""
    before = _handlers()
    with ExitStack() as stack:
        stack.callback(_set_handlers, before)
        value = stack.enter_context(context)
        stack.callback(_set_handlers, dict.fromkeys(before, signal.SIG_IGN))
        yield value


def unwind_on_signals() -> None:
    """Makes SIGTERM and SIGHUP raise `KeyboardInterrupt` like SIGINT, so that whatever was entered is left."""
    _set_handlers(dict.fromkeys(_handlers(), signal.default_int_handler))


def _handlers() -> dict[signal.Signals, Any]:
    """The signals that ask to stop and who hears them, without a SIGHUP that nohup has switched off."""
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    return {
        number: handler
        for number, handler in handlers.items()
        if number in (signal.SIGINT, signal.SIGTERM) or handler is not signal.SIG_IGN
    }


def _set_handlers(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
