"""The ModelService resource, everwarm.dev/v1alpha1: what a user asks for (spec) and what the operator says (status).

In: objects of the API server. Out: checked values. `schema.py` makes the CustomResourceDefinition from these models:
each description is what `kubectl explain` shows, each rule (CEL) is checked by the API server itself.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from everwarm_operator.api.rules import SpecPart, rule, rules
from everwarm_operator.api.scaling import Scaling, Slo

GROUP = "everwarm.dev"
VERSION = "v1alpha1"
PLURAL = "modelservices"
KIND = "ModelService"

# Knative names a revision <service>-00001, and a name in a DNS label has at most 63 characters.
NAME_MAX_CHARACTERS = 57
_FORMATS = "use onnx (ONNX Runtime), torch (PyTorch), sklearn (skops), python (a class) or kserve (a kserve.Model)"


class _Status(BaseModel):
    """Base of what the operator writes: keys of a newer version are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class Model(SpecPart):
    """What is served."""

    uri: str = Field(
        description="Where the model is: an absolute path in the image, or file://, s3://, gs://, az:// or https://.",
        min_length=1,
        max_length=2048,
        json_schema_extra=rules(
            rule(
                "self.matches('^(/|file:///|s3://.|gs://.|az://.|https://.)')",
                "spec.model.uri must be an absolute path or start with file://, s3://, gs://, az:// or https://",
            )
        ),
    )
    format: str = Field(
        description="What reads the model: onnx (ONNX Runtime), torch (PyTorch), sklearn (skops), python (a class) "
        "or kserve (a kserve.Model).",
        max_length=64,
        json_schema_extra=rules(
            rule(
                "self in ['onnx', 'torch', 'sklearn', 'python', 'kserve']",
                f"spec.model.format is not supported: {_FORMATS}",
                f"'spec.model.format \"' + self + '\" is not supported: {_FORMATS}'",
            )
        ),
    )
    name: str | None = Field(
        default=None,
        description="The model's name in request paths; default: the name of the ModelService.",
        max_length=253,
        json_schema_extra=rules(
            rule(
                "self.matches('^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$')",
                "spec.model.name is part of the request path: use letters, digits, '.', '_' and '-' only",
            )
        ),
    )


class Resources(SpecPart):
    """Compute resources of one replica, as in a container."""

    requests: dict[str, int | str] = Field(
        default_factory=dict, description="What each replica is given at least, for example cpu: 500m."
    )
    limits: dict[str, int | str] = Field(
        default_factory=dict, description="What each replica may use at most, for example nvidia.com/gpu: 1."
    )


class Auth(SpecPart):
    """Who may call."""

    token_secret_name: str = Field(
        description="Name of a Secret in the same namespace whose key 'token' callers present as bearer token.",
        min_length=1,
        max_length=253,
    )


class Spec(SpecPart):
    """What is asked for."""

    model: Model = Field(description="The model to serve.")
    image: str | None = Field(
        default=None,
        description="Image of the model server, a model may be baked in; default: the operator's setting.",
        min_length=1,
        max_length=1024,
    )
    concurrency: int = Field(
        default=1,
        description="Requests that one replica computes at once.",
        json_schema_extra=rules(
            rule(
                "self >= 1 && self <= 1000",
                "spec.concurrency must be 1 to 1000: it is the number of requests that one replica computes at once",
            )
        ),
    )
    slo: Slo = Field(default_factory=Slo, description="What the service promises its callers.")
    scaling: Scaling = Field(default_factory=Scaling, description="How the floor of warm replicas moves.")
    resources: Resources = Field(default_factory=Resources, description="Compute resources of one replica.")
    timeout_seconds: int = Field(
        default=60,
        description="A request that takes longer fails; Knative's own limit is 600 unless configured otherwise (s).",
        json_schema_extra=rules(rule("self > 0", "spec.timeoutSeconds must be over 0")),
    )
    visibility: str = Field(
        default="Cluster",
        description="Cluster: reached from within the cluster only. Public: reached through the ingress, and only with "
        "a token.",
        max_length=64,
        json_schema_extra=rules(
            rule("self in ['Cluster', 'Public']", "spec.visibility is not known: use Cluster or Public")
        ),
    )
    auth: Auth | None = Field(default=None, description="Who may call; none: who reaches the service.")
    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.visibility != 'Public' || has(self.auth)",
                "spec.visibility Public needs spec.auth.tokenSecretName: without a token everybody could use the model",
            )
        )
    )


class RevisionFloor(_Status):
    """One revision, and its part of the floor."""

    name: str = Field(description="Name of the Knative Revision.")
    percent: int = Field(description="Its part of the traffic (%).")
    floor: int = Field(description="Replicas of it that are kept warm.")


class Observed(_Status):
    """What was measured, rewritten when a figure moves by over 5 %."""

    p95_milliseconds: int | None = Field(
        default=None, description="95th percentile of the latency, waiting included (ms); none without requests."
    )
    rate_per_second: float | None = Field(default=None, description="Requests per second.")
    utilization: float | None = Field(
        default=None, description="Busy part of what the ready replicas can do at once, 0 to 1."
    )
    cold_start_fraction: float | None = Field(
        default=None, description="Part of the requests that found no warm replica, 0 to 1."
    )
    at: str | None = Field(default=None, description="When these figures were written.")


class LastDecision(_Status):
    """Why the floor is what it is."""

    reason: str = Field(description="For machines.")
    sentence: str = Field(description="For people, with the numbers that led here.")
    at: str = Field(description="When this was written.")


class ForecastStatus(_Status):
    """What is expected until a replica that is asked for now would be ready, rewritten with the figures."""

    low_per_second: float = Field(description="Requests per second: seldom fewer.")
    point_per_second: float = Field(description="Requests per second: the middle.")
    upper_per_second: float = Field(description="Requests per second: seldom more; the floor is staffed for this.")
    horizon_seconds: int = Field(description="How far ahead (s).")
    model: str = Field(description="The forecaster that is right most often at present.")


class Condition(_Status):
    """One thing that is true, false or unknown of the service."""

    type: Literal["Ready", "MetricsAvailable", "ScalingActive", "WithinSLO"] = Field(description="What is said.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it is so.")
    observed_generation: int = Field(default=0, description="The spec (metadata.generation) that this is about.")
    reason: str = Field(default="", description="Why, for machines.")
    message: str = Field(default="", description="Why, for people.")
    last_transition_time: str = Field(default="", description="When the status last changed.")


class Status(_Status):
    """What the operator says."""

    observed_generation: int = Field(default=0, description="The last spec (metadata.generation) that was acted on.")
    url: str | None = Field(default=None, description="Where the service answers.")
    floor: int | None = Field(default=None, description="Replicas that are kept warm.")
    ready_replicas: int = Field(default=0, description="Replicas that can answer now.")
    revisions: list[RevisionFloor] = Field(
        default_factory=list,
        description="The revisions that get traffic, and those without that still carry a floor.",
    )
    observed: Observed | None = Field(default=None, description="What was measured.")
    decision: LastDecision | None = Field(default=None, description="Why the floor is what it is.")
    forecast: ForecastStatus | None = Field(
        default=None, description="What the policy expects; none where it does not look ahead, or can't yet."
    )
    memory: dict[str, Any] | None = Field(
        default=None, description="What the planner remembers between two decisions; not for people."
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Ready, MetricsAvailable, ScalingActive, WithinSLO.",
    )


class Metadata(BaseModel):
    """The part of an object's metadata that the operator uses."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    namespace: str
    uid: str = ""
    generation: int = 0
    deletion_timestamp: str | None = Field(default=None, alias="deletionTimestamp")


class ModelService(BaseModel):
    """A model that is served, and kept warm for its promise."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        json_schema_extra=rules(
            rule(
                f"self.metadata.name.size() <= {NAME_MAX_CHARACTERS}",
                f"metadata.name may have at most {NAME_MAX_CHARACTERS} characters: Knative appends the number of a "
                "revision (-00001), and a DNS label ends at 63",
            ),
            rule(
                "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "metadata.name becomes a DNS label: start with a letter, then use a-z, 0-9 and '-' only",
            ),
        ),
    )

    metadata: Metadata
    spec: Spec = Field(description="What is asked for.")
    status: Status = Field(default_factory=Status, description="What the operator says.")

    @property
    def model_name(self) -> str:
        """The model's name in request paths."""
        return self.spec.model.name or self.metadata.name
