"""The commands of `python -m minisk`, one a module: `add_to` describes its arguments, `run` carries it out.

`run` returns the exit status, None for 0; what goes wrong as a whole is raised, and told by `minisk.__main__`.
"""
