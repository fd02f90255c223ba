"""Event sources between services and functions: polled queues, schedules, and metrics read from the logs."""
