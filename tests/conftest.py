"""What all tests share: examples of hypothesis have no deadline, since the machine may be busy with something else."""

from hypothesis import settings

settings.register_profile("quarterdeck", deadline=None, print_blob=True)
settings.load_profile("quarterdeck")
