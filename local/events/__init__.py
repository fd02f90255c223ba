"""What feeds functions without a caller: queues polled, and schedules kept."""
