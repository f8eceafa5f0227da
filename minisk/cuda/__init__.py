"""Array-level functions behind the operations, and (from here on down) everything that makes them fast."""
