"""Chapter 5: writes that are counted, and saved arrays that notice."""


class Version:
    """The number of writes to one piece of memory."""

    def __init__(self):
        self.writes = 0


class Counted:
    """An array whose writes are counted; views share the counter of their memory."""

    def __init__(self, data, version=None):
        self.data = data
        self.version = version or Version()

    def view(self, part):
        return Counted(self.data[part], self.version)

    def write(self, part, value):
        self.data[part] = value
        self.version.writes += 1


class Saved:
    """An array saved for backward, and how often its memory was written to before."""

    def __init__(self, counted):
        self.counted = counted
        self.writes = counted.version.writes

    def unpack(self):
        if self.counted.version.writes != self.writes:
            raise RuntimeError("a saved array was changed in place")
        return self.counted.data
