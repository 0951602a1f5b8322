"""The session layer's rules as scripts, and a player that holds an engine against them: docs/fix-scenarios.md."""
