"""Health: what load balancers, alarms and people ask; and the API's description."""
