"""The exception for calls that a guard of ours put off, before the guarded service was asked."""


class RetryLater(Exception):
    """Nothing was done, and it is worth asking again `delay_s` seconds from now; `code` names the guard's reason."""

    def __init__(self, code: str, delay_s: float) -> None:
        super().__init__(code)
        self.code = code
        self.delay_s = delay_s
