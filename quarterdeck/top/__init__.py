"""`qd top`: a desk on a terminal, drawn from its view (ipc/view/). What is drawn and what keys do is pure; terminal.py
and run.py have the terminal and the loop.
"""
