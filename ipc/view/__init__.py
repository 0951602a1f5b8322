"""The state of a desk as people see it: one tree of structs (structs.py), told by a pure model (model.py) from events,
journals and shared memory (eyes.py). `qd top` draws it on a terminal, the monitor on a page.
"""
