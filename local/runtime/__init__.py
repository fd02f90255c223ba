"""Lambda's part: execution environments with the real runtime client, and pools of them that grow on demand."""
