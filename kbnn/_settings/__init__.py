"""Settings: frozen dataclasses whose fields say which values they take and what they mean.

Python, the command line, its help and JSON all read the same fields, so a setting is written once.
"""

from kbnn._settings.field import Field, default_of, setting
from kbnn._settings.settings import Settings, document_settings

__all__ = ["Field", "Settings", "default_of", "document_settings", "setting"]
