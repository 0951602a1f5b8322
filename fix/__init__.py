"""The FIX engine: wire codec, session state machine, message store, transport."""
