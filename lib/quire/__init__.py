"""Quire: a notebook-driven machine-learning workflow.

Notebooks write ``from quire import artifacts, config, data, model, report``. Names are handed on lazily, so that
importing the package costs nothing: the names live in the ``.pyi`` beside each ``__init__``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
