"""The desk's web page: server, sign-in, live state and the way to the kill switch. The process is procs/monitor.py."""
