"""The model server. What the author of a Python model needs is importable from here, and costs nothing to import."""

from everwarm_server.errors import InvalidInput, Overloaded

__all__ = ["InvalidInput", "Overloaded"]
