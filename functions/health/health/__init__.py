"""Health: the check that load balancers, alarms and people ask for."""
