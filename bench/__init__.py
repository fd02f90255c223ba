"""The benchmark: what a call and a start cost, beside what people would use instead; `make bench`.

It starts each stack in processes of its own, as Lambda does, and imports nothing of what it measures.
"""
