"""Health: the checks for load balancers, alarms and people."""
