"""A local cloud of a scenario's own, for what would spoil the others' measurements: releases, restores, alarms."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from stress.fixtures import UserFixtures
from stress.ledger import CallSample
from stress.load_generator import LoadGenerator
from stress.local_target import CloudOptions, LocalCloud
from stress.scenario_context import LocalScenarioContext

# An account outside SES's sandbox sends far more mails a second than the template's 1; their pace is not the point.
QUICK_MAIL = {"MailRate": "1000", "MailBurst": "1000"}


@asynccontextmanager
async def start_own_cloud(context: LocalScenarioContext, options: CloudOptions) -> AsyncIterator[LocalScenarioContext]:
    """Run another cloud within the block; yield the scenario's context on it. Raise TargetStartError.

    Checks, figures, notes and comparisons that are made on it are the scenario's own.
    """
    context.show_progress("starting a cloud of its own")
    if options.parameters:
        values = ", ".join(f"{name} {value}" for name, value in options.parameters.items())
        context.notes.append(f"On a cloud of its own, with {values}; all other parameters are the template's.")

    def note_sample(sample: CallSample) -> None:
        context.progress.note_answer(sample.is_expected)
        context.progress.note_lag(sample.lag_ms)

    cloud = LocalCloud(context.root, context.state / context.key, options)
    generator: LoadGenerator | None = None
    try:
        await cloud.start()
        generator = LoadGenerator(cloud.api, context.ledger, context.generator.clock, note_sample)
        fixtures = UserFixtures(cloud, generator.copy_for_scenario(f"{context.key}, setup"), context.call_factory)
        own = replace(
            context,
            target=cloud,
            generator=generator.copy_for_scenario(context.key),
            fixtures=fixtures,
            samples_wanted=0,
        )
        try:
            yield own
        finally:
            context.samples_wanted += own.samples_wanted
    finally:
        if generator is not None:
            await generator.close()
        await cloud.stop()
