"""The predecessor in miniature, as its public facts have it: what `stress` compares the service with.

One process of FastAPI and uvicorn, a pool of ten connections for which requests queue, no retry, no breaker, and each
mail sent within the request that causes it. It shares no code with the service or with the harness: only the schema of
the database, and the requests and answers.
"""
