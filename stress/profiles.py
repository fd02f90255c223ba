"""The sizes of a run. `full` judges all; `short` is for every commit, `control` for a broken system."""

from dataclasses import dataclass

# Outside its sandbox SES gives each account its own rate, often this one. The template has the sandbox's, 1.
PRODUCTION_MAIL_RATE = 14


@dataclass(frozen=True)
class Profile:
    """Sizes and times, in seconds.

    `judges_speed`: whether latencies and capacities are held against their bars. Few samples on a busy machine are no
    evidence of a 95th percentile, so a short run shows them and judges only counts, rows and ratios of one run.
    """

    name: str
    expected_s: float
    judges_speed: bool
    burst_size: (
        int  # writes at the same instant in the pool's scenario; each needs an environment, which takes time to start
    )
    pool_steps: tuple[int, ...]  # server connections; in the full run from the predecessor's ten to fifty
    runs_long_checks: bool  # ages of connections, dead hosts, keys whose first call died
    compares: bool  # with the predecessor in miniature
    mix_rounds: int  # in each trouble: all of 55 accepted calls leave 94.7 % possible, all of 110 leave 97.3 %
    open_s: float  # of the circuit before mail
    alarm_period_s: int  # of the copy of the deployed alarm, which has 60
    waits_for_refill: bool  # a whole period of a limit, to see the full bucket again
    waits_for_deployed_alarm: (
        bool  # wait for the alarm as deployed (three periods of 60 s), besides its copy with short periods
    )
    database_away_s: float
    users_s: float
    user_count: int
    mail_rate: int  # mails a second that the cloud's mail service takes
    priority_rounds: int  # unloaded and flooded alternate, so that a slow period of the machine affects both; 4 or more
    flood: int  # low jobs at least; more if the system does them so fast that they would not last
    rehearses: bool  # a release, a restore and alarms, each on a cloud of its own
    jobs_timeout_s: float  # the longest wait for the end of all jobs: a killed relay's lease and two sweeps


FULL = Profile(
    name="full",
    expected_s=1120,
    judges_speed=True,
    burst_size=50,
    pool_steps=(10, 25, 50),
    runs_long_checks=True,
    compares=True,
    mix_rounds=2,
    open_s=6,
    alarm_period_s=10,
    waits_for_refill=True,
    waits_for_deployed_alarm=True,
    database_away_s=20,
    users_s=60,
    user_count=50,
    mail_rate=PRODUCTION_MAIL_RATE,
    priority_rounds=8,
    flood=1000,
    rehearses=True,
    jobs_timeout_s=150,
)
SHORT = Profile(
    name="short",
    expected_s=270,
    judges_speed=False,
    burst_size=30,
    pool_steps=(6, 30),
    runs_long_checks=False,
    compares=False,
    mix_rounds=1,
    open_s=3,
    alarm_period_s=5,
    waits_for_refill=False,
    waits_for_deployed_alarm=False,
    database_away_s=4,
    users_s=6,
    user_count=10,
    mail_rate=PRODUCTION_MAIL_RATE,
    priority_rounds=4,
    flood=1000,
    rehearses=False,
    jobs_timeout_s=150,
)
CONTROL = Profile(
    name="control",
    expected_s=40,
    judges_speed=False,
    burst_size=30,
    pool_steps=(6, 30),
    runs_long_checks=True,
    compares=False,
    mix_rounds=1,
    open_s=3,
    alarm_period_s=5,
    waits_for_refill=False,
    waits_for_deployed_alarm=False,
    database_away_s=4,
    users_s=5,
    user_count=10,
    mail_rate=PRODUCTION_MAIL_RATE,
    priority_rounds=4,
    flood=1000,
    rehearses=True,
    jobs_timeout_s=30,
)
PROFILES = {profile.name: profile for profile in (FULL, SHORT, CONTROL)}
