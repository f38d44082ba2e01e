"""Who turns the wheel: threads of this process, or jobs over many machines.

`port` says what an engine is, and what it is given to turn. An engine decides only *when* and *where* a lane is
worked; that each effect happens once is the lanes' own doing (`sync.drain`), whatever an engine loses or repeats.
"""
