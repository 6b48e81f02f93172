"""What can go wrong between us and the database, each a one-line message that names the thing and the remedy.

WarehouseError
├── WarehouseConfigError    a variable or folder that cannot be used (exit 2)
└── WarehouseUnavailable    the server cannot be started, reached or is too old (exit 1)
"""


class WarehouseError(Exception):
    """Base of this room's errors."""


class WarehouseConfigError(WarehouseError):
    """A setting cannot be used as it stands."""


class WarehouseUnavailable(WarehouseError):
    """The database cannot be started or reached."""
