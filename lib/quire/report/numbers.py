"""Numbers as a person reads them; pages and notebooks write them alike."""

from quire.page.numbers import number as number
