from . import alarms as alarms
from . import archive as archive
from . import artifacts as artifacts
from . import database as database
from . import lease as lease
from . import notify as notify
from . import storage as storage
from . import tracking as tracking
