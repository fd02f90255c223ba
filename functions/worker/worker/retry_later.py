"""Refused for the moment by a guard of our own, before anything was asked of the guarded service."""


class RetryLater(Exception):
    """Nothing was done, and it is worth asking again `delay_s` seconds from now; `code` names the guard's reason."""

    def __init__(self, code: str, delay_s: float) -> None:
        super().__init__(code)
        self.code = code
        self.delay_s = delay_s
