"""Search: one function for every engine."""

from __future__ import annotations

from bogp.pipeline.vector_search import vector_search as search

__all__ = ["search"]
