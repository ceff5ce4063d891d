"""Watching a training: a few samples every so often, what they measure, and a line of warning when it goes wrong."""

from crpo.watching.callback import Watch

__all__ = ["Watch"]
