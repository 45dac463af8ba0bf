"""HTML pages: templates and one style sheet, so that every page looks like one product."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
