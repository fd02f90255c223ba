"""What Lambda does: execution environments running the real runtime client, and pools of them that grow on demand."""
