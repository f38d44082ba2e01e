"""The wheel: pull, record, decide, deliver. Functions of an `Office`, a turn at a time."""
