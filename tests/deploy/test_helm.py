"""The Helm chart: rendered by Helm's own engine, held to Kubernetes' schemas, and true of what a worker asks for."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from schemas.topics import TOPICS
from streams import app
from streams.settings import Settings, unknown_variables
from tests.deploy import chart
from tests.deploy.conftest import Tool

Node = dict[str, Any]
Render = Callable[..., list[Node]]

KUBERNETES = ("1.27", "1.37")
"""The oldest that the chart takes, and a new one."""

EVERYTHING = """\
kafka: {servers: "kafka-0:9093,kafka-1:9093", security: SASL_SSL, user: worker, caSecret: {name: kafka-ca}}
redis: {url: "rediss://redis:6380/0", user: worker, caSecret: {name: redis-ca, key: tls.crt}}
schemaRegistry: {url: "http://registry:8081", user: loyalty}
secret: {kafkaPassword: kafka, redisPassword: redis, registryPassword: registry, consoleReadToken: look}
partitions: 24
policy: |
  [programme]
  name = "shop"
settings: {LOYALTY_LOG: DEBUG}
workers: {nodeSelector: {disk: ssd}, tolerations: [{key: only, operator: Exists}]}
image: {pullSecrets: [mine]}
networkPolicy: {consoleFrom: [{podSelector: {matchLabels: {app: gate}}}], otherPorts: [8081]}
monitoring:
  enabled: true
  labels: {release: prometheus}
  rules:
    worker: |
      groups:
        - name: loyalty
          rules: [{alert: Stuck, expr: up == 0, for: 5m, annotations: {summary: "{{ $labels.instance }}"}}]
keda: {enabled: true, authenticationRef: kafka}
strimzi: {enabled: true}
"""
CUSTOM = {"ServiceMonitor", "PrometheusRule", "ScaledObject", "KafkaTopic", "KafkaUser"}
"""Of other operators: Kubernetes has no schema of theirs."""


@pytest.fixture
def render(tool: Tool, tmp_path: Path) -> Render:
    """The manifests of the chart under some values, as a release `shop`."""

    def rendered(values: str = "") -> list[Node]:
        file = tmp_path / "values.yaml"
        file.write_text(values)
        text = tool("chart", str(chart.CHART), "shop", str(file))
        return [document for document in yaml.safe_load_all(text) if document]

    return rendered


def named(manifests: list[Node], kind: str, name: str) -> Node:
    (found,) = (one for one in manifests if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def pods(manifests: list[Node]) -> dict[str, Node]:
    """The pod templates by the component they are of."""
    templates = [one["spec"]["template"] for one in manifests if "template" in one.get("spec", {})]
    return {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in templates}


def environ(pod: Mapping[str, Any]) -> dict[str, str]:
    (container,) = pod["spec"]["containers"]
    return {one["name"]: one.get("value", "<from the pod>") for one in container["env"]}


@pytest.mark.parametrize("values", ["", EVERYTHING], ids=["as shipped", "with everything"])
def test_what_is_rendered_is_valid_for_old_and_new_kubernetes(render: Render, values: str) -> None:
    manifests = render(values)
    assert len({(one["kind"], one["metadata"]["name"]) for one in manifests}) == len(manifests) > 10
    for manifest in manifests:
        if manifest["kind"] not in CUSTOM:
            for version in KUBERNETES:
                kubernetes_validate.validate(manifest, version, strict=True)
    assert CUSTOM.isdisjoint(one["kind"] for one in manifests) == (not values)


def test_the_validator_would_notice(render: Render) -> None:
    worker = named(render(), "StatefulSet", "shop-worker")
    worker["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(worker, KUBERNETES[-1], strict=True)


@pytest.mark.parametrize("values", ["", EVERYTHING], ids=["as shipped", "with everything"])
def test_the_settings_are_those_that_a_worker_takes(render: Render, values: str, tmp_path: Path) -> None:
    for place, name in enumerate(("secret", "look")):  # who may only look needs another token
        (tmp_path / name).write_text(base64.b64encode(bytes([65 + place]) * 24).decode())
    for pod in pods(render(values)).values():
        given = environ(pod)
        assert unknown_variables(given) == []
        (container,) = pod["spec"]["containers"]
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        files = {name: value for name, value in given.items() if name.endswith("_FILE")}
        assert {value.rpartition("/")[0] for value in files.values()} <= mounted
        kept = {name: "look" if "READ_TOKEN" in name else "secret" for name in files}
        read = {name: str(tmp_path / kept[name]) if name in kept else value for name, value in given.items()}
        read = {name: value for name, value in read.items() if not name.endswith("_CA_FILE")}  # no certificate is here
        if "LOYALTY_INSTANCE" in read:
            read["LOYALTY_INSTANCE"] = "shop-worker-0"
        settings = Settings.from_env(read)
        assert settings.erase_key
        assert settings.partitions == (24 if values else 12)


def test_no_secret_is_a_value_and_each_is_a_file(render: Render) -> None:
    for pod in pods(render(EVERYTHING)).values():
        for name in environ(pod):
            assert not re.search(r"(PASSWORD|TOKEN|ERASE_KEY)$", name)
        (secret,) = (one["secret"]["secretName"] for one in pod["spec"]["volumes"] if one["name"] == "secret")
        assert secret == "loyalty"


def test_every_pod_has_the_least_rights(render: Render) -> None:
    for pod in pods(render(EVERYTHING)).values():
        (container,) = pod["spec"]["containers"]
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


def test_a_worker_ends_later_than_a_rebalance_and_comes_back_under_its_name(render: Render) -> None:
    worker = named(render(), "StatefulSet", "shop-worker")
    pod = worker["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > app.REBALANCE_TIMEOUT_S
    instance = next(one for one in pod["containers"][0]["env"] if one["name"] == "LOYALTY_INSTANCE")
    assert instance["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert named(render(), "PodDisruptionBudget", "shop-worker")["spec"]["maxUnavailable"] == 1


def test_an_instance_of_a_worker_is_the_groups_static_member() -> None:
    settings = Settings.from_env({"LOYALTY_INSTANCE": "shop-worker-0"})
    made = app.build_app(settings, lambda _: pytest.fail("no partition is assigned"))
    assert made.conf.consumer_group_instance_id == "shop-worker-0"
    made = app.build_app(Settings.from_env({}), lambda _: pytest.fail("no partition is assigned"))
    assert made.conf.consumer_group_instance_id is None


def test_selectors_find_their_pods_and_nothing_else(render: Render) -> None:
    manifests = render(EVERYTHING + "topicsJob: {enabled: true}\n")
    labels = {component: pod["metadata"]["labels"] for component, pod in pods(manifests).items()}
    for one in manifests:
        spec = one.get("spec", {})
        if one["kind"] == "Service":
            wanted = spec["selector"]
        elif one["kind"] in ("NetworkPolicy", "PodDisruptionBudget"):
            wanted = spec.get("podSelector", spec.get("selector"))["matchLabels"]
        else:
            continue
        found = [component for component, own in labels.items() if wanted.items() <= own.items()]
        assert found in ([one["metadata"]["name"].removeprefix("shop-")], []), one["metadata"]["name"]
        assert found or one["metadata"]["name"] == "shop-topics"  # Strimzi makes them here


def test_who_may_only_look_brings_a_token_of_their_own_where_there_is_one(render: Render) -> None:
    def token(values: str = "") -> list[Node]:
        (console,) = named(render(values), "Deployment", "shop-console")["spec"]["template"]["spec"]["containers"]
        return [one for one in console["env"] if one["name"] == "LOYALTY_CONSOLE_READ_TOKEN_FILE"]

    assert token() == []
    assert token(EVERYTHING) == [{"name": "LOYALTY_CONSOLE_READ_TOKEN_FILE", "value": "/run/secrets/loyalty/look"}]


def test_the_network_lets_through_what_is_named_and_nothing_else(render: Render) -> None:
    closed = named(render(), "NetworkPolicy", "shop-console")["spec"]
    assert closed["ingress"] == []
    assert [rule["port"] for rule in closed["egress"][0]["ports"]] == [53, 53, 9464, 9092, 6379]
    opened = named(render(EVERYTHING), "NetworkPolicy", "shop-console")["spec"]
    assert opened["ingress"][0]["from"] == [{"podSelector": {"matchLabels": {"app": "gate"}}}]
    assert opened["egress"][0]["ports"][-1]["port"] == 8081


def test_the_console_reaches_a_worker(render: Render) -> None:
    """For latency and counters: at the address that it is given, through both policies."""
    manifests = render()
    console = pods(manifests)["console"]
    assert environ(console)["LOYALTY_METRICS"] == "shop-worker:9464"
    (port,) = named(manifests, "Service", "shop-worker")["spec"]["ports"]
    assert port["port"] == 9464
    (rule,) = named(manifests, "NetworkPolicy", "shop-worker")["spec"]["ingress"]
    asked = rule["from"][-1]["podSelector"]["matchLabels"]
    assert asked.items() <= console["metadata"]["labels"].items()
    (leaves,) = named(manifests, "NetworkPolicy", "shop-console")["spec"]["egress"]
    assert {"protocol": "TCP", "port": 9464} in leaves["ports"]
    closed = named(render("console: {enabled: false}"), "NetworkPolicy", "shop-worker")["spec"]["ingress"]
    assert len(closed[0]["from"]) == 1


@pytest.mark.parametrize("url", ["rediss://redis:6380/0", "redis+cluster://a:6379,b:6379", "rediss+cluster://a:6379"])
def test_redis_may_be_any_that_a_worker_takes(render: Render, url: str) -> None:
    env = environ(pods(render(f"redis: {{url: '{url}'}}"))["worker"])
    assert env["LOYALTY_REDIS"] == url
    Settings.from_env({"LOYALTY_REDIS": url})


def test_keda_scales_from_one_worker_to_one_a_partition(render: Render) -> None:
    manifests = render(EVERYTHING)
    spec = named(manifests, "ScaledObject", "shop-worker")["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (1, 24)
    assert {trigger["metadata"]["topic"] for trigger in spec["triggers"]} <= set(TOPICS)
    assert "replicas" not in named(manifests, "StatefulSet", "shop-worker")["spec"]


def test_strimzi_makes_the_topics_and_users_of_the_project(render: Render) -> None:
    manifests = render(EVERYTHING)
    made = {one["metadata"]["name"]: one["spec"] for one in manifests if one["kind"] == "KafkaTopic"}
    assert set(made) == set(TOPICS)
    for topic in TOPICS.values():
        assert made[topic.name]["partitions"] == topic.partitions or 24
        assert made[topic.name]["config"].items() >= topic.config().items()
    users = {one["metadata"]["name"]: one["spec"]["authorization"]["acls"] for one in manifests
             if one["kind"] == "KafkaUser"}  # fmt: skip
    assert {"shop-worker", "shop-pos", "shop-subscriber"} <= set(users)
    transactions = next(acl for acl in users["shop-worker"] if acl["resource"]["type"] == "transactionalId")
    assert transactions["resource"]["name"] == "loyalty-"
    assert not [one for one in manifests if one["kind"] == "Job"]
    versions = {one["apiVersion"] for one in manifests if one["kind"] in ("KafkaTopic", "KafkaUser")}
    assert versions == {"kafka.strimzi.io/v1"}  # the only one that Strimzi 1.0 knows


def test_prometheus_finds_the_jobs_that_the_rules_ask_for(render: Render) -> None:
    manifests = render(EVERYTHING)
    jobs = {one["metadata"]["labels"].get("loyalty/job") for one in manifests if one["kind"] == "Service"}
    assert {"loyalty-worker", "loyalty-programme"} <= jobs
    for one in manifests:
        if one["kind"] == "ServiceMonitor":
            assert one["spec"]["jobLabel"] == "loyalty/job"
            assert one["metadata"]["labels"]["release"] == "prometheus"
    rule = named(manifests, "PrometheusRule", "shop-worker")["spec"]["groups"][0]["rules"][0]
    assert rule["annotations"]["summary"] == "{{ $labels.instance }}"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("workers: {replica: 3}", "replica"),
        ("workers: {replicas: 13}", "must not exceed partitions"),
        ("workers: {sessionMs: 120000}", "longer than workers.sessionMs"),
        ("workers: {terminationGraceSeconds: 30}", "terminationGraceSeconds"),
        ('redis: {url: "redis://anna:secret@redis:6379/0"}', "url"),
        ("kafka: {security: SASL_SSL}", "user"),
        ("settings: {LOYALTY_ERASE_KEY: abc}", "LOYALTY_ERASE_KEY"),
    ],
)
def test_a_wrong_value_is_refused_by_name(render: Render, values: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        render(values)


@pytest.mark.parametrize("name", ["topics.yaml", "users.yaml"])
def test_the_files_for_strimzi_are_current(name: str) -> None:
    text = (chart.CHART / "files" / name).read_text("utf-8")
    assert text == chart.files()[name], "behind the topic table or the roles: python -m tests.deploy.chart"
