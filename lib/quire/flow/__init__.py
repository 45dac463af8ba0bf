"""The runner: graph, cache, kernels, runs and their publication. It knows nothing of data or models."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
