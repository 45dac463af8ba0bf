"""The doors to the world: artifacts of a run, storage, tracking, the database, alerts."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
