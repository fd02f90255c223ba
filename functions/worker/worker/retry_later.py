"""The exception for calls that a rate limiter has postponed before the service was called."""


class RetryLater(Exception):
    """Nothing was done; repeat the job in `delay_s` seconds. `code` names the reason."""

    def __init__(self, code: str, delay_s: float) -> None:
        super().__init__(code)
        self.code = code
        self.delay_s = delay_s
