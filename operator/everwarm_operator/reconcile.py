"""One ModelService in one pass: child -> observation -> decision -> status -> floor -> wake-up -> event.

The order is on purpose: the status, with the new floor, is written before the floor is. An operator that dies between
the two finds the decision in the status and finishes the work; the other way round it would lower what it just raised.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pydantic

from everwarm_operator import claims, events, floor, observe, planning, report, wake
from everwarm_operator.api import conditions
from everwarm_operator.api.v1alpha1 import ModelService
from everwarm_operator.claims import Progress
from everwarm_operator.errors import InvalidSpec, KubeError, NotLeader, OperatorError, WakeError
from everwarm_operator.events import News
from everwarm_operator.facts import MIN_SCALE, Raw, ServiceFacts
from everwarm_operator.facts import key as key_of
from everwarm_operator.floor import Leftover, RevisionPlan, Target
from everwarm_operator.kube import Kube
from everwarm_operator.observe import Readings
from everwarm_operator.resources import knative
from everwarm_operator.settings import Settings
from everwarm_operator.telemetry import Telemetry
from everwarm_operator.wake import Waker
from everwarm_planner.history import Series
from everwarm_planner.memory import Memory

logger = logging.getLogger(__name__)

_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Known:
    """What Prometheus says in this pass: of now, and (once, after a start) of the past of one service."""

    readings: Readings
    past: Series | None = None


@dataclass(slots=True)
class _State:
    """What is remembered of one service between passes; all but the memory may be lost without harm."""

    memory: Memory | None = None
    written: dict[str, int] = field(default_factory=dict)
    short_since: dict[str, float] = field(default_factory=dict)
    woken_at: dict[str, float] = field(default_factory=dict)
    wake_errors: dict[str, str] = field(default_factory=dict)
    write_error: str | None = None
    progress: Progress = field(default_factory=Progress)

    def look_back(self, plans: tuple[RevisionPlan, ...], now: float) -> Progress:
        """Compare what was written with what stands."""
        short = {plan.name for plan in plans if plan.live == plan.floor and plan.replicas < plan.floor}
        self.short_since = {name: self.short_since.get(name, now) for name in short}
        self.woken_at = {name: at for name, at in self.woken_at.items() if name in short}
        self.wake_errors = {name: error for name, error in self.wake_errors.items() if name in short}
        return Progress(
            write_error=self.write_error,
            reverted=tuple(plan.name for plan in plans if self.written.get(plan.name, plan.live) != plan.live),
            short_seconds={name: now - since for name, since in self.short_since.items()},
            wake_errors=dict(self.wake_errors),
        )


class Reconciler:
    """Does a pass's work for one service, and never lets its trouble out.

    Args:
        kube: the cluster.
        waker: who wakes revisions.
        settings: the image of services that name none, and the window of an observation.
        telemetry: where to count.
        instance: name of this process, for events.
    """

    def __init__(self, kube: Kube, waker: Waker, settings: Settings, telemetry: Telemetry, instance: str) -> None:
        self._kube = kube
        self._waker = waker
        self._server_image = settings.server_image
        self._window_seconds = settings.window_seconds
        self._telemetry = telemetry
        self._instance = instance
        self._states: dict[str, _State] = {}

    async def service(self, raw: Raw, facts: ServiceFacts | OperatorError, known: Known, now: float) -> None:
        """Reconcile; trouble becomes the condition Ready=False.

        Args:
            raw: the ModelService as listed.
            facts: of its children, or why they are not known.
            known: what Prometheus says.
            now: unix time.
        """
        if raw["metadata"].get("deletionTimestamp"):
            return
        try:
            if isinstance(facts, OperatorError):
                raise facts
            await self._reconcile(raw, facts, known, now)
        except pydantic.ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors())
            await self._failed(raw, "InvalidSpec", f"This spec can't be served: {problems}", now)
        except NotLeader:
            return  # whoever leads by now does the rest
        except InvalidSpec as error:
            await self._failed(raw, "InvalidSpec", str(error), now)
        except OperatorError as error:
            await self._failed(raw, "ReconcileFailed", str(error), now)
        except Exception as error:  # one service's bug must not stop the others; it is logged and shown
            logger.exception("A pass failed for %s", key_of(raw))
            await self._failed(raw, "InternalError", f"The operator failed: {type(error).__name__}: {error}", now)

    def forget_all_but(self, uids: Iterable[str]) -> None:
        """Forget services that are no more."""
        kept = set(uids)
        self._states = {uid: state for uid, state in self._states.items() if uid in kept}

    async def _reconcile(self, raw: Raw, facts: ServiceFacts, known: Known, now: float) -> None:
        wanted = ModelService.model_validate(raw)
        old = raw.get("status") or {}
        state = self._states.setdefault(wanted.metadata.uid, _State())
        facts = await self._with_child(wanted, facts)
        outcome = self._outcome(wanted, old, facts, known, now)
        await self._write_status(raw, report.status(old, outcome, rfc3339(now)))
        state.memory = outcome.memory
        self._telemetry.decisions.labels(outcome.decision.reason.value).inc()
        if outcome.acts:
            await self._act(wanted, state, outcome, now)

    def _outcome(self, wanted: ModelService, old: Raw, facts: ServiceFacts, known: Known, now: float) -> report.Outcome:
        """Observe and decide; nothing is written."""
        spec, state = wanted.spec, self._states[wanted.metadata.uid]
        target_seconds = planning.objective(spec).target_seconds
        observation = observe.of(
            known.readings, (wanted.metadata.namespace, wanted.metadata.name), facts, target_seconds
        )
        planner = planning.planner(spec, self._window_seconds)
        memory = state.memory or planning.remembered(wanted, old, facts)
        if known.past is not None:
            memory = planner.learn(known.past, memory)
        if spec.scaling.mode == "Paused":
            decision, memory = planning.paused(memory, facts)
        else:
            decision, memory = planner.decide(observation, memory)
        plans = floor.plan(decision.floor, facts.revisions)
        state.progress = state.look_back(plans, now)
        observed = report.published(old, observation, rfc3339(now))
        return report.Outcome(
            generation=wanted.metadata.generation,
            facts=facts,
            observed=observed,
            decision=decision,
            memory=memory,
            plans=plans,
            claims=(
                claims.ready(facts, state.progress),
                claims.metrics_available(observation),
                claims.scaling_active(plans, facts, state.progress, spec.scaling.mode),
                claims.within_slo(observation, observed, spec.slo.p95_milliseconds),
            ),
            leftovers=floor.leftovers(report.remembered_floors(old), facts),
            acts=spec.scaling.mode == "Active",
        )

    async def _act(self, wanted: ModelService, state: _State, outcome: report.Outcome, now: float) -> None:
        """Write the floors, tell, and wake who sleeps in spite of one."""
        await self._write_floors(wanted, state, outcome.plans)
        await self._take_off(wanted, outcome.leftovers)
        if outcome.decision.changed:
            await self._tell(wanted, events.floor_moved(outcome.decision), now)
        woken_ago = {name: now - at for name, at in state.woken_at.items()}
        for call in wake.due(outcome.plans, outcome.facts, state.progress.short_seconds, woken_ago):
            await self._wake(wanted, state, call, now)

    async def _with_child(self, wanted: ModelService, facts: ServiceFacts) -> ServiceFacts:
        """See that the Knative Service is as the spec says."""
        key = (wanted.metadata.namespace, wanted.metadata.name)
        live = facts.live
        if live is None:
            live = await self._kube.service_named(key)  # one that is not ours carries no label of ours
        if live is not None and not _owns(wanted, live):
            raise OperatorError(f"A Knative Service {key[1]} exists that this ModelService does not own: rename one")
        manifest = knative.service(wanted, self._server_image)
        if live is not None and facts.live is not None and knative.is_applied(manifest, live):
            return facts
        applied = await self._kube.apply_service(manifest)
        return replace(facts, live=applied, ready=None)  # what Knative says is about the spec before

    async def _write_status(self, raw: Raw, new: dict[str, Any]) -> None:
        patch = report.patch(raw.get("status") or {}, new)
        if patch:
            await self._kube.patch_status(key_of(raw), patch)

    async def _write_floors(self, wanted: ModelService, state: _State, plans: tuple[RevisionPlan, ...]) -> None:
        errors = []
        for plan in plans:
            if not (plan.is_due and isinstance(plan.target, Target)):
                continue
            result = "written"
            try:
                key = (wanted.metadata.namespace, plan.name)
                await self._kube.annotate(plan.target, key, MIN_SCALE, str(plan.floor))
                state.written[plan.name] = plan.floor
            except KubeError as error:
                result = "failed"
                errors.append(f"The floor of {plan.name} can't be written: {error}")
                logger.warning("%s", errors[-1])
            self._telemetry.floor_writes.labels(plan.target.value, result).inc()
        routed = {plan.name for plan in plans}
        state.written = {name: value for name, value in state.written.items() if name in routed}
        state.write_error = "; ".join(errors) or None

    async def _take_off(self, wanted: ModelService, leftovers: tuple[Leftover, ...]) -> None:
        """Remove our floors from revisions without traffic. One that fails stays in the status, for the next pass."""
        for left in leftovers:
            if not isinstance(left.target, Target):
                continue
            result = "removed"
            try:
                await self._kube.annotate(left.target, (wanted.metadata.namespace, left.name), MIN_SCALE, None)
            except KubeError as error:
                result = "failed"
                logger.warning("The floor of %s, which gets no traffic, can't be removed: %s", left.name, error)
            self._telemetry.floor_writes.labels(left.target.value, result).inc()

    async def _wake(self, wanted: ModelService, state: _State, call: wake.Call, now: float) -> None:
        """Send a revision its first request, and tell so once for all that it may take."""
        is_news = call.revision not in state.woken_at
        state.woken_at[call.revision] = now
        state.wake_errors.pop(call.revision, None)
        try:
            result: str = await self._waker.wake(call.url)
        except WakeError as error:
            result = "failed"
            state.wake_errors[call.revision] = str(error)
        self._telemetry.wakes.labels(result).inc()
        if is_news:
            await self._tell(wanted, events.woken(call.revision, state.wake_errors.get(call.revision)), now)

    async def _tell(self, wanted: ModelService, news: News, now: float) -> None:
        logger.info("%s/%s: %s", wanted.metadata.namespace, wanted.metadata.name, news.sentence)
        try:
            await self._kube.create_event(
                events.event(wanted, news, now=rfc3339(now, "microseconds"), instance=self._instance)
            )
        except KubeError as error:
            logger.warning("An event of %s is lost: %s", wanted.metadata.name, error)

    async def _failed(self, raw: Raw, reason: str, sentence: str, now: float) -> None:
        """Say it in the status and leave the rest of that as it is."""
        self._telemetry.errors.inc()
        old = raw.get("status") or {}
        claim = claims.failed(sentence, reason)
        generation = raw["metadata"].get("generation", 0)
        merged = conditions.merge(old.get("conditions") or [], [claim], generation=generation, now=rfc3339(now))
        try:
            await self._write_status(raw, {**old, "conditions": merged})
        except KubeError as error:
            if error.status != _NOT_FOUND:  # deleted meanwhile: nobody is left to tell
                logger.warning("The status of %s can't be written: %s", key_of(raw), error)


def rfc3339(unix_seconds: float, timespec: str = "seconds") -> str:
    """A time as Kubernetes writes it."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def _owns(wanted: ModelService, live: Raw) -> bool:
    references = live["metadata"].get("ownerReferences") or []
    return any(reference.get("uid") == wanted.metadata.uid for reference in references)
