"""The stack's dashboard, drawn from the emulator's CloudWatch."""
