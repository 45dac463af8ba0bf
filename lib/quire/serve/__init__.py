"""Predictions: one code path for the batch and for the service, and the log of both."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
