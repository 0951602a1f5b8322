"""Every reachable state of the kill switch, by breadth-first search over its real code: docs/kill-states.md."""
