"""What stands between functions and services: queues polled, schedules kept, and metrics taken from the logs."""
