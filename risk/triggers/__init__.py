"""The kill switch's triggers: one module for each family of figures, one mechanism for all of them (watch.py). Pure."""
