"""What runs PixCrawler on one machine: the parts, their supervisor, and how a service hears that it should stop."""

from pixcrawler.services.parts import free_port, local_parts
from pixcrawler.services.signals import calm_exit, serve, unwind_on_signals
from pixcrawler.services.supervisor import Part, supervise

__all__ = ["Part", "calm_exit", "free_port", "local_parts", "serve", "supervise", "unwind_on_signals"]
